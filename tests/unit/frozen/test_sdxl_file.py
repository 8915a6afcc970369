"""SDXL in one file: the same networks and tokens as in a folder, and one line for what is no such file."""

import json
from pathlib import Path

import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file

from mindeye2.errors import UserError
from mindeye2.frozen import sdxl
from mindeye2.frozen.sdxl import load_pipeline
from mindeye2.frozen.sdxl_file import SDXL_CONFIG, load_components
from mindeye2.frozen.stability import UNET_PREFIX, VAE_PREFIX, unet_names, vae_names
from mindeye2.frozen.tokenizer import clip_tokenizer, published_merges

CLIP_L, BIGG = "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."
PLAIN = {
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
INSIDE = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}


@pytest.fixture(scope="module")
def folder(weights):
    return load_pipeline(weights / "sdxl", weights / "vae")


def open_clip_names(tower):
    """The second tower under the names of the library that it was trained with."""
    state = {name.removeprefix("text_model."): value for name, value in tower.state_dict().items()}
    found = {theirs: state.pop(ours) for ours, theirs in PLAIN.items()}
    found["text_projection"] = state.pop("text_projection.weight").T
    for layer in range(tower.config.num_hidden_layers):
        ours, theirs = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            parts = [state.pop(f"{ours}self_attn.{part}_proj.{kind}") for part in "qkv"]
            found[f"{theirs}attn.in_proj_{kind}"] = torch.cat(parts)
            found[f"{theirs}attn.out_proj.{kind}"] = state.pop(f"{ours}self_attn.out_proj.{kind}")
            for name, other in INSIDE.items():
                found[f"{theirs}{other}.{kind}"] = state.pop(f"{ours}{name}.{kind}")
    assert not state
    return found


@pytest.fixture(scope="module")
def content(folder):
    """The shipped refiner as one file, with what community files hold beside it."""
    unet, vae = folder.unet, folder.vae
    names = unet_names(unet.state_dict(), unet.config)
    tensors = {UNET_PREFIX + names[name]: value for name, value in unet.state_dict().items()}
    names = vae_names(vae.state_dict(), vae.config)
    tensors |= {VAE_PREFIX + names[name]: value for name, value in vae.state_dict().items()}
    first = folder.text_encoder.state_dict()
    tensors |= {CLIP_L + name.removeprefix("text_model."): value for name, value in first.items()}
    tensors |= {BIGG + name: value for name, value in open_clip_names(folder.text_encoder_2).items()}
    extra = {f"{BIGG}logit_scale": torch.ones(()), f"{CLIP_L}embeddings.position_ids": torch.arange(77)[None]}
    return {name: value.contiguous() for name, value in (tensors | extra).items()}


@pytest.fixture(scope="module")
def sizes(folder):
    """What ``load_components`` needs to know of networks that are not SDXL's size."""
    pipeline = {part: dict(getattr(folder, part).config) for part in ("unet", "vae")}
    towers = {part: getattr(folder, part).config.to_dict() for part in ("text_encoder", "text_encoder_2")}
    vocabulary = json.loads(folder.tokenizer.backend_tokenizer.to_str())["model"]
    merges = [tuple(merge) for merge in vocabulary["merges"]]
    return {"config": pipeline | towers, "merges": lambda: merges}


def written(content, path):
    save_file(content, path)
    return path


def test_one_file_gives_the_same_networks_and_tokens(folder, content, sizes, tmp_path):
    parts = load_components(written(content, tmp_path / "zavy.safetensors"), dtype=torch.float32, **sizes)
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        expected = getattr(folder, name).state_dict()
        found = parts[name].state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], value) for key, value in expected.items()), name
    for name in ("tokenizer", "tokenizer_2"):
        texts = ["a red cat", "two dogs", ""]
        assert (
            parts[name](texts, padding="max_length")["input_ids"]
            == getattr(folder, name)(texts, padding="max_length")["input_ids"]
        )


def test_the_pipeline_of_a_file_refines_as_that_of_the_folder(folder, content, sizes, tmp_path, weights, monkeypatch):
    file = written(content, tmp_path / "zavy.safetensors")
    monkeypatch.setattr(sdxl, "load_components", lambda path, dtype: load_components(path, dtype=dtype, **sizes))
    pipeline = load_pipeline(file, weights / "none")
    given = {
        "prompt": ["a red cat"],
        "image": torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)),
        "num_inference_steps": 4,
        "strength": 0.5,
        "output_type": "pt",
    }
    pictures = [made(**given, generator=[torch.Generator().manual_seed(1)]).images for made in (folder, pipeline)]
    torch.testing.assert_close(*pictures, atol=1e-5, rtol=0)


def test_half_is_kept_for_a_gpu(content, sizes, tmp_path):
    file = written(content, tmp_path / "zavy.safetensors")
    parts = load_components(file, dtype=None, **sizes)
    assert parts["unet"].dtype == torch.float16
    assert {parts[name].dtype for name in ("vae", "text_encoder", "text_encoder_2")} == {torch.float32}


def test_what_is_no_sdxl_is_named(content, sizes, tmp_path, weights):
    lost = f"{BIGG}ln_final.bias"
    file = written({name: value for name, value in content.items() if name != lost}, tmp_path / "lost.safetensors")
    with pytest.raises(UserError, match=r"lost\.safetensors: lacks conditioner\.embedders\.1\.model\.ln_final\.bias"):
        load_components(file, dtype=None, **sizes)
    sd15 = {
        "cond_stage_model.transformer.text_model.final_layer_norm.weight": torch.zeros(768),
        f"{UNET_PREFIX}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(320, 768),
    }
    with pytest.raises(UserError, match=r"is Stable Diffusion 1, .* where a Stable Diffusion XL that reads text is"):
        load_components(written(sd15, tmp_path / "sd15.safetensors"), dtype=None, **sizes)
    whole = written(content, tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut\.safetensors: damaged or cut short"):
        load_components(tmp_path / "cut.safetensors", dtype=None, **sizes)


def test_published_sizes():
    """Parameters of SDXL base: UNet, VAE and the text towers of CLIP-L and bigG."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    with torch.device("meta"):
        made = [
            UNet2DConditionModel.from_config(SDXL_CONFIG["unet"]),
            AutoencoderKL.from_config(SDXL_CONFIG["vae"]),
            CLIPTextModel(CLIPTextConfig(**SDXL_CONFIG["text_encoder"])),
            CLIPTextModelWithProjection(CLIPTextConfig(**SDXL_CONFIG["text_encoder_2"])),
        ]
    counts = [sum(value.numel() for value in network.parameters()) for network in made]
    assert counts == [2_567_463_684, 83_653_863, 123_060_480, 694_659_840]
    unet, vae, first, second = made
    sdxl._check_fit(Path("sdxl"), unet=unet, vae=vae, text_encoder=first, text_encoder_2=second)
    assert first.config.vocab_size == second.config.vocab_size == len(clip_tokenizer(published_merges(), pad="!"))


def test_tokens_are_those_of_the_published_vocabulary():
    theirs, ours = SimpleTokenizer(), clip_tokenizer(published_merges(), pad="!")
    assert len(ours) == 49408
    for text in ("a man riding a wave on top of a surfboard.", "two zebras, 3 giraffes & a café's sign", ""):
        expected = [theirs.sot_token_id, *theirs.encode(text), theirs.eot_token_id]
        assert ours(text)["input_ids"] == expected
    padded = ours("a cat", padding="max_length")["input_ids"]
    assert len(padded) == 77 and padded[-1] == 0 and max(padded) == theirs.eot_token_id
