"""What both diffusion networks learn from: latents once encoded, and the ε loss at a random noise level."""

import torch
from torch import Tensor

from mindeye2.demo.networks.fit import Run, as_images, in_batches
from mindeye2.frozen.vae import Vae
from mindeye2.generate.sigmas import TRAINING_STEPS, training_sigmas
from mindeye2.generate.unclip import OFFSET_NOISE

SIZES_PX = ((64, 64), (768, 768))
"""Sizes that the networks are told in training, whatever the picture: the miniature's and the full-size one."""


def encode_all(vae: Vae, pictures: Tensor) -> Tensor:
    """Scaled latents (N, 4, 16, 16) of all pictures, float16."""
    return torch.cat([vae.encode(as_images(pictures[rows])).half() for rows in in_batches(len(pictures))])


class Denoising:
    """``mean((ε̂ − n)²)`` with ``n = N(0, 1) + 0.04·N(0, 1)`` per sample and channel, on ``(z + σ·n)/√(1 + σ²)``."""

    def __init__(self, run: Run, generator: torch.Generator):
        self.sigmas = training_sigmas().to(run.device)
        self.generator = generator

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.sigmas.device)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.sigmas.device)

    def noisy(self, latents: Tensor, *, low_share: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """Network input, timesteps and target of one batch.

        ``low_share`` of the timesteps are drawn below 520 only, which is where refinement happens.
        """
        count = len(latents)
        ceiling = torch.where(self.uniform(count) < low_share, 520, TRAINING_STEPS)
        timesteps = (self.uniform(count) * ceiling).long()
        sigma = self.sigmas[timesteps][:, None, None, None]
        noise = self.normal(*latents.shape) + OFFSET_NOISE * self.normal(count, latents.shape[1], 1, 1)
        return (latents + sigma * noise) / (1 + sigma**2).sqrt(), timesteps, noise
