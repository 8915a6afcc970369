"""The unCLIP network: latents of a picture from its CLIP tokens."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mindeye2.demo.networks.diffusion import SIZES_PX, Denoising, encode_all
from mindeye2.demo.networks.fit import Recipe, Run, as_images, draw_rows, fit, in_batches
from mindeye2.frozen.clip import Clip
from mindeye2.frozen.unclip import load_unet, size_vector
from mindeye2.frozen.vae import Vae

SHAPE: dict[str, Any] = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (48, 64, 96),
    "layers_per_block": 1,
    "transformer_layers_per_block": (1, 1, 1),
    "attention_head_dim": (1, 2, 3),
    "use_linear_projection": True,
    "norm_num_groups": 8,
}
"""SDXL's plan in small; what the two networks share."""
CONFIG: dict[str, Any] = {
    **SHAPE,
    "cross_attention_dim": 128,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 128,
}
RECIPE = Recipe(steps=30_000, batch_size=256, lr=1.2e-3, average=0.9995)
TUNING_RECIPE = Recipe(steps=1_500, batch_size=32, lr=2e-4, average=0.995)
NULL_SHARE = 0.1
"""Share of samples whose tokens are N(0, 1) noise: the null that sampling guides away from."""


@dataclass(frozen=True)
class Inexact:
    """What becomes of tokens in training, for decoded ones are never exact.

    ``exact_share`` of the samples stay as they are; the others keep ``least_kept`` to all of their distance from the
    mean picture's tokens, under noise of a standard deviation up to ``most_noise``.
    """

    exact_share: float
    least_kept: float
    most_noise: float


FIRST = Inexact(exact_share=0.4, least_kept=1.0, most_noise=0.4)
TUNED = Inexact(exact_share=0.25, least_kept=0.5, most_noise=0.8)


def train(run: Run) -> dict[str, float | int]:
    """Write ``unclip/``; needs ``vae/`` and ``clip/``."""
    from diffusers import UNet2DConditionModel

    run.seed_init("unclip")
    return _learn(UNet2DConditionModel(**CONFIG).to(run.device), run, "unclip", RECIPE, FIRST)


def tune(run: Run) -> dict[str, float | int]:
    """Rewrite ``unclip/`` after a lesson on less exact tokens; a quarter of an hour on a CPU with 8000 scenes."""
    network = load_unet(run.out / "unclip").to(run.device).requires_grad_(True)
    return _learn(network, run, "unclip tuning", TUNING_RECIPE, TUNED)


def _learn(network: Any, run: Run, label: str, recipe: Recipe, inexact: Inexact) -> dict[str, float | int]:
    vae, clip = Vae.load(run.out / "vae").to(run.device), Clip.load(run.out / "clip").to(run.device)
    pictures, generator = run.pictures(), run.generator(label)
    latents = encode_all(vae, pictures)
    tokens = torch.cat(
        [clip.tokens(as_images(pictures[rows]), pixel_range="pm1").half() for rows in in_batches(len(pictures))]
    )
    mean = tokens.float().mean(dim=0)
    denoising = Denoising(run, generator)
    vectors = torch.cat([size_vector(network, *size, 1) for size in SIZES_PX])

    def loss() -> dict[str, Tensor]:
        rows = draw_rows(len(pictures), recipe.batch_size, generator)
        noisy, timesteps, target = denoising.noisy(latents[rows].float())
        fate, share, strength = denoising.uniform(3, len(rows), 1, 1)
        exact = tokens[rows].float()
        noise = denoising.normal(*exact.shape)
        kept = inexact.least_kept + (1 - inexact.least_kept) * share
        seen = mean + kept * (exact - mean) + inexact.most_noise * strength * noise
        seen = torch.where(fate < inexact.exact_share, exact, seen)
        seen = torch.where(fate > 1 - NULL_SHARE, noise, seen)
        told = vectors[draw_rows(len(vectors), len(rows), generator)]
        found = network(noisy, timesteps, seen, class_labels=told).sample
        return {"loss": (found.float() - target).square().mean()}

    values = fit(label, {"unclip": network.train()}, loss, recipe, run, generator)
    network.eval().half().save_pretrained(run.out / "unclip")
    return values
