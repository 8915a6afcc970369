"""A released SDXL-unCLIP checkpoint as folders that diffusers opens."""

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mindeye2.drafts import draft, refuse_content
from mindeye2.errors import UserError
from mindeye2.frozen import stability
from mindeye2.frozen.checkpoint import UNCLIP, Checkpoint, check_tensors, read_checkpoint, shapes_of
from mindeye2.frozen.noise import training_sigmas
from mindeye2.frozen.weights import build, read_json
from mindeye2.loading import uninitialised
from mindeye2.progress import Progress
from mindeye2.units import show_bytes

WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
_GIVE = (
    "give the released unclip6_epoch0_step110000.ckpt, or another checkpoint in its layout with the configurations "
    "of its size (--unet-config, --vae-config)"
)
_CODES = {torch.float16: "F16", torch.float32: "F32"}


@dataclass(frozen=True, eq=False)
class Part:
    """One of the two networks: where it goes, how diffusers calls it, where it lies in the file, its precision."""

    folder: str
    kind: str
    prefix: str
    config: Mapping[str, Any]
    names: Callable[[Iterable[str], Mapping[str, Any]], dict[str, str]]
    dtype: torch.dtype


UNET = Part(
    "unet",
    "UNet2DConditionModel",
    stability.UNET_PREFIX,
    stability.UNCLIP_UNET,
    stability.unet_names,
    torch.float16,
)
# Float32, since its decoder overflows in half precision.
VAE = Part("vae", "AutoencoderKL", stability.VAE_PREFIX, stability.SDXL_VAE, stability.vae_names, torch.float32)


def import_unclip(file: Path, out: Path, *, unet_config: Path | None = None, vae_config: Path | None = None) -> str:
    """Write ``out/unet`` (float16) and ``out/vae`` (float32) of a checkpoint; returns one line on what they hold.

    ``file`` is a ``.ckpt`` or ``.safetensors`` in the layout of generative-models; of a network that was averaged
    while it was trained (``model_ema.``) the average is taken. The configurations are diffusers', by default those of
    the released size. Every tensor is read, converted and written by itself, so memory holds little more than the
    pages of ``file`` that the system keeps.

    UserError where ``out`` exists and is no empty folder, a file is damaged, would run code or is something else, or
    names or shapes are not the configuration's; nothing is written then.
    """
    refuse_content(out)
    content = read_checkpoint(file, remedy=_GIVE)
    averaged = any(name.startswith(f"{stability.EMA_PREFIX}diffusion_model") for name in content.shapes)
    networks = {part: _network(part, path) for part, path in ((UNET, unet_config), (VAE, vae_config))}
    names = {part: _names(part, network, averaged) for part, network in networks.items()}
    _check(content, networks, names)

    sizes = {
        part: sum(tensor.numel() for tensor in network.state_dict().values()) for part, network in networks.items()
    }
    needed = sum(sizes[part] * part.dtype.itemsize for part in networks)
    progress = Progress("import-unclip, MB", max(1, needed // 1_000_000))
    with draft(out) as folder:
        free = shutil.disk_usage(folder.parent).free
        if free < needed:
            raise UserError(f"{out}: needs {show_bytes(needed)}, {show_bytes(free)} are free; choose another --out")
        for part, network in networks.items():
            network.save_config(folder / part.folder)
            path = folder / part.folder / WEIGHTS_FILE
            _write(path, content, names[part], shapes_of(network), part.dtype, progress)
    progress.close()
    return (
        f"UNet of {sizes[UNET]:,} parameters in float16{' (averaged over its training)' if averaged else ''}, "
        f"VAE of {sizes[VAE]:,} in float32"
    )


def _network(part: Part, path: Path | None) -> nn.Module:
    """The network that a configuration describes, without memory for its weights."""
    import diffusers

    config, origin = dict(part.config), Path(f"{part.folder}/config.json")
    if path is not None:
        wanted = f"--{part.folder}-config takes the config.json of diffusers' {part.kind}"
        if not path.is_file():
            raise UserError(f"{path}: no such file; {wanted}")
        config, origin = read_json(path), path
        if (named := config.get("_class_name", part.kind)) != part.kind:
            raise UserError(f"{path}: configures a {named}; {wanted}")

    def make() -> nn.Module:
        try:
            with torch.device("meta"), uninitialised():
                network = getattr(diffusers, part.kind).from_config(config)
        except RuntimeError as error:
            # No memory is asked for, so it is a size that no tensor can have.
            raise ValueError(error) from None
        part.names(network.state_dict(), network.config)
        return network

    return build(make, origin)


def _names(part: Part, network: nn.Module, averaged: bool) -> dict[str, str]:
    """The network's own name -> the file's, for every tensor."""
    names = part.names(network.state_dict(), network.config)
    if part is UNET and averaged:
        return {ours: stability.ema_name(theirs) for ours, theirs in names.items()}
    return {ours: part.prefix + theirs for ours, theirs in names.items()}


def _check(content: Checkpoint, networks: Mapping[Part, nn.Module], names: Mapping[Part, dict[str, str]]) -> None:
    """UserError for tensors that the configurations do not know, or lack, and for other noise levels."""
    wanted = {
        names[part][ours]: shape for part, network in networks.items() for ours, shape in shapes_of(network).items()
    }
    # Beside an average lie counters and what it is one of.
    plain = _names(UNET, networks[UNET], averaged=False).values()
    known = {*wanted, *plain, f"{stability.EMA_PREFIX}decay", f"{stability.EMA_PREFIX}num_updates"}
    unknown = [name for name in content.shapes if name not in known and not name.startswith(stability.OTHER_PREFIXES)]
    check_tensors(content, wanted, expected=UNCLIP, remedy=_GIVE, unknown=unknown)
    if "denoiser.sigmas" in content.shapes:
        theirs, ours = content.read("denoiser.sigmas").float().sort().values, training_sigmas()
        if theirs.shape != ours.shape or not torch.allclose(theirs, ours, rtol=1e-2, atol=0):
            raise UserError(
                f"{content.file}: denoiser.sigmas are other noise levels than the 1000 from 0.0292 to 14.6 that "
                f"pictures are sampled with; {_GIVE}"
            )


def _write(
    path: Path,
    content: Checkpoint,
    names: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    dtype: torch.dtype,
    progress: Progress,
) -> None:
    """A safetensors file, one tensor after the other; its own library would take all of them at once."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + torch.Size(shape).numel() * dtype.itemsize
        header[name] = {"dtype": _CODES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    written = 0
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            values = content.converted(names[name], shape, dtype).numpy()
            file.write(values.data)
            before, written = written, written + values.nbytes
            if more := written // 1_000_000 - before // 1_000_000:
                progress.advance(more)
