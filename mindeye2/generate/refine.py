"""Refinement: SDXL image-to-image, prompted by the predicted caption."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mindeye2.frozen.unclip import cells_per_side
from mindeye2.shapes import Images

NEGATIVE_PROMPT = (
    "painting, extra fingers, mutated hands, poorly drawn hands, poorly drawn face, deformed, ugly, blurry, "
    "bad anatomy, bad proportions, extra limbs, cloned face, skinny, glitchy, double torso, extra arms, extra hands, "
    "mangled fingers, missing lips, ugly face, distorted face, extra legs, anime"
)
"""The original's list, word for word."""

REFINED_PX = 768
"""Side at which the original refines, below the 1024 px that SDXL was made for."""


def refined_px(pipeline) -> tuple[int, int]:
    """(side of the refined pictures, side that the network was made for): (768, 1024) with SDXL.

    A network made for pictures smaller than 768 px refines at its own size.
    """
    native = cells_per_side(pipeline.unet) * pipeline.vae_scale_factor
    return min(REFINED_PX, native), native


def sampling_arguments(
    *, side: int, native: int, steps: int = 25, strength: float = 0.5, guidance: float = 5.0
) -> dict[str, Any]:
    """What the pipeline is called with beside pictures and captions.

    The last ⌊steps·strength⌋ of ``steps`` Euler steps, 12 of 25. The size conditioning is the published one: an
    uncropped original of ``side``, made for a target of ``native``. The pipeline's default, target = picture,
    gives other pictures.
    """
    sizes = {"original_size": (side, side), "crops_coords_top_left": (0, 0), "target_size": (native, native)}
    return {
        "num_inference_steps": steps,
        "strength": strength,
        "guidance_scale": guidance,
        **sizes,
        **{f"negative_{name}": value for name, value in sizes.items()},
    }


def refine_pictures(
    pipeline,
    *,
    pictures: Images,
    prompts: list[str],
    generators: Sequence[torch.Generator],
    steps: int = 25,
    strength: float = 0.5,
    guidance: float = 5.0,
) -> Float[Tensor, "batch 3 side side"]:
    """Refined pictures in [0, 1], at the side that ``refined_px`` gives; scheduler and networks as loaded.

    generators: one per picture, on the CPU; each draws the VAE posterior's noise, then the start noise.
    """
    side, native = refined_px(pipeline)
    return pipeline(
        prompt=prompts,
        negative_prompt=[NEGATIVE_PROMPT] * len(prompts),
        image=F.interpolate(pictures.float(), size=(side, side), mode="bilinear", align_corners=False),
        generator=list(generators),
        output_type="pt",
        **sampling_arguments(side=side, native=native, steps=steps, strength=strength, guidance=guidance),
    ).images.float()


def blend(refined: Images, lowlevel: Images, weight: float) -> Images:
    """(1 − weight)·refined + weight·lowlevel, at the same size; published tables use weight 0.25."""
    return (1.0 - weight) * refined + weight * lowlevel
