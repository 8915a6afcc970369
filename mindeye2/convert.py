"""Published files that no loader reads as they are, into the layout of a network's folder.

Pickles are read without running what they hold; of what a file holds beside the network (optimisers, other heads)
nothing is kept. Sizes come from the tensors. Each function writes into ``out``, and raises UserError for a file that
is not what it is called.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mindeye2.errors import UserError
from mindeye2.frozen.captioner import Converter
from mindeye2.frozen.convnext import ConvNeXtTeacher
from mindeye2.frozen.weights import build, fill
from mindeye2.import_unclip import import_unclip
from mindeye2.loading import uninitialised
from mindeye2.pickles import read_pickle

# diffusers' names of attention until 0.17, and since.
_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_SD_SCALING = 0.18215
"""One over the standard deviation of the latents of Stable Diffusion 1's autoencoder."""


def lowlevel_vae(source: Path, out: Path) -> None:
    """The plain state dict of an ``AutoencoderKL`` of Stable Diffusion 1, attention under its old or new names."""
    from diffusers import AutoencoderKL

    tensors = {_new_name(name): value for name, value in _tensors(source).items()}
    levels = _count(tensors, r"encoder\.down_blocks\.(\d+)\.", source)
    config = {
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": [
            len(_get(tensors, f"encoder.down_blocks.{level}.resnets.0.conv1.weight", source)) for level in range(levels)
        ],
        "layers_per_block": _count(tensors, r"encoder\.down_blocks\.0\.resnets\.(\d+)\.", source),
        "latent_channels": _get(tensors, "decoder.conv_in.weight", source).shape[1],
        "scaling_factor": _SD_SCALING,
    }
    with uninitialised():
        network = build(lambda: AutoencoderKL.from_config(config), source)
    fill(network, tensors, source).save_pretrained(out)


def convnext(source: Path, out: Path) -> None:
    """VICRegL's full checkpoint: of its ``model`` the backbone and the projector of local features."""
    content = _tensors(source, key="model")
    plain = {name.removeprefix("module."): value for name, value in content.items()}
    tensors = {name: value for name, value in plain.items() if name.startswith(("backbone.", "maps_projector."))}
    stages = _count(tensors, r"backbone\.stages\.(\d+)\.", source)
    config = {
        "depths": [_count(tensors, rf"backbone\.stages\.{stage}\.(\d+)\.", source) for stage in range(stages)],
        "widths": [len(_get(tensors, f"backbone.stages.{stage}.0.norm.weight", source)) for stage in range(stages)],
        "projector": [len(_get(tensors, f"maps_projector.{layer}.weight", source)) for layer in (0, 3, 6)],
    }
    with uninitialised():
        network = build(lambda: ConvNeXtTeacher(**config), source)
    fill(network, tensors, source)
    out.mkdir(parents=True, exist_ok=True)
    _save(tensors, out / "model.safetensors")
    (out / "config.json").write_text(json.dumps(config))


def caption_converter(source: Path, out: Path) -> None:
    """The released converter from bigG's tokens to GIT's features, under ``model_state_dict``."""
    tensors = _tensors(source, key="model_state_dict")
    (features, tokens), (feature_dim, clip_dim) = (
        _get(tensors, f"linear{layer}.weight", source).shape for layer in (1, 2)
    )
    sizes = {"tokens": tokens, "clip_dim": clip_dim, "features": features, "feature_dim": feature_dim}
    fill(Converter(**sizes), tensors, source)
    out.mkdir(parents=True, exist_ok=True)
    _save(tensors, out / "converter.safetensors")


def unclip(source: Path, out: Path, **configs: Path) -> None:
    """The released checkpoint of SDXL-unCLIP: its UNet, and its autoencoder into the folder ``vae`` beside ``out``."""
    made, vae = out.with_name(f"{out.name}-made"), out.with_name("vae")
    for old in (made, vae):
        shutil.rmtree(old, ignore_errors=True)
    import_unclip(source, made, **configs)
    out.mkdir(parents=True, exist_ok=True)
    for path in (made / "unet").iterdir():
        path.replace(out / path.name)
    (made / "vae").rename(vae)
    shutil.rmtree(made)


CONVERSIONS: dict[str, Callable[[Path, Path], None]] = {
    "lowlevel_vae": lowlevel_vae,
    "convnext": convnext,
    "caption_converter": caption_converter,
    "unclip": unclip,
}
"""By the name that the table gives them."""


def _tensors(source: Path, *, key: str = "") -> dict[str, Tensor]:
    content: Any = read_pickle(source, remedy="fetch it again")
    if key:
        content = content.get(key) if isinstance(content, Mapping) else None
    tensors = content if isinstance(content, Mapping) else {}
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        where = f"under {key!r} " if key else ""
        raise UserError(f"{source}: holds no tensors by name {where}as the published file does; fetch it again")
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def _get(tensors: Mapping[str, Tensor], name: str, source: Path) -> Tensor:
    if name not in tensors:
        raise UserError(f"{source}: lacks {name}, so it is not the published file of this name; fetch it again")
    return tensors[name]


def _count(tensors: Mapping[str, Tensor], pattern: str, source: Path) -> int:
    """How many different numbers the names hold at the group of ``pattern``."""
    found = {match[1] for name in tensors if (match := re.match(pattern, name))}
    if not found:
        raise UserError(f"{source}: holds no {pattern}, so it is not the published file of this name; fetch it again")
    return len(found)


def _new_name(name: str) -> str:
    head, _, rest = name.rpartition(".attentions.0.")
    if not head:
        return name
    part, _, kind = rest.rpartition(".")
    return f"{head}.attentions.0.{_ATTENTION.get(part, part)}.{kind}"


def _save(tensors: Mapping[str, Tensor], path: Path) -> None:
    # A view into a larger storage would take that storage along.
    save_file(
        {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}, path
    )
