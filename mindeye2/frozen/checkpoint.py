"""Checkpoint files in Stability's layout: read tensor by tensor, checked by name and shape before that."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mindeye2.errors import UserError
from mindeye2.frozen.stability import UNET_PREFIX
from mindeye2.pickles import read_pickle

UNCLIP = "an SDXL-unCLIP checkpoint"
SDXL = "a Stable Diffusion XL that reads text"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors of a file: their shapes, and each one itself when it is asked for."""

    file: Path
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], Tensor]

    def converted(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """One tensor in another precision; UserError where it holds no numbers, or some that do not fit."""
        # What was saved as a parameter still asks for gradients.
        stored = self.read(name).detach()
        if not stored.is_floating_point():
            raise UserError(f"{self.file}: {name} holds {stored.dtype}, not floating-point numbers; fetch it again")
        values = stored.to(dtype).contiguous()
        # Both ends of a tensor with a NaN are NaN; looking at each value takes forty times as long.
        if not torch.stack(values.aminmax()).isfinite().all():
            what = f"too large for {dtype}".replace("torch.", "") if stored.isfinite().all() else "not finite"
            raise UserError(f"{self.file}: a value of {name} is {what}; fetch the file again")
        return values.reshape(shape)


def read_checkpoint(file: Path, *, remedy: str) -> Checkpoint:
    """A safetensors file or a pickle (with or without ``state_dict``), told apart by content; nothing in it is run.

    UserError, with the ``remedy``, where it is missing, cut short, damaged, would run code or holds no tensors.
    """
    try:
        with file.open("rb") as opened:
            start = opened.read(9)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; {remedy}") from None
    # The length of a JSON object in eight bytes, then that object.
    if start[8:] == b"{" or (file.suffix == ".safetensors" and not start.startswith(b"PK")):
        try:
            tensors = safe_open(file, framework="pt")
            shapes = {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise UserError(f"{file}: damaged or cut short ({error}); {remedy}") from None
        return Checkpoint(file, shapes, tensors.get_tensor)
    content = read_pickle(file, remedy=remedy, lightning=True)
    state = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping) or not state:
        raise UserError(f"{file}: holds a {type(state).__name__} instead of tensors by name; {remedy}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(f"{file}: holds a {type(value).__name__} under {name!r} where tensors are; {remedy}")
    return Checkpoint(file, {name: tuple(value.shape) for name, value in state.items()}, state.__getitem__)


def check_tensors(
    content: Checkpoint,
    wanted: Mapping[str, tuple[int, ...]],
    *,
    expected: str,
    remedy: str,
    unknown: Iterable[str] = (),
) -> None:
    """UserError that names what is missing, unknown or misshapen, or says what the file is instead of ``expected``."""
    lacking = [name for name in wanted if name not in content.shapes]
    misshapen = [
        name for name, shape in wanted.items() if name in content.shapes and not _fits(content.shapes[name], shape)
    ]
    for problem, found in (("lacks", lacking), ("has an unknown", list(unknown)), ("has another shape of", misshapen)):
        if not found:
            continue
        if (other := recognised(content.shapes)) not in (None, expected):
            raise UserError(f"{content.file}: is {other}, where {expected} is expected; {remedy}")
        name, more = found[0], f" and {len(found) - 1} more" if len(found) > 1 else ""
        sizes = f" ({list(content.shapes[name])}, not {list(wanted[name])})" if found is misshapen else ""
        raise UserError(
            f"{content.file}: {problem} {name}{sizes}{more}, so it is not the network that its configuration "
            f"describes; {remedy}"
        )


def recognised(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """What a file is, if it is one of those that are easily taken for each other."""
    contexts = {
        shape[-1] for name, shape in shapes.items() if re.fullmatch(rf"{UNET_PREFIX}.+\.attn2\.to_k\.weight", name)
    }
    vector = shapes.get(f"{UNET_PREFIX}label_emb.0.0.weight", (0, 0))[-1]
    if any(name.startswith("conditioner.embedders.1.") for name in shapes) or (vector, contexts) == (2816, {2048}):
        return SDXL
    if (vector, contexts) == (1024, {1664}):
        return UNCLIP
    if any(name.startswith("cond_stage_model.") for name in shapes) or (not vector and contexts & {768, 1024}):
        return f"Stable Diffusion {2 if 1024 in contexts else 1}, without SDXL's size vector (label_emb)"
    if any(re.match(r"(down_blocks|mid_block|decoder)\.", name) for name in shapes):
        return "one network in diffusers' own layout"
    if any(name.startswith(("ridge.", "backbone.")) for name in shapes):
        return "a MindEye2 model, which import-weights takes"
    return None


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Equal, or a 1x1 convolution where diffusers has an affine map."""
    return given == wanted or (len(wanted) == 2 and given == (*wanted, 1, 1))
