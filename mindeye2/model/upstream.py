"""The released checkpoints' tensor names, both ways, and the sizes that their shapes tell.

A pair below is (released name, our name). ``{}`` stands for a number, and a pair that ends in a dot for
both ``weight`` and ``bias``. What a released file holds beside parameters (the noise schedule's tables, the
rotary frequencies) follows from the sizes: it is compared on the way in and made anew on the way out.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mindeye2.errors import UserError
from mindeye2.loading import uninitialised
from mindeye2.model.attention import rotary_frequencies
from mindeye2.model.diffusion import cosine_schedule
from mindeye2.model.mindeye import MindEye
from mindeye2.model.prior import rotary_dims
from mindeye2.model.weights import check_state

DECODER, MIDDLE = "backbone.bupsampler.", "backbone.bupsampler.mid_block."
OUR_DECODER = "lowlevel.decoder."
UP, OUR_UP = f"{DECODER}up_blocks.{{}}.resnets.{{}}.", f"{OUR_DECODER}up_blocks.{{}}.resnets.{{}}."
RESNET = ("norm1", "conv1", "norm2", "conv2")
NET = "diffusion_prior.net."
TIME, TRANSFORMER = f"{NET}to_time_embeds.0.1.net.", f"{NET}causal_transformer."
LAYER, OUR_LAYER = f"{TRANSFORMER}layers.{{}}.", "prior.network.layers.{}."
SCHEDULE = "diffusion_prior.noise_scheduler."

NAMES = (
    ("ridge.linears.{}.", "ridge.linears.{}."),
    ("backbone.mixer_blocks1.{}.0.", "backbone.width.{}.norm."),
    ("backbone.mixer_blocks1.{}.1.0.", "backbone.width.{}.fc1."),
    ("backbone.mixer_blocks1.{}.1.3.", "backbone.width.{}.fc2."),
    ("backbone.mixer_blocks2.{}.0.", "backbone.sequence.{}.norm."),
    ("backbone.mixer_blocks2.{}.1.0.", "backbone.sequence.{}.fc1."),
    ("backbone.mixer_blocks2.{}.1.3.", "backbone.sequence.{}.fc2."),
    ("backbone.backbone_linear.", "token_head."),
    ("backbone.clip_proj.{}.", "retrieval.{}."),
    ("backbone.blin1.", "lowlevel.to_maps."),
    ("backbone.bnorm.", "lowlevel.norm."),
    ("backbone.b_maps_projector.{}.", "lowlevel.projector.{}."),
    (f"{DECODER}conv_in.", f"{OUR_DECODER}conv_in."),
    *((f"{MIDDLE}resnets.0.{part}.", f"{OUR_DECODER}middle.0.{part}.") for part in RESNET),
    *((f"{MIDDLE}attentions.0.{part}.", f"{OUR_DECODER}middle.1.{part}.") for part in ("to_q", "to_k", "to_v")),
    (f"{MIDDLE}attentions.0.group_norm.", f"{OUR_DECODER}middle.1.group_norm."),
    (f"{MIDDLE}attentions.0.to_out.0.", f"{OUR_DECODER}middle.1.to_out."),
    *((f"{MIDDLE}resnets.1.{part}.", f"{OUR_DECODER}middle.2.{part}.") for part in RESNET),
    *((f"{UP}{part}.", f"{OUR_UP}{part}.") for part in (*RESNET, "conv_shortcut")),
    (f"{DECODER}up_blocks.{{}}.upsamplers.0.conv.", f"{OUR_DECODER}up_blocks.{{}}.upsampler."),
    (f"{DECODER}conv_norm_out.", f"{OUR_DECODER}norm_out."),
    (f"{DECODER}conv_out.", f"{OUR_DECODER}conv_out."),
    (f"{NET}learned_query", "prior.network.position"),
    (f"{NET}null_brain_embeds", "prior.network.null_brain"),
    (f"{NET}null_image_embed", "prior.network.null_image"),
    (f"{TIME}0.0.", "prior.network.time.0."),
    (f"{TIME}1.0.", "prior.network.time.2."),
    (f"{TIME}2.", "prior.network.time.4."),
    (f"{TRANSFORMER}rel_pos_bias.relative_attention_bias.", "prior.network.relative_bias.table."),
    (f"{LAYER}0.norm.g", f"{OUR_LAYER}attention.norm.gain"),
    (f"{LAYER}0.null_kv", f"{OUR_LAYER}attention.null_kv"),
    (f"{LAYER}0.to_q.", f"{OUR_LAYER}attention.to_q."),
    (f"{LAYER}0.to_kv.", f"{OUR_LAYER}attention.to_kv."),
    (f"{LAYER}0.to_out.0.", f"{OUR_LAYER}attention.to_out."),
    (f"{LAYER}0.to_out.1.g", f"{OUR_LAYER}attention.norm_out.gain"),
    (f"{LAYER}1.0.g", f"{OUR_LAYER}feed_forward.norm.gain"),
    (f"{LAYER}1.1.", f"{OUR_LAYER}feed_forward.expand."),
    (f"{LAYER}1.5.", f"{OUR_LAYER}feed_forward.contract."),
    (f"{TRANSFORMER}norm.g", "prior.network.norm.gain"),
    (f"{TRANSFORMER}project_out.", "prior.network.project_out."),
)

# How these models see and make pictures; kept with the weights, since nothing in their shapes tells.
METADATA = {"pixel_range": "legacy01", "token_norm": "post", "prior_scale": "raw", "decode": "0.8 x + 0.2"}


def _pattern(template: str) -> re.Pattern[str]:
    suffix = "(weight|bias)" if template.endswith(".") else ""
    return re.compile(re.escape(template).replace(re.escape("{}"), r"(\d+)") + suffix)


def _template(template: str) -> str:
    return f"{template}{{}}" if template.endswith(".") else template


TO_OURS = tuple((_pattern(theirs), _template(ours)) for theirs, ours in NAMES)
TO_RELEASED = tuple((_pattern(ours), _template(theirs)) for theirs, ours in NAMES)


def _rename(name: str, table: tuple[tuple[re.Pattern[str], str], ...]) -> str | None:
    for pattern, template in table:
        if match := pattern.fullmatch(name):
            return template.format(*match.groups())
    return None


def our_name(name: str) -> str | None:
    """Our name of a parameter of the released files; None for a name they do not have."""
    return _rename(name, TO_OURS)


def released_name(name: str) -> str | None:
    """Name in the released files of one of our parameters; None for one they cannot hold (residual_mlp)."""
    return _rename(name, TO_RELEASED)


def released_constants(*, timesteps: int, depth: int, dim_head: int) -> dict[str, Tensor]:
    """Entries of a released file that are no parameters: 13 tables of the schedule, frequencies of each layer."""
    tables = {f"{SCHEDULE}{name}": table for name, table in cosine_schedule(timesteps).items()}
    tables[f"{SCHEDULE}p2_loss_weight"] = torch.ones(timesteps)
    frequencies = rotary_frequencies(rotary_dims(dim_head))
    return tables | {f"{LAYER.format(layer)}0.rotary_emb.freqs": frequencies for layer in range(depth)}


def released_sizes(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Constructor arguments of the model in a released state dict, read from its names and shapes.

    The groups of the low-level decoder's norms (32) leave no trace in a file and are not among them.
    UserError where a tensor without which no released model exists is missing.
    """

    def count(pattern: str) -> int:
        return sum(re.fullmatch(pattern, name) is not None for name in state)

    try:
        hidden_dim = state["backbone.backbone_linear.weight"].shape[1]
        tokens, clip_dim = state[f"{NET}learned_query"].shape
        first = LAYER.format(0)
        sizes = {
            "voxels": [
                state[f"ridge.linears.{j}.weight"].shape[1] for j in range(count(r"ridge\.linears\.\d+\.weight"))
            ],
            "hidden_dim": hidden_dim,
            "tokens": tokens,
            "clip_dim": clip_dim,
            "alignment": "ridge",
            "backbone": "legacy_mixer",
            "num_blocks": count(r"backbone\.mixer_blocks2\.\d+\.0\.weight"),
            "retrieval": "backbone.clip_proj.0.weight" in state,
            "prior_depth": count(re.escape(TRANSFORMER) + r"layers\.\d+\.0\.null_kv"),
            "prior_heads": state[f"{TRANSFORMER}rel_pos_bias.relative_attention_bias.weight"].shape[1],
            "prior_dim_head": state[f"{first}0.null_kv"].shape[1],
            "prior_ff_mult": state[f"{first}1.5.weight"].shape[1] // clip_dim,
            "prior_timesteps": len(state[f"{SCHEDULE}betas"]),
        }
        if "backbone.blin1.weight" in state:
            map_dim = len(state["backbone.bnorm.weight"])
            side = round((len(state["backbone.blin1.bias"]) / map_dim) ** 0.5)
            widths = [len(state[f"{DECODER}up_blocks.{level}.resnets.0.conv1.bias"]) for level in (2, 1, 0)]
            sizes |= {
                "lowlevel_latents": [len(state[f"{DECODER}conv_out.bias"]), 4 * side, 4 * side],
                "lowlevel_widths": widths,
                "lowlevel_map_dim": map_dim,
                "lowlevel_feature_dim": len(state["backbone.b_maps_projector.6.bias"]),
            }
    except KeyError as error:
        raise UserError(
            f"checkpoint: lacks the tensor {error.args[0]}, so it is no released MindEye2 model; give its last.pth"
        ) from None
    return sizes


