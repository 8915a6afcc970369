"""The unCLIP network: latents of a picture from its CLIP tokens."""

from typing import Any

import torch
from torch import Tensor

from mindeye2.demo.networks.diffusion import SIZES_PX, Denoising, encode_all
from mindeye2.demo.networks.fit import Recipe, Run, as_images, draw_rows, fit, in_batches
from mindeye2.frozen.clip import Clip
from mindeye2.frozen.unclip import size_vector
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
NULL_SHARE = 0.1
"""Share of samples whose tokens are N(0, 1) noise: the null that sampling guides away from."""
BLURRED_SHARE, BLUR = 0.5, 0.4
"""Half of the samples see tokens with noise of a standard deviation up to 0.4: decoded tokens are never exact."""


def train(run: Run) -> dict[str, float]:
    """Write ``unclip/``; needs ``vae/`` and ``clip/``."""
    from diffusers import UNet2DConditionModel

    vae, clip = Vae.load(run.out / "vae").to(run.device), Clip.load(run.out / "clip").to(run.device)
    pictures = run.pictures()
    latents = encode_all(vae, pictures)
    tokens = torch.cat(
        [clip.tokens(as_images(pictures[rows]), pixel_range="pm1").half() for rows in in_batches(len(pictures))]
    )

    run.seed_init("unclip")
    network = UNet2DConditionModel(**CONFIG).to(run.device).train()
    generator = run.generator("unclip")
    denoising = Denoising(run, generator)
    vectors = torch.cat([size_vector(network, *size, 1) for size in SIZES_PX])

    def loss() -> dict[str, Tensor]:
        rows = draw_rows(len(pictures), RECIPE.batch_size, generator)
        noisy, timesteps, target = denoising.noisy(latents[rows].float())
        context = tokens[rows].float()
        fate = denoising.uniform(len(rows), 1, 1)
        strength = torch.where(fate < BLURRED_SHARE, BLUR * denoising.uniform(len(rows), 1, 1), 0.0)
        noise = denoising.normal(*context.shape)
        context = torch.where(fate > 1 - NULL_SHARE, noise, context + strength * noise)
        told = vectors[draw_rows(len(vectors), len(rows), generator)]
        found = network(noisy, timesteps, context, class_labels=told).sample
        return {"loss": (found.float() - target).square().mean()}

    values = fit("unclip", {"unclip": network}, loss, RECIPE, run, generator)
    network.eval().half().save_pretrained(run.out / "unclip")
    return values
