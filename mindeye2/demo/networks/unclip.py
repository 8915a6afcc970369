"""The unCLIP network: latents of a picture from its CLIP tokens, trained as the stage unclip trains."""

import shutil
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from mindeye2.demo.networks.diffusion import SIZES_PX
from mindeye2.demo.networks.fit import Run, as_images, in_batches
from mindeye2.frozen.clip import Clip
from mindeye2.frozen.unclip import load_unet
from mindeye2.frozen.vae import Vae
from mindeye2.settings import Unclip
from mindeye2.train.unclip import Pictures, UnclipTrainer

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
RECIPE = Unclip(
    steps=30_000,
    batch_size=256,
    max_lr=1.2e-3,
    warmup_steps=900,
    lr_schedule="cosine",
    grad_clip=1.0,
    average=0.9995,
    null_share=0.1,
    exact_share=0.4,
    most_noise=0.4,
    precision="bfloat16",
)
TUNING_RECIPE = RECIPE.model_copy(
    update={
        "steps": 1_500,
        "batch_size": 32,
        "max_lr": 2e-4,
        "warmup_steps": 45,
        "average": 0.995,
        "exact_share": 0.25,
        "least_kept": 0.5,
        "most_noise": 0.8,
    }
)
"""Tokens less exact still, as far as the decoder's are."""


def train(run: Run) -> dict[str, float | int]:
    """Write ``unclip/``; needs ``vae/`` and ``clip/``."""
    from diffusers import UNet2DConditionModel

    run.seed_init("unclip")
    return _learn(UNet2DConditionModel(**CONFIG), run, "unclip", RECIPE)


def tune(run: Run) -> dict[str, float | int]:
    """Rewrite ``unclip/`` after a lesson on less exact tokens."""
    return _learn(load_unet(run.out / "unclip").requires_grad_(True), run, "unclip_tuning", TUNING_RECIPE)


def _learn(network: Any, run: Run, label: str, recipe: Unclip) -> dict[str, float | int]:
    steps = run.steps(recipe.steps)
    settings = recipe.model_copy(update={"steps": steps, "seed": run.seed})
    work = run.scratch / f"{label}-{run.seed}-{len(run.scenes.captions)}-{steps}"
    work.mkdir(exist_ok=True)
    accelerator = Accelerator(cpu=run.device.type == "cpu")
    history = UnclipTrainer(network, _pictures(run), settings, accelerator, work, stage=label).fit()
    network.eval().half().save_pretrained(run.out / "unclip")
    shutil.rmtree(work)
    seconds = round(sum(row["seconds"] for row in history))
    return {"steps": steps, "loss": round(history[-1]["loss"], 5), "seconds": seconds}


def _pictures(run: Run) -> Pictures:
    vae, clip = Vae.load(run.out / "vae").to(run.device), Clip.load(run.out / "clip").to(run.device)
    pictures = run.pictures()
    parts: list[tuple[torch.Tensor, ...]] = []
    for rows in in_batches(len(pictures)):
        images = as_images(pictures[rows])
        made = (clip.tokens(images, pixel_range="pm1"), *vae.posterior(images))
        parts.append(tuple(each.half().cpu() for each in made))
    tokens, latents, deviations = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    told = np.array([(*size, 0, 0) for size in SIZES_PX])
    return Pictures(tokens, latents, deviations, told[np.arange(len(tokens)) % len(told)], np.arange(len(tokens)))
