"""A whole weights folder of random networks for 32-px pictures, in the layout that the stages read."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from mindeye2.demo.networks.text import merges, vocab_size, word_tokenizer, write_merges
from mindeye2.frozen.captioner import Converter, FeaturesAsPixels
from mindeye2.frozen.convnext import ConvNeXtTeacher
from mindeye2.frozen.gnet import FILE, Encoder, Readout
from mindeye2.frozen.tokenizer import CONTEXT, END, clip_tokenizer

PX, PATCH, WIDTH, TOKENS = 32, 8, 16, 16
WORDS = ["a", "blue", "cat", "house", "large", "on", "red", "the"]
UNET: dict[str, Any] = {
    "sample_size": 8,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "attention_head_dim": (1, 2),
    "use_linear_projection": True,
    "norm_num_groups": 4,
}


def write(folder: Path) -> Path:
    """Write clip, vae, convnext, unclip, sdxl and captioner."""
    torch.manual_seed(0)
    _clip(folder / "clip")
    _vae(folder / "vae")
    _convnext(folder / "convnext")
    _unclip(folder / "unclip")
    _sdxl(folder / "sdxl")
    _captioner(folder / "captioner")
    return folder


def gnet(folder: Path, *, voxels: int) -> Path:
    """Write a GNet of one subject, in the released file's layout."""
    encoder = Encoder(width=2, pass_through=2, side=227)
    torch.nn.init.zeros_(encoder.mu)
    readout = Readout(voxels=voxels, features=128 + 6 * 2, fine=25, coarse=13)
    generator = torch.Generator().manual_seed(0)
    for values in (readout.rf0, readout.rf1, readout.w):
        torch.nn.init.normal_(values, generator=generator)
    torch.nn.init.zeros_(readout.b)
    folder.mkdir(parents=True)
    params = {"enc": encoder.state_dict(), "fwrfs": {1: readout.state_dict()}}
    torch.save({"best_params": params}, folder / FILE)
    return folder


def _save(network: torch.nn.Module, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.detach().contiguous() for name, value in network.state_dict().items()}, path)


def _clip(folder: Path) -> None:
    from open_clip import CLIP

    words = merges(WORDS)
    model = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": PX, "patch_size": PATCH, "layers": 2, "width": WIDTH, "head_width": 8},
        "text_cfg": {"context_length": 24, "width": 8, "heads": 2, "layers": 1, "vocab_size": vocab_size(words)},
    }
    _save(CLIP(**model), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_cfg": model}))
    write_merges(words, folder / "bpe.txt.gz")


def _vae(folder: Path) -> None:
    from diffusers import AutoencoderKL

    AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        scaling_factor=0.5,
    ).save_pretrained(folder)


def _convnext(folder: Path) -> None:
    config = {"depths": [1, 1, 1], "widths": [8, 8, 8], "projector": [8, 8, 6]}
    _save(ConvNeXtTeacher(**config), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


def _unclip(folder: Path) -> None:
    from diffusers import UNet2DConditionModel

    UNet2DConditionModel(
        **UNET, cross_attention_dim=WIDTH, class_embed_type="projection", projection_class_embeddings_input_dim=32
    ).save_pretrained(folder)


def _sdxl(folder: Path) -> None:
    from diffusers import EulerDiscreteScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    UNet2DConditionModel(
        **UNET,
        cross_attention_dim=8 + 12,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=12 + 6 * 4,
    ).save_pretrained(folder / "unet")
    words = merges(WORDS)
    towers = (("", 8, CLIPTextModel, END), ("_2", 12, CLIPTextModelWithProjection, "!"))
    for suffix, width, kind, pad in towers:
        tokenizer = clip_tokenizer(words, pad=pad)
        tokenizer.save_pretrained(folder / f"tokenizer{suffix}")
        config = CLIPTextConfig(
            hidden_size=width,
            projection_dim=width,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            vocab_size=vocab_size(words),
            max_position_embeddings=CONTEXT,
            eos_token_id=tokenizer.eos_token_id,
        )
        kind(config).save_pretrained(folder / f"text_encoder{suffix}")
    EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").save_pretrained(
        folder / "scheduler"
    )
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLImg2ImgPipeline"}))


def _captioner(folder: Path) -> None:
    from transformers import GitConfig, GitForCausalLM

    tokenizer = word_tokenizer(WORDS)
    vision = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = GitConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=32,
        vocab_size=len(tokenizer),
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
        tie_word_embeddings=False,
        vision_config={**vision, "image_size": PX, "patch_size": PATCH},
    )
    git = GitForCausalLM(config)
    git.git.image_encoder = FeaturesAsPixels()
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _save(git, folder / "model.safetensors")
    converter = Converter(tokens=TOKENS, clip_dim=WIDTH, features=TOKENS + 1, feature_dim=8)
    _save(converter, folder / "converter.safetensors")
