"""State dicts of the released checkpoints, both ways, and the sizes that their shapes tell.

What a released file holds beside parameters (the noise schedule's tables, the rotary frequencies) follows from
the sizes: it is compared on the way in and made anew on the way out. What does not follow to the last bit (a
rounded table, the order of the entries) is kept with the model, so that the way back is exact.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mindeye2.errors import UserError
from mindeye2.loading import uninitialised
from mindeye2.model.diffusion import cosine_schedule
from mindeye2.model.mindeye import MindEye
from mindeye2.model.prior import rotary_dims
from mindeye2.model.released_names import DECODER, FREQUENCIES, LAYER, NET, SCHEDULE, TRANSFORMER, released_name

# How these models see and make pictures; kept with the weights, since nothing in their shapes tells.
METADATA = {"pixel_range": "legacy01", "token_norm": "post", "prior_scale": "raw", "decode": "0.8 x + 0.2"}
RELEASED = "released"
"""Entry of a model's metadata that makes the way back exact: ``order`` of the released file's entries, and the
``constants`` in it that are not, to the last bit, those that its sizes give."""

GROUPS = 32
"""Groups of the low-level decoder's norms in every released model; they leave no trace in a file."""
NAMED = 3
"""Tensors that an error names before it counts the rest."""


def released_constants(*, timesteps: int, depth: int, dim_head: int) -> dict[str, Tensor]:
    """Entries of a released file that are no parameters: 13 tables of the schedule, frequencies of each layer.

    The frequencies are written as their library rounds them, which is not always how ours do.
    """
    tables = {f"{SCHEDULE}{name}": table for name, table in cosine_schedule(timesteps).items()}
    tables[f"{SCHEDULE}p2_loss_weight"] = torch.ones(timesteps, device="cpu")
    dims = rotary_dims(dim_head)
    frequencies = 1 / 1e4 ** (torch.arange(0, dims - 1, 2, dtype=torch.float32, device="cpu") / dims)
    return tables | {f"{LAYER.format(layer)}0.rotary_emb.freqs": frequencies for layer in range(depth)}


def released_sizes(state: Mapping[str, Tensor], *, origin: str | Path = "checkpoint") -> dict[str, Any]:
    """Constructor arguments of the model in a released state dict, read from its names and shapes.

    The groups of the low-level decoder's norms leave no trace in a file and are not among them.
    UserError, which names ``origin``, where a tensor without which no released model exists is missing or has
    another number of axes.
    """

    def count(pattern: str) -> int:
        return sum(re.fullmatch(pattern, name) is not None for name in state)

    def shape(name: str, axes: int) -> tuple[int, ...]:
        if name not in state:
            raise UserError(
                f"{origin}: lacks the tensor {name}, so it is no released MindEye2 model; give its last.pth"
            )
        found = tuple(state[name].shape)
        if len(found) != axes or 0 in found:
            raise UserError(f"{origin}: {name} has shape {found}, as in no released MindEye2 model; give its last.pth")
        return found

    subjects = max(count(r"ridge\.linears\.\d+\.weight"), 1)
    tokens, clip_dim = shape(f"{NET}learned_query", 2)
    first = LAYER.format(0)
    sizes = {
        "voxels": [shape(f"ridge.linears.{position}.weight", 2)[1] for position in range(subjects)],
        "hidden_dim": shape("backbone.backbone_linear.weight", 2)[1],
        "tokens": tokens,
        "clip_dim": clip_dim,
        "alignment": "ridge",
        "backbone": "legacy_mixer",
        "num_blocks": count(r"backbone\.mixer_blocks2\.\d+\.0\.weight"),
        "retrieval": "backbone.clip_proj.0.weight" in state,
        "prior_depth": count(re.escape(TRANSFORMER) + r"layers\.\d+\.0\.null_kv"),
        "prior_heads": shape(f"{TRANSFORMER}rel_pos_bias.relative_attention_bias.weight", 2)[1],
        "prior_dim_head": shape(f"{first}0.null_kv", 2)[1],
        "prior_ff_mult": shape(f"{first}1.5.weight", 2)[1] // clip_dim,
        "prior_timesteps": shape(f"{SCHEDULE}betas", 1)[0],
    }
    if "backbone.blin1.weight" in state:
        (map_dim,) = shape("backbone.bnorm.weight", 1)
        side = round((shape("backbone.blin1.bias", 1)[0] / map_dim) ** 0.5)
        widths = [shape(f"{DECODER}up_blocks.{level}.resnets.0.conv1.bias", 1)[0] for level in (2, 1, 0)]
        sizes |= {
            "lowlevel_latents": [shape(f"{DECODER}conv_out.bias", 1)[0], 4 * side, 4 * side],
            "lowlevel_widths": widths,
            "lowlevel_map_dim": map_dim,
            "lowlevel_feature_dim": shape("backbone.b_maps_projector.6.bias", 1)[0],
        }
    return sizes


