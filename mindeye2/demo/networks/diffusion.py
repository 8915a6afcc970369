"""What both diffusion networks learn from: latents once encoded, at a random noise level."""

import torch
from torch import Tensor

from mindeye2.demo.networks.fit import Run, as_images, in_batches
from mindeye2.frozen.noise import TRAINING_STEPS
from mindeye2.frozen.vae import Vae
from mindeye2.train.denoising import noised

SIZES_PX = ((64, 64), (768, 768))
"""Sizes that the networks are told in training, whatever the picture: the miniature's and the full-size one."""


def encode_all(vae: Vae, pictures: Tensor) -> Tensor:
    """Scaled latents (N, 4, 16, 16) of all pictures, float16."""
    return torch.cat([vae.encode(as_images(pictures[rows])).half() for rows in in_batches(len(pictures))])


class Denoising:
    """Draws of the denoising loss from one generator."""

    def __init__(self, run: Run, generator: torch.Generator):
        self.device, self.generator = run.device, generator

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device)

    def noisy(self, latents: Tensor, *, low_share: float) -> tuple[Tensor, Tensor, Tensor]:
        """Network input, timesteps and target of one batch.

        ``low_share`` of the timesteps are drawn below 520 only, which is where refinement happens.
        """
        count = len(latents)
        ceiling = torch.where(self.uniform(count) < low_share, 520, TRAINING_STEPS)
        timesteps = (self.uniform(count) * ceiling).long()
        noise, offset = self.normal(*latents.shape), self.normal(count, latents.shape[1])
        given, target = noised(latents, timesteps=timesteps, noise=noise, offset=offset)
        return given, timesteps, target
