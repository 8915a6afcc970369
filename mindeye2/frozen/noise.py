"""The noise that Stable Diffusion's networks know: its levels in training, and the constant that is added to it."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

TRAINING_STEPS = 1000

OFFSET_NOISE = 0.04
"""Scale of the constant in an unCLIP network's noise: one number per channel in training, per picture in sampling."""


def training_sigmas() -> Float[Tensor, "levels"]:
    """σ_t = √((1 − ᾱ_t)/ᾱ_t) of the 1000 training steps, ascending, from 0.0292 to 14.6146.

    β = linspace(√0.00085, √0.012, 1000)² and ᾱ = cumprod(1 − β) in float64; the ratio is rounded to float32
    before numpy's root, as in the original: torch's own root differs in the last bit of some levels
    (tests/parity/test_sampler.py compares bits).
    """
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, TRAINING_STEPS, dtype=torch.float64) ** 2
    alphas_cumprod = np.cumprod(1.0 - betas.numpy())
    return torch.from_numpy(np.sqrt(((1.0 - alphas_cumprod) / alphas_cumprod).astype(np.float32)))
