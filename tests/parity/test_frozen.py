"""Frozen networks against outputs of the original code, same weights, loaded from folders as users have them."""

import json

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from gold_models import GOLD as MINDEYE2_GOLD
from gold_models import arrays, assert_close, numbers
from safetensors.torch import load_file, save_file
from stability_layout import SIZES, UNET, VAE, gold, part_of
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from mindeye2.errors import UserError
from mindeye2.frozen.captioner import generate, load_git
from mindeye2.frozen.clip import Clip
from mindeye2.frozen.convnext import ConvNeXtTeacher
from mindeye2.frozen.sdxl import load_text_tower
from mindeye2.frozen.unclip import load_unet, size_vector
from mindeye2.frozen.vae import Vae


def write(folder, config, tensors, name="model"):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.safetensors")
    return folder


@pytest.fixture(scope="module")
def checkpoint():
    return gold("ckpt_tiny")


@pytest.fixture(scope="module")
def clip(checkpoint, tmp_path_factory):
    tensors = part_of(checkpoint, "conditioner.embedders.0.model.")
    return Clip.load(write(tmp_path_factory.mktemp("clip") / "clip", {"model_cfg": SIZES["clip"]}, tensors))


def test_clip_tokens_are_normed_and_of_the_asked_pixel_range(clip):
    arrays = gold("clip_io")
    tokens = clip.tokens(arrays["image01"], pixel_range="legacy01")
    torch.testing.assert_close(tokens, arrays["tokens"], atol=1e-5, rtol=0)
    assert (tokens - arrays["tokens_before_ln"]).abs().max() > 1
    tokens = clip.tokens(arrays["image01"], pixel_range="pm1")
    torch.testing.assert_close(tokens, arrays["tokens_from_pm1"], atol=1e-5, rtol=0)


def test_clip_shrinks_pictures_as_the_original_did(clip):
    arrays = gold("clip_io")
    tokens = clip.tokens(arrays["image01_large"], pixel_range="legacy01")
    torch.testing.assert_close(tokens, arrays["tokens_large"], atol=1e-5, rtol=0)


def test_clip_without_a_text_transformer_says_so(clip):
    with pytest.raises(UserError, match="no text transformer"):
        clip.embed_texts(["a cat"])


def test_unet(checkpoint, tmp_path):
    arrays, vectors = gold("unet_io"), gold("vectors")
    tensors = part_of(checkpoint, "model.diffusion_model.")
    prefixed = {f"model.diffusion_model.{name}": value for name, value in tensors.items()}
    converted = convert_ldm_unet_checkpoint(prefixed, {**UNET, "addition_embed_type": None})
    unet = load_unet(write(tmp_path / "unclip", UNET, converted, "diffusion_pytorch_model"))
    with torch.no_grad():
        out = unet(arrays["x"], arrays["timesteps"], arrays["context"], class_labels=arrays["vector"]).sample
    torch.testing.assert_close(out, arrays["out"], atol=1e-5, rtol=0)
    torch.testing.assert_close(size_vector(unet, 768, 768, 2), vectors["tiny"].expand(2, -1), atol=1e-6, rtol=0)


def test_vae_both_ways(checkpoint, tmp_path):
    arrays = gold("vae_io")
    converted = convert_ldm_vae_checkpoint(
        {name: value for name, value in checkpoint.items() if name.startswith("first_stage_model.")}, VAE
    )
    vae = Vae.load(write(tmp_path / "vae", VAE, converted, "diffusion_pytorch_model"))
    latents = vae.encode((arrays["image"] + 1) / 2)
    torch.testing.assert_close(latents, 0.13025 * arrays["mean"], atol=5e-5, rtol=0)
    torch.testing.assert_close(vae.decode(arrays["latent_scaled"]), arrays["decoded"], atol=5e-5, rtol=0)
    assert vae.factor == 8


def test_captioner_takes_features_for_pixels(tmp_path):
    arrays, sizes = gold("git_io"), dict(SIZES["git"])
    vision = sizes.pop("vision")
    vision["num_hidden_layers"], vision["num_attention_heads"] = vision.pop("layers"), vision.pop("heads")
    special = {f"{name}_token_id": sizes.pop(name) for name in ("bos", "eos", "pad")}
    git = load_git(write(tmp_path / "captioner", {**sizes, **special, "vision_config": vision}, gold("git_tiny")))
    assert torch.equal(generate(git, arrays["features"]), arrays["ids"])
    with torch.no_grad():
        logits = git(input_ids=arrays["ids"], pixel_values=arrays["features"][:, None]).logits
    torch.testing.assert_close(logits[:, -20:], arrays["text_logits"], atol=1e-4, rtol=0)


def test_teacher(tmp_path):
    notes, theirs = numbers("j_teacher"), arrays("j_teacher")
    config = {"depths": notes["depths"], "widths": notes["widths"], "projector": notes["projector_widths"]}
    teacher = ConvNeXtTeacher.load(
        write(tmp_path / "convnext", config, load_file(MINDEYE2_GOLD / "j_teacher.safetensors"))
    )
    images = theirs["image_uint8"] / 255
    for name, found in (
        ("features", teacher.features(images)),
        ("backbone_tokens", teacher.backbone((images - teacher.mean) / teacher.std)),
    ):
        assert_close(found, theirs[name], "j_teacher", name)


def test_text_towers(tmp_path):
    arrays, tensors, sizes = gold("text_io"), gold("text_tiny"), SIZES["text"]
    shared = {"num_attention_heads": 4, "vocab_size": 514, "bos_token_id": 512, "eos_token_id": 513}
    configs = [
        CLIPTextConfig(
            hidden_size=sizes["w1"],
            intermediate_size=4 * sizes["w1"],
            num_hidden_layers=sizes["l1"],
            hidden_act="quick_gelu",
            **shared,
        ),
        CLIPTextConfig(
            hidden_size=sizes["w2"],
            intermediate_size=4 * sizes["w2"],
            num_hidden_layers=sizes["l2"],
            hidden_act="gelu",
            projection_dim=sizes["w2"],
            **shared,
        ),
    ]
    # The key names of both towers differ from those of today's library: its own loader has to know the old ones.
    first = part_of(tensors, "conditioner.embedders.0.transformer.")
    second = convert_open_clip_checkpoint(
        CLIPTextModelWithProjection(configs[1]), tensors, prefix="conditioner.embedders.1.model."
    )
    folders = [
        write(tmp_path / name, config.to_dict(), content)
        for name, config, content in zip(("one", "two"), configs, (first, second), strict=True)
    ]
    one = load_text_tower(CLIPTextModel, folders[0])
    two = load_text_tower(CLIPTextModelWithProjection, folders[1])
    with torch.no_grad():
        left = one(arrays["ids_1"], output_hidden_states=True)
        right = two(arrays["ids_2"], output_hidden_states=True)
    context = torch.cat([left.hidden_states[-2], right.hidden_states[-2]], dim=-1)
    torch.testing.assert_close(context, arrays["crossattn"], atol=1e-5, rtol=0)
    torch.testing.assert_close(right.text_embeds, arrays["pooled"], atol=1e-5, rtol=0)
