"""SDXL in one file, as communities share it: the UNet, the VAE and both text towers under Stability's names."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mindeye2.frozen.checkpoint import SDXL, Checkpoint, check_tensors, read_checkpoint, shapes_of
from mindeye2.frozen.stability import SDXL_VAE, UNCLIP_UNET, UNET_PREFIX, VAE_PREFIX, unet_names, vae_names
from mindeye2.frozen.tokenizer import clip_tokenizer, published_merges
from mindeye2.frozen.weights import fill
from mindeye2.loading import uninitialised

_GIVE = "give SDXL base or a fine-tune of it as refine.weights, or fetch the file again"
_CLIP_L, _BIGG = "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."
_TEXT = {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407}

SDXL_CONFIG: dict[str, dict[str, Any]] = {
    "unet": {
        **UNCLIP_UNET,
        "sample_size": 128,
        "cross_attention_dim": 2048,
        "class_embed_type": None,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    "vae": {**SDXL_VAE, "sample_size": 1024},
    "text_encoder": {
        **_TEXT,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "hidden_act": "quick_gelu",
        "projection_dim": 768,
    },
    "text_encoder_2": {
        **_TEXT,
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "hidden_act": "gelu",
        "projection_dim": 1280,
    },
    "scheduler": {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
}
"""diffusers' and transformers' configurations of SDXL base, which its single files do not hold."""

_TOWER = (
    (r"encoder\.layers\.(\d+)\.layer_norm([12])\.(\w+)", r"transformer.resblocks.\1.ln_\2.\3"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc1\.(\w+)", r"transformer.resblocks.\1.mlp.c_fc.\2"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc2\.(\w+)", r"transformer.resblocks.\1.mlp.c_proj.\2"),
    (r"encoder\.layers\.(\d+)\.self_attn\.out_proj\.(\w+)", r"transformer.resblocks.\1.attn.out_proj.\2"),
    (r"encoder\.layers\.(\d+)\.self_attn\.[qkv]_proj\.(\w+)", r"transformer.resblocks.\1.attn.in_proj_\2"),
    (r"final_layer_norm\.(\w+)", r"ln_final.\1"),
    (r"embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"embeddings\.token_embedding\.weight", "token_embedding.weight"),
    (r"text_projection\.weight", "text_projection"),
)


def load_components(
    file: Path,
    *,
    dtype: torch.dtype | None,
    config: Mapping[str, Mapping[str, Any]] = SDXL_CONFIG,
    merges: Callable[[], list[tuple[str, str]]] = published_merges,
) -> dict[str, Any]:
    """Networks and tokenisers of an SDXL pipeline, frozen, on the CPU; float32, the UNet in ``dtype`` (None: float16).

    Tensors that SDXL does not have are passed over: such files hold many. UserError where the file is damaged, lacks
    one, or is another network, such as Stable Diffusion 1.5.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    content = read_checkpoint(file, remedy=_GIVE)
    with uninitialised():
        networks = {
            "unet": UNet2DConditionModel.from_config(dict(config["unet"])),
            "vae": AutoencoderKL.from_config(dict(config["vae"])),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**config["text_encoder"])),
            "text_encoder_2": CLIPTextModelWithProjection(CLIPTextConfig(**config["text_encoder_2"])),
        }
    names = {
        "unet": _prefixed(UNET_PREFIX, unet_names(networks["unet"].state_dict(), networks["unet"].config)),
        "vae": _prefixed(VAE_PREFIX, vae_names(networks["vae"].state_dict(), networks["vae"].config)),
        "text_encoder": {
            name: _CLIP_L + name.removeprefix("text_model.") for name in networks["text_encoder"].state_dict()
        },
        "text_encoder_2": _prefixed(_BIGG, _tower_names(networks["text_encoder_2"].state_dict())),
    }
    check_tensors(content, _wanted(networks, names), expected=SDXL, remedy=_GIVE)
    for part, network in networks.items():
        precision = (dtype or torch.float16) if part == "unet" else torch.float32
        tensors = {
            name: _read(content, name, names[part][name], shape, precision)
            for name, shape in shapes_of(network).items()
        }
        fill(network, tensors, file)
    found = merges()
    return {
        **networks,
        "tokenizer": clip_tokenizer(found, pad="<|endoftext|>"),
        "tokenizer_2": clip_tokenizer(found, pad="!"),
    }


def _prefixed(prefix: str, names: Mapping[str, str]) -> dict[str, str]:
    return {ours: prefix + theirs for ours, theirs in names.items()}


def _tower_names(names: Iterable[str]) -> dict[str, str]:
    """transformers' name -> open_clip's, of the second text tower; three of its projections are rows of one matrix."""
    found = {}
    for name in names:
        for pattern, theirs in _TOWER:
            if match := re.fullmatch(pattern, name.removeprefix("text_model.")):
                found[name] = match.expand(theirs)
                break
        else:
            raise ValueError(f"open_clip's layout has no place for {name}")
    return found


def _wanted(networks: Mapping[str, nn.Module], names: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[int, ...]]:
    """What the file must hold: its name -> shape."""
    wanted = {}
    for part, network in networks.items():
        for name, shape in shapes_of(network).items():
            theirs = names[part][name]
            if ".in_proj_" in theirs:
                shape = (3 * shape[0], *shape[1:])
            wanted[theirs] = shape[::-1] if theirs.endswith(".text_projection") else shape
    return wanted


def _read(content: Checkpoint, name: str, theirs: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    stored = content.shapes[theirs]
    if ".in_proj_" in theirs:
        place = ["q_proj", "k_proj", "v_proj"].index(name.split(".")[-2])
        return content.converted(theirs, stored, dtype).chunk(3)[place].clone()
    if theirs.endswith(".text_projection"):
        return content.converted(theirs, stored, dtype).T.contiguous()
    return content.converted(theirs, shape, dtype)