def from_released(
    state: Mapping[str, Tensor],
    *,
    subjects: Sequence[int] | None = None,
    lowlevel_groups: int = GROUPS,
    origin: str | Path = "checkpoint",
) -> MindEye:
    """The model of a released ``model_state_dict``, on the CPU, in evaluation mode; float32 tensors are not copied.

    Strict: UserError names ``origin`` and the tensors that are unknown, missing, of another shape or not finite, or a
    table that is not the cosine schedule's. Only rotary frequencies may be absent, which some versions of their
    library left out. ``subjects`` are the ids behind the ridges, ascending, where they are known.
    """
    sizes = released_sizes(state, origin=origin)
    if any(width % lowlevel_groups for width in sizes.get("lowlevel_widths", ())):
        raise UserError(
            f"{origin}: its low-level decoder has widths {sizes['lowlevel_widths']}, no multiples of the "
            f"{lowlevel_groups} groups of its norms; give the configuration that it was trained with"
        )
    with uninitialised():
        model = MindEye(**sizes, subjects=subjects, lowlevel_groups=lowlevel_groups, metadata=METADATA)
    expected = {released_name(name): name for name in model.state_dict()}
    constants = _constants(sizes)
    _check_names(state, expected, constants, origin)
    _check_constants(state, constants, origin)

    ours = model.state_dict()
    _check_shapes(state, {name: ours[known].shape for name, known in expected.items()}, origin)
    renamed = {known: state[name].to(torch.float32) for name, known in expected.items()}
    _check_finite({name: renamed[known] for name, known in expected.items()}, origin)
    model.load_state_dict(renamed, assign=True)
    unlike = {name: value for name, value in constants.items() if name in state and not _same(state[name], value)}
    model.metadata[RELEASED] = {
        "order": list(state),
        "constants": {name: state[name].tolist() for name in unlike},
    }
    return model.eval()


def to_released(model: MindEye) -> dict[str, Tensor]:
    """``model_state_dict`` as the original would write it; UserError for parts that it does not have.

    A model that came from a released file gives back exactly what that file held, in its order.
    """
    sizes = model.sizes
    for part, known in (("backbone", "legacy_mixer"), ("alignment", "ridge")):
        if sizes[part] != known:
            raise UserError(f"{part}={sizes[part]}: released files hold {known} only; convert a model of that {part}")
    state = {released_name(name): value for name, value in model.state_dict().items()} | _constants(sizes)
    found = model.metadata.get(RELEASED)
    if found is None:
        return state
    state |= {name: torch.tensor(value, dtype=torch.float32) for name, value in found["constants"].items()}
    return {name: state[name] for name in found["order"]}


def _constants(sizes: Mapping[str, Any]) -> dict[str, Tensor]:
    return released_constants(
        timesteps=sizes["prior_timesteps"], depth=sizes["prior_depth"], dim_head=sizes["prior_dim_head"]
    )


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def _check_names(
    state: Mapping[str, Tensor], expected: Mapping[str, str], constants: Mapping[str, Tensor], origin: str | Path
) -> None:
    known = expected.keys() | constants.keys()
    lacking = [name for name in (*expected, *constants) if name not in state and not name.endswith(FREQUENCIES)]
    problems = (("lacks", "tensor", lacking), ("has", "unknown tensor", [name for name in state if name not in known]))
    found = [f"{verb} {_listed(names, kind)}" for verb, kind, names in problems if names]
    if found:
        raise UserError(
            f"{origin}: {'; '.join(found)}; it is of another architecture or damaged, so give the last.pth of a "
            "released MindEye2 model"
        )


def _check_shapes(state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], origin: str | Path) -> None:
    for name, shape in shapes.items():
        if state[name].shape != shape:
            raise UserError(
                f"{origin}: {name} has shape {tuple(state[name].shape)} where its others ask for {tuple(shape)}; "
                "it is of another architecture or damaged, so give the last.pth of a released MindEye2 model"
            )
        if not state[name].is_floating_point():
            raise UserError(
                f"{origin}: {name} holds {state[name].dtype} where weights are floating-point numbers; "
                "give a released MindEye2 model's last.pth"
            )


def _check_constants(state: Mapping[str, Tensor], constants: Mapping[str, Tensor], origin: str | Path) -> None:
    for name, ours in constants.items():
        theirs = state.get(name)
        # A model trained under a half-precision engine has its tables rounded to half precision.
        if theirs is not None and not (
            theirs.shape == ours.shape and torch.allclose(theirs.float(), ours, rtol=1e-3, atol=1e-7)
        ):
            known = "the cosine schedule's" if name.startswith(SCHEDULE) else "those of rotary embedding with θ = 10000"
            raise UserError(
                f"{origin}: {name} holds other numbers than {known}, so its prior was trained differently; give the "
                "last.pth of a released MindEye2 model"
            )


def _check_finite(state: Mapping[str, Tensor], origin: str | Path) -> None:
    for name, value in state.items():
        # One value that is not finite makes the sum so, and a sum takes no memory. Meta tensors have no values.
        if not value.is_meta and not value.sum().isfinite():
            raise UserError(
                f"{origin}: {name} has values that are not finite; it is damaged or its training diverged, so give the "
                "last.pth of a released MindEye2 model"
            )


def _listed(names: Sequence[str], kind: str) -> str:
    """``the tensor a`` or ``5 tensors: a, b, c and 2 more``."""
    if len(names) == 1:
        return f"the {kind} {names[0]}"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} {kind}s: {', '.join(names[:NAMED])}{more}"
