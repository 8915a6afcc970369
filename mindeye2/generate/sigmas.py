"""Noise levels of the two diffusion samplers: the scaled-linear schedule of Stable Diffusion, subsampled."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

TRAINING_STEPS = 1000


def training_sigmas() -> Float[Tensor, "levels"]:
    """σ_t = √((1 − ᾱ_t)/ᾱ_t) of the 1000 training steps, ascending, from 0.0292 to 14.6146.

    β = linspace(√0.00085, √0.012, 1000)² and ᾱ = cumprod(1 − β) in float64; the ratio is rounded to float32
    before numpy's root, as in the original: torch's own root differs in the last bit of some levels
    (tests/parity/test_sampler.py compares bits).
    """
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, TRAINING_STEPS, dtype=torch.float64) ** 2
    alphas_cumprod = np.cumprod(1.0 - betas.numpy())
    return torch.from_numpy(np.sqrt(((1.0 - alphas_cumprod) / alphas_cumprod).astype(np.float32)))


def sampling_schedule(steps: int) -> tuple[Float[Tensor, "levels"], Int[Tensor, "{steps}"]]:
    """(σ, t) of ``steps`` Euler steps: t = ⌊linspace(999, 0, steps, end excluded)⌋, descending; σ ends with 0."""
    timesteps = torch.from_numpy(np.linspace(TRAINING_STEPS - 1, 0, steps, endpoint=False).astype(np.int64))
    return torch.cat([training_sigmas()[timesteps], torch.zeros(1)]), timesteps
