"""The names of tensor axes, used in every signature (jaxtyping) and in einops patterns.

==================  =================================================================
``batch``           samples of one step
``voxels``          voxels of one subject inside the nsdgeneral mask
``latent``          width h of the shared latent space
``tokens``          CLIP image tokens of one picture (256 at full size)
``clip_dim``        width of one CLIP token (1664 at full size)
``trials``          rows of a betas file
``images``          rows of the stimulus set
``height width``    pixels
==================  =================================================================

Annotations are checked at run time in the tests only (``pytest --jaxtyping-packages``).
"""

from jaxtyping import Bool, Float, Int
from torch import Tensor

Voxels = Float[Tensor, "batch voxels"]
"""z-scored betas, one row per trial or averaged trial."""
Latent = Float[Tensor, "batch latent"]
Tokens = Float[Tensor, "batch tokens clip_dim"]
"""CLIP image tokens, neither normalised nor scaled unless the name says so."""
Images = Float[Tensor, "batch 3 height width"]
"""Pictures in [0, 1]."""
Latents = Float[Tensor, "batch 4 lat_h lat_w"]
"""VAE latents, already multiplied by the scaling factor."""
Timesteps = Int[Tensor, "batch"]
Keep = Bool[Tensor, "batch"]
