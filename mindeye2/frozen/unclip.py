"""The unCLIP network: an SDXL-shaped UNet that reads CLIP image tokens instead of text."""

import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mindeye2.errors import UserError
from mindeye2.frozen.weights import build, fill, read_json, read_tensors, tensor_files
from mindeye2.loading import uninitialised


def load_unet(folder: str | Path, *, dtype: torch.dtype | None = torch.float32) -> nn.Module:
    """Read a ``UNet2DConditionModel`` folder, frozen, in evaluation mode, on the CPU.

    ``dtype`` None keeps the stored precision, which halves the memory of a full-size network on a GPU.
    UserError names a missing, damaged or foreign file.
    """
    from diffusers import UNet2DConditionModel

    folder = Path(folder)
    config, files = read_json(folder / "config.json"), tensor_files(folder)
    with uninitialised():
        unet = build(lambda: UNet2DConditionModel.from_config(config), folder / "config.json")
    return fill(unet, read_tensors(files, dtype), files[0])


def size_vector(unet: nn.Module, height: int, width: int, batch: int) -> Float[Tensor, "batch adm"]:
    """``[cos(n·f_k)]_k ‖ [sin(n·f_k)]_k`` of original height, width and crop (0, 0), ``f_k = 10000^(−k/K)``.

    One block per number, each a quarter of the width that the network's projection takes.
    """
    width_in = unet.config.projection_class_embeddings_input_dim
    if unet.config.class_embed_type != "projection" or width_in % 8:
        raise UserError(
            f"unclip/config.json: class_embed_type {unet.config.class_embed_type!r} of width {width_in} takes no "
            "size vector; use an unCLIP network with class_embed_type projection and a width divisible by 8"
        )
    half = width_in // 8
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32) / half)
    angles = torch.tensor([height, width, 0, 0], dtype=torch.float32)[:, None] * frequencies
    vector = torch.cat([angles.cos(), angles.sin()], dim=1).flatten()
    return vector.to(unet.device, unet.dtype).expand(batch, -1)
