"""The decoder: voxels to CLIP tokens, retrieval embeddings, low-level latents and the diffusion prior."""
