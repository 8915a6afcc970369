"""Names of the parameters in the released checkpoints, for each of ours.

A pair below is (released name, our name). ``{}`` stands for a number, and a pair that ends in a dot for
both ``weight`` and ``bias``.
"""

import re

DECODER, MIDDLE = "backbone.bupsampler.", "backbone.bupsampler.mid_block."
OUR_DECODER = "lowlevel.decoder."
UP, OUR_UP = f"{DECODER}up_blocks.{{}}.resnets.{{}}.", f"{OUR_DECODER}up_blocks.{{}}.resnets.{{}}."
RESNET = ("norm1", "conv1", "norm2", "conv2")
NET = "diffusion_prior.net."
TIME, TRANSFORMER = f"{NET}to_time_embeds.0.1.net.", f"{NET}causal_transformer."
LAYER, OUR_LAYER = f"{TRANSFORMER}layers.{{}}.", "prior.network.layers.{}."
SCHEDULE, FREQUENCIES = "diffusion_prior.noise_scheduler.", "0.rotary_emb.freqs"

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


def _pattern(template: str) -> re.Pattern[str]:
    suffix = "(weight|bias)" if template.endswith(".") else ""
    return re.compile(re.escape(template).replace(re.escape("{}"), r"(\d+)") + suffix)


def _template(template: str) -> str:
    return f"{template}{{}}" if template.endswith(".") else template


TO_RELEASED = tuple((_pattern(ours), _template(theirs)) for theirs, ours in NAMES)


def released_name(name: str) -> str | None:
    """Name in the released files of one of our parameters; None for one they cannot hold (residual_mlp)."""
    for pattern, template in TO_RELEASED:
        if match := pattern.fullmatch(name):
            return template.format(*match.groups())
    return None
