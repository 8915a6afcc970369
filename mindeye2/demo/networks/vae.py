"""The autoencoder: 64-px pictures to 4 x 16 x 16 latents and back, by pixels and edges."""

from typing import Any

import torch
from torch import Tensor

from mindeye2.demo.networks.fit import Recipe, Run, as_images, draw_rows, fit, in_batches

CONFIG: dict[str, Any] = {
    "sample_size": 64,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (32, 64, 64),
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 16,
}
RECIPE = Recipe(steps=8_000, batch_size=128, lr=1.5e-3, average=0.999)
KL_WEIGHT = 2e-4
"""Per latent cell, against the mean error per pixel: keeps the latents smooth, costs little sharpness."""


def train(run: Run) -> dict[str, float | int]:
    """Write ``vae/``; its scaling factor is one over the standard deviation of the training latents."""
    from diffusers import AutoencoderKL

    run.seed_init("vae")
    network = AutoencoderKL(**CONFIG).to(run.device).train()
    pictures, generator = run.pictures(), run.generator("vae")

    def loss() -> dict[str, Tensor]:
        images = as_images(pictures[draw_rows(len(pictures), RECIPE.batch_size, generator)]) * 2 - 1
        posterior = network.encode(images).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator, device=run.device)
        decoded = network.decode(posterior.mean + posterior.std * noise).sample.float()
        pixels = (decoded - images).abs().mean()
        edges = sum((_edges(decoded, axis) - _edges(images, axis)).abs().mean() for axis in (-1, -2))
        variety = 0.5 * (posterior.mean.float() ** 2 + posterior.var.float() - 1 - posterior.logvar.float()).mean()
        return {"loss": pixels + 0.5 * edges + KL_WEIGHT * variety, "pixels": pixels, "kl": variety}

    values = fit("vae", {"vae": network}, loss, RECIPE, run, generator)

    network.eval()
    with torch.no_grad():
        parts = [
            network.encode(as_images(pictures[rows]) * 2 - 1).latent_dist.mode()
            for rows in in_batches(min(len(pictures), 5000), 500)
        ]
    network.register_to_config(scaling_factor=round(1 / torch.cat(parts).std().item(), 5))
    network.half().save_pretrained(run.out / "vae")
    return values


def _edges(images: Tensor, axis: int) -> Tensor:
    return images.diff(dim=axis)
