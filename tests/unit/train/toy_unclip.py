"""An unCLIP training that a CPU finishes in a second: 16-cell latents that say which of a few tokens they belong to."""

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import UNet2DConditionModel

from mindeye2.settings import Unclip
from mindeye2.train.unclip import Pictures, UnclipTrainer

PICTURES, TOKENS, WIDTH, CELLS = 10, 3, 8, 4


class Killed(Exception):
    """Stands for a kill: nothing of the loop runs after it."""


class Dying(UnclipTrainer):
    """Killed as it reads the eighth step."""

    def _load(self, step):
        if step == 7:
            raise Killed
        return super()._load(step)


def toy_unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=CELLS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        attention_head_dim=(1, 2),
        norm_num_groups=4,
        cross_attention_dim=WIDTH,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=16,
    )


def toy_pictures(*, trained=range(PICTURES)) -> Pictures:
    generator = np.random.default_rng(0)
    shape = (PICTURES, 4, CELLS, CELLS)
    return Pictures(
        tokens=generator.standard_normal((PICTURES, TOKENS, WIDTH)).astype(np.float16),
        latents=generator.standard_normal(shape).astype(np.float16),
        deviations=np.full(shape, 0.1, np.float16),
        sizes=np.tile([64, 48, 0, 8], (PICTURES, 1)),
        rows=np.array(trained),
    )


def toy_unclip(folder: Path, *, pictures=None, kind=UnclipTrainer, accelerator=None, **settings) -> UnclipTrainer:
    defaults = {"steps": 12, "batch_size": 4, "max_lr": 1e-3, "warmup_steps": 2, "average": 0.9, "precision": "float32"}
    folder.mkdir(exist_ok=True)
    recipe = Unclip(**(defaults | settings))
    return kind(toy_unet(), pictures or toy_pictures(), recipe, accelerator or Accelerator(cpu=True), folder)


def train_shared_unclip(folder: Path) -> None:
    """Six steps; the first process saves the network."""
    trainer = toy_unclip(folder, steps=6, null_share=0.2, exact_share=0.3, most_noise=0.5)
    trainer.fit()
    if trainer.accelerator.is_main_process:
        trainer.model.save_pretrained(folder)
