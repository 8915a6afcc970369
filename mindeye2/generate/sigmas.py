"""Noise levels of the two diffusion samplers: the training levels of Stable Diffusion, subsampled."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mindeye2.frozen.noise import TRAINING_STEPS, training_sigmas


def sampling_schedule(steps: int) -> tuple[Float[Tensor, "levels"], Int[Tensor, "{steps}"]]:
    """(σ, t) of ``steps`` Euler steps: t = ⌊linspace(999, 0, steps, end excluded)⌋, descending; σ ends with 0."""
    timesteps = torch.from_numpy(np.linspace(TRAINING_STEPS - 1, 0, steps, endpoint=False).astype(np.int64))
    return torch.cat([training_sigmas()[timesteps], torch.zeros(1)]), timesteps
