"""The unCLIP network: an SDXL-shaped UNet that reads CLIP image tokens instead of text."""

import math
from pathlib import Path

import torch
from jaxtyping import Float, Int
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


def cells_per_side(unet: nn.Module) -> int:
    """Side of the square latents that a network was made for; UserError where its configuration does not say."""
    if not isinstance(unet.config.sample_size, int):
        raise UserError(
            f"config.json of the UNet: sample_size {unet.config.sample_size!r} is not the side of its square latents; "
            "set it to the side of its pictures over that of a latent cell, 96 for 768 px"
        )
    return unet.config.sample_size


def size_vector(unet: nn.Module, height: int, width: int, batch: int) -> Float[Tensor, "batch adm"]:
    """``size_vectors`` of uncropped pictures of one original size."""
    return size_vectors(unet, torch.tensor([[height, width, 0, 0]])).expand(batch, -1)


def size_vectors(unet: nn.Module, sizes: Int[Tensor, "batch 4"]) -> Float[Tensor, "batch adm"]:
    """``[cos(n·f_k)]_k ‖ [sin(n·f_k)]_k`` of original height, width, crop top and crop left, ``f_k = 10000^(−k/K)``.

    Sizes are in pixels. One block per number, each a quarter of the width that the network's projection takes.
    """
    width_in = unet.config.projection_class_embeddings_input_dim
    if unet.config.class_embed_type != "projection" or width_in % 8:
        raise UserError(
            f"unclip/config.json: class_embed_type {unet.config.class_embed_type!r} of width {width_in} takes no "
            "size vector; use an unCLIP network with class_embed_type projection and a width divisible by 8"
        )
    half = width_in // 8
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float32, device=sizes.device) / half)
    angles = sizes.float()[:, :, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=2).flatten(1).to(unet.device, unet.dtype)


def unclip_from_sdxl(folder: str | Path, *, clip_dim: int) -> nn.Module:
    """An SDXL UNet folder as the start of an unCLIP network: trainable, float32, on the CPU.

    As the original did, everything is taken over but what read text: the keys and values of every cross-attention
    are fresh (from torch's global generator), of input width ``clip_dim``, and of the projection of pooled text and
    sizes the first columns stay, as many as four numbers of a size embed to. UserError where it is no SDXL UNet.
    """
    from diffusers import UNet2DConditionModel

    folder = Path(folder)
    config, files = read_json(folder / "config.json"), tensor_files(folder)
    each = config.get("addition_time_embed_dim")
    if config.get("addition_embed_type") != "text_time" or not each:
        raise UserError(
            f"{folder / 'config.json'}: addition_embed_type {config.get('addition_embed_type')!r} is not SDXL's "
            "text_time; put an SDXL UNet there"
        )
    changed = {
        **config,
        "cross_attention_dim": clip_dim,
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 4 * each,
        "addition_embed_type": None,
        "addition_time_embed_dim": None,
    }
    with uninitialised():
        unet = build(lambda: UNet2DConditionModel.from_config(changed), folder / "config.json")
    fresh = {}
    for name, module in unet.named_modules():
        if name.endswith((".attn2.to_k", ".attn2.to_v")):
            module.reset_parameters()
            fresh |= {f"{name}.{part}": value for part, value in module.state_dict().items()}
    taken = {}
    for name, value in read_tensors(files).items():
        ours = name.replace("add_embedding.", "class_embedding.")
        if ours not in fresh:
            taken[ours] = value[:, : 4 * each].clone() if ours == "class_embedding.linear_1.weight" else value
    return fill(unet, {**taken, **fresh}, files[0]).requires_grad_(True)
