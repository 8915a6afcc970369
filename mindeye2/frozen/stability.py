"""Where a tensor of diffusers' networks lies in a file of Stability's generative-models library.

Names are derived from the diffusers side, so that what a network lacks is known by name before anything is read.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
EMA_PREFIX = "model_ema."
OTHER_PREFIXES = ("conditioner.", "denoiser.")
"""What else such a file holds: CLIP, and the table of noise levels."""

UNCLIP_UNET: dict[str, Any] = {
    "sample_size": 96,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 2,
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
    "norm_num_groups": 32,
    "cross_attention_dim": 1664,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 1024,
}
"""The released unCLIP network: 2 501 272 324 parameters. attention_head_dim counts heads, despite its name."""

SDXL_VAE: dict[str, Any] = {
    "sample_size": 768,
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "norm_num_groups": 32,
    "scaling_factor": 0.13025,
    "force_upcast": True,
}

_UNET_RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "class_embedding.linear_1": "label_emb.0.0",
    "class_embedding.linear_2": "label_emb.0.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def unet_names(names: Iterable[str], config: Mapping[str, Any]) -> dict[str, str]:
    """diffusers' name -> the file's, less ``UNET_PREFIX``, of a ``UNet2DConditionModel``'s tensors.

    Input and output blocks are counted through over all levels there: a level has ``layers_per_block`` of them, and
    one more for down- or upsampling. ValueError names a tensor that the layout has no place for.
    """
    layers = config["layers_per_block"]
    if not isinstance(layers, int):
        raise ValueError(f"layers_per_block {layers} is not one number")
    each = layers + 1
    names = list(names)

    def upsampler(level: int) -> int:
        """Its place in the output block: after the residual block and, where there is one, the transformer."""
        return 2 if any(name.startswith(f"up_blocks.{level}.attentions.") for name in names) else 1

    def block(part: str, residual: str) -> str:
        return f"{part}.{_UNET_RESIDUAL[residual]}"

    rules: list[tuple[str, Callable[..., str]]] = [
        (r"down_blocks\.(\d+)\.resnets\.(\d+)\.(\w+)", lambda b, r, x: block(_at("input", b, r, each, 1, 0), x)),
        (r"down_blocks\.(\d+)\.attentions\.(\d+)\.(.+)", lambda b, r, x: f"{_at('input', b, r, each, 1, 1)}.{x}"),
        (r"down_blocks\.(\d+)\.downsamplers\.0\.conv", lambda b: f"{_at('input', b, each - 1, each, 1, 0)}.op"),
        (r"mid_block\.resnets\.([01])\.(\w+)", lambda r, x: block(f"middle_block.{2 * int(r)}", x)),
        (r"mid_block\.attentions\.0\.(.+)", lambda x: f"middle_block.1.{x}"),
        (r"up_blocks\.(\d+)\.resnets\.(\d+)\.(\w+)", lambda b, r, x: block(_at("output", b, r, each, 0, 0), x)),
        (r"up_blocks\.(\d+)\.attentions\.(\d+)\.(.+)", lambda b, r, x: f"{_at('output', b, r, each, 0, 1)}.{x}"),
        (
            r"up_blocks\.(\d+)\.upsamplers\.0\.conv",
            lambda b: f"{_at('output', b, each - 1, each, 0, upsampler(int(b)))}.conv",
        ),
    ]
    return {name: _renamed(name, _UNET_ENDS, rules) for name in names}


def vae_names(names: Iterable[str], config: Mapping[str, Any]) -> dict[str, str]:
    """The same of an ``AutoencoderKL``, less ``VAE_PREFIX``; the decoder's levels are counted from the other end."""
    last = len(config["block_out_channels"]) - 1

    def residual(part: str) -> str:
        return part.replace("conv_shortcut", "nin_shortcut")

    rules: list[tuple[str, Callable[..., str]]] = [
        (
            r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.(\w+)",
            lambda b, r, x: f"encoder.down.{b}.block.{r}.{residual(x)}",
        ),
        (r"encoder\.down_blocks\.(\d+)\.downsamplers\.0\.conv", lambda b: f"encoder.down.{b}.downsample.conv"),
        (
            r"decoder\.up_blocks\.(\d+)\.resnets\.(\d+)\.(\w+)",
            lambda b, r, x: f"decoder.up.{last - int(b)}.block.{r}.{residual(x)}",
        ),
        (r"decoder\.up_blocks\.(\d+)\.upsamplers\.0\.conv", lambda b: f"decoder.up.{last - int(b)}.upsample.conv"),
        (
            r"(encoder|decoder)\.mid_block\.resnets\.([01])\.(\w+)",
            lambda side, r, x: f"{side}.mid.block_{int(r) + 1}.{residual(x)}",
        ),
        (
            r"(encoder|decoder)\.mid_block\.attentions\.0\.(group_norm|to_q|to_k|to_v|to_out\.0)",
            lambda side, x: f"{side}.mid.attn_1.{_VAE_ATTENTION[x]}",
        ),
        (r"(encoder|decoder)\.conv_norm_out", lambda side: f"{side}.norm_out"),
        (r"((?:encoder|decoder)\.conv_(?:in|out)|(?:post_)?quant_conv)", lambda same: same),
    ]
    return {name: _renamed(name, {}, rules) for name in names}


def ema_name(name: str) -> str:
    """Under which name an average over the training is kept: without ``model.``, dots and all."""
    return EMA_PREFIX + f"{UNET_PREFIX}{name}".removeprefix("model.").replace(".", "")


def _at(side: str, level: str, layer: int | str, each: int, first: int, place: int) -> str:
    """One entry of the input or output blocks, which are counted from ``first``: the first convolution is input 0."""
    return f"{side}_blocks.{int(level) * each + int(layer) + first}.{place}"


def _renamed(name: str, ends: dict[str, str], rules: list[tuple[str, Callable[..., str]]]) -> str:
    layer, _, kind = name.rpartition(".")
    if layer in ends:
        return f"{ends[layer]}.{kind}"
    for pattern, rename in rules:
        if match := re.fullmatch(pattern, layer):
            try:
                return f"{rename(*match.groups())}.{kind}"
            except KeyError:
                break
    raise ValueError(f"the released layout has no place for {name}")