def from_released(state: Mapping[str, Tensor], *, lowlevel_groups: int = 32) -> MindEye:
    """The model of a released ``model_state_dict``, on the CPU, in evaluation mode.

    Strict: UserError names the first tensor that is unknown, missing, of another shape, or a table that is not
    the cosine schedule's. Only rotary frequencies may be absent, which some versions of their library left out.
    """
    sizes = released_sizes(state)
    constants = released_constants(
        timesteps=sizes["prior_timesteps"], depth=sizes["prior_depth"], dim_head=sizes["prior_dim_head"]
    )
    for name, ours in constants.items():
        theirs = state.get(name)
        if theirs is None and not name.endswith("rotary_emb.freqs"):
            raise UserError(f"checkpoint: lacks the tensor {name}; it is truncated or of another kind of prior")
        # A model trained under a half-precision engine has its tables rounded to half precision.
        if theirs is not None and not (
            theirs.shape == ours.shape and torch.allclose(theirs.float(), ours, rtol=1e-3, atol=1e-7)
        ):
            raise UserError(f"checkpoint: {name} is not the cosine schedule's; this prior was trained differently")
    renamed = {}
    for name, value in state.items():
        if name in constants:
            continue
        ours = our_name(name)
        if ours is None:
            raise UserError(f"checkpoint: unknown tensor {name}; give the last.pth of a released MindEye2 model")
        renamed[ours] = value.to(torch.float32)
    with uninitialised():
        model = MindEye(**sizes, lowlevel_groups=lowlevel_groups, metadata=METADATA)
    check_state(renamed, model.state_dict(), origin="checkpoint")
    model.load_state_dict(renamed, assign=True)
    return model.eval()


def to_released(model: MindEye) -> dict[str, Tensor]:
    """``model_state_dict`` as the original would write it; UserError for parts that it does not have."""
    sizes = model.sizes
    for part, known in (("backbone", "legacy_mixer"), ("alignment", "ridge")):
        if sizes[part] != known:
            raise UserError(f"{part}={sizes[part]}: released files hold {known} only; convert a model of that {part}")
    return {released_name(name): value for name, value in model.state_dict().items()} | released_constants(
        timesteps=sizes["prior_timesteps"], depth=sizes["prior_depth"], dim_head=sizes["prior_dim_head"]
    )
