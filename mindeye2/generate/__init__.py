"""From tokens to pictures: unCLIP decoding, refinement by image-to-image diffusion, the low-level blend."""
