"""Which unCLIP checkpoints are taken, which are refused in one line, and that a refusal leaves nothing."""

import argparse
import collections
import json
import os
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from mindeye2.cli import main
from mindeye2.frozen.noise import training_sigmas
from mindeye2.frozen.stability import UNET_PREFIX, VAE_PREFIX, ema_name, unet_names, vae_names

UNET = {
    "sample_size": 8,
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "transformer_layers_per_block": [1, 2],
    "attention_head_dim": [1, 2],
    "use_linear_projection": True,
    "norm_num_groups": 4,
    "cross_attention_dim": 12,
    "class_embed_type": "projection",
    "projection_class_embeddings_input_dim": 16,
}
VAE = {
    "block_out_channels": [8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "latent_channels": 4,
}


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return UNet2DConditionModel.from_config(UNET), AutoencoderKL.from_config(VAE)


@pytest.fixture
def state(networks):
    """A checkpoint of the released layout: 1x1 convolutions in the VAE's attention, half of bigG, the noise levels."""
    unet, vae = networks
    names = unet_names(unet.state_dict(), unet.config)
    content = {UNET_PREFIX + names[name]: value.clone() for name, value in unet.state_dict().items()}
    names = vae_names(vae.state_dict(), vae.config)
    for name, value in vae.state_dict().items():
        convolution = ".mid.attn_1." in names[name] and value.ndim == 2
        content[VAE_PREFIX + names[name]] = value[:, :, None, None].clone() if convolution else value.clone()
    return {
        **content,
        "conditioner.embedders.0.model.visual.proj": torch.zeros(2, 2),
        "denoiser.sigmas": training_sigmas(),
    }


@pytest.fixture
def run(tmp_path, capsys):
    for name, config in (("unet", UNET), ("vae", VAE)):
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
    before = len(os.listdir(tmp_path))

    def run(file, *more, configs=True):
        out = tmp_path / "made" / "unclip"
        options = [f"--{name}-config={tmp_path / name}.json" for name in ("unet", "vae")] if configs else []
        status = main(["import-unclip", str(file), "--out", str(out), *options, *more])
        said = capsys.readouterr()
        if status:
            assert said.err.count("\n") == 1 and "Traceback" not in said.err, said.err
            assert not out.exists() and not list(tmp_path.glob("made/*")) and not list(tmp_path.glob("made/.*"))
            return said.err
        assert os.listdir(out.parent) == ["unclip"]
        return out

    assert before == 2
    return run


def saved(state, path):
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def pickled(content, path):
    torch.save(content, path)
    return path


def assert_same(folder, networks, *, unet=None):
    for part, network, dtype in zip(("unet", "vae"), networks, (torch.float16, torch.float32), strict=True):
        wanted = unet if unet and part == "unet" else network.state_dict()
        found = load_file(folder / part / "diffusion_pytorch_model.safetensors")
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert torch.equal(found[name], value.to(dtype)), name
        opened = type(network).from_pretrained(folder / part)
        assert {parameter.dtype for parameter in opened.parameters()} <= {dtype, torch.float32}


@pytest.mark.parametrize("layout", ["safetensors", "wrapped", "bare", "legacy", "bfloat16"])
def test_every_file_format_gives_the_same_folders(state, networks, run, tmp_path, layout):
    if layout == "safetensors":
        file = saved(state, tmp_path / "unclip6.safetensors")
    elif layout == "legacy":
        file = tmp_path / "unclip6.ckpt"
        torch.save({"state_dict": state}, file, _use_new_zipfile_serialization=False)
    elif layout == "bfloat16":
        file = saved({name: value.bfloat16() for name, value in state.items()}, tmp_path / "unclip6.safetensors")
        networks = [type(network).from_config(network.config) for network in networks]
        for network, prefix, names in zip(networks, (UNET_PREFIX, VAE_PREFIX), (unet_names, vae_names), strict=True):
            theirs = names(network.state_dict(), network.config)
            rounded = {
                name: state[prefix + theirs[name]].bfloat16().float().reshape(value.shape)
                for name, value in network.state_dict().items()
            }
            network.load_state_dict(rounded)
    else:
        content = {"state_dict": state, "epoch": 0, "global_step": 110_000} if layout == "wrapped" else state
        file = pickled(content, tmp_path / "unclip6.ckpt")
    assert_same(run(file), networks)


def test_parameters_are_tensors_too(state, networks, run, tmp_path):
    parameters = {name: torch.nn.Parameter(value) for name, value in state.items()}
    assert_same(run(pickled({"state_dict": parameters}, tmp_path / "unclip6.ckpt")), networks)


def test_of_an_averaged_network_the_average_is_taken(state, networks, run, tmp_path):
    unet = networks[0]
    averages = {name: value + 1 for name, value in unet.state_dict().items()}
    names = unet_names(averages, unet.config)
    extra = {ema_name(names[name]): value for name, value in averages.items()}
    assert "model_ema.diffusion_modeltime_embed0weight" in extra
    counters = {"model_ema.decay": torch.tensor(0.999), "model_ema.num_updates": torch.tensor(3)}
    out = run(saved({**state, **extra, **counters}, tmp_path / "unclip6.safetensors"))
    assert_same(out, networks, unet=averages)


def test_an_average_that_is_not_whole_is_refused(state, networks, run, tmp_path):
    extra = {ema_name("time_embed.0.weight"): state[f"{UNET_PREFIX}time_embed.0.weight"].clone()}
    said = run(saved({**state, **extra}, tmp_path / "unclip6.safetensors"))
    assert "lacks model_ema.diffusion_model" in said


def changed(state, name, value):
    return {other: held for other, held in {**state, name: value}.items() if held is not None}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("model.diffusion_model.label_emb.0.2.bias", None, "lacks model.diffusion_model.label_emb.0.2.bias"),
        ("first_stage_model.quant_conv.bias", None, "lacks first_stage_model.quant_conv.bias"),
        ("model.diffusion_model.adapter.weight", torch.zeros(2), "has an unknown model.diffusion_model.adapter.weight"),
        ("first_stage_model.loss.logvar", torch.zeros(1), "has an unknown first_stage_model.loss.logvar"),
        ("surprise", torch.zeros(2), "has an unknown surprise"),
        ("model.diffusion_model.out.2.bias", torch.zeros(5), r"model.diffusion_model.out.2.bias ([5], not [4])"),
        ("model.diffusion_model.out.2.bias", torch.full((4,), float("nan")), "out.2.bias is not finite"),
        ("model.diffusion_model.out.2.bias", torch.full((4,), 1e6), "out.2.bias is too large for float16"),
        ("model.diffusion_model.out.2.bias", torch.zeros(4, dtype=torch.int8), "out.2.bias holds torch.int8"),
        ("denoiser.sigmas", torch.linspace(0.1, 80, 1000), "denoiser.sigmas are other noise levels"),
    ],
)
def test_what_does_not_fit_is_named(state, run, tmp_path, name, value, expected):
    assert expected in run(saved(changed(state, name, value), tmp_path / "unclip6.safetensors"))


def test_other_files_are_recognised(state, run, tmp_path):
    sd15 = {
        "cond_stage_model.transformer.text_model.final_layer_norm.weight": torch.zeros(768),
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(320, 768),
    }
    said = run(saved(sd15, tmp_path / "unclip6.safetensors"))
    assert "is Stable Diffusion 1, without SDXL's size vector" in said and "unCLIP checkpoint is expected" in said
    sdxl = {"conditioner.embedders.1.model.text_projection": torch.zeros(4, 4)}
    assert "is a Stable Diffusion XL that reads text" in run(saved(sdxl, tmp_path / "sdxl.safetensors"))
    theirs = {"down_blocks.0.resnets.0.norm1.weight": torch.zeros(4)}
    assert "diffusers' own layout" in run(saved(theirs, tmp_path / "unet.safetensors"))
    model = pickled({"state_dict": {"ridge.linears.0.weight": torch.zeros(4, 4)}}, tmp_path / "last.pth")
    assert "a MindEye2 model, which import-weights takes" in run(model)


def test_another_size_needs_its_configuration(state, run, tmp_path):
    file = saved(state, tmp_path / "unclip6.safetensors")
    said = run(file, configs=False)
    assert str(file) in said and "lacks model.diffusion_model." in said and "--unet-config" in said


def test_a_configuration_of_something_else_is_refused(state, run, tmp_path):
    file = saved(state, tmp_path / "unclip6.safetensors")
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"_class_name": "AutoencoderKL", **VAE}))
    assert "configures a AutoencoderKL" in run(file, f"--unet-config={other}")
    other.write_text(json.dumps(UNET | {"layers_per_block": [1, 1]}))
    assert "layers_per_block" in run(file, f"--unet-config={other}")
    other.write_text(json.dumps(UNET | {"cross_attention_dim": -3}))
    assert f"{other}: describes no network of this kind" in run(file, f"--unet-config={other}")
    other.write_text(json.dumps({name: value for name, value in VAE.items() if name != "block_out_channels"}))
    assert f"{other}: describes no network of this kind" in run(file, f"--vae-config={other}")
    assert "no such file" in run(file, f"--unet-config={tmp_path / 'none.json'}")


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
@pytest.mark.parametrize("kept", [0, 5, 1000, -100])
def test_a_file_that_is_cut_short_is_refused(state, run, tmp_path, suffix, kept):
    path = tmp_path / f"whole.{suffix}"
    content = (saved(state, path) if suffix == "safetensors" else pickled({"state_dict": state}, path)).read_bytes()
    file = tmp_path / f"unclip6.{suffix}"
    file.write_bytes(content[:kept])
    said = run(file)
    assert str(file) in said and any(word in said for word in ("cut short", "truncated", "damaged"))


def test_a_pickle_under_the_other_formats_name_is_told(state, run, tmp_path):
    said = run(pickled({"state_dict": state}, tmp_path / "unclip6.safetensors"))
    assert "unclip6.safetensors: is a pickle under the name of a safetensors file; rename it to unclip6.ckpt" in said


def test_a_page_in_place_of_the_file_is_refused(run, tmp_path):
    file = tmp_path / "unclip6.ckpt"
    file.write_text("<!DOCTYPE html><html>Not found</html>")
    assert str(file) in run(file)


class Trap:
    def __reduce__(self):
        return os.system, ("touch sprung",)


def test_nothing_in_a_pickle_is_run(state, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run(pickled({"state_dict": state, "callbacks": Trap()}, tmp_path / "unclip6.ckpt"))
    assert "would run posix.system" in said
    assert not (tmp_path / "sprung").exists()


def test_what_lightning_keeps_beside_the_weights_is_passed_over(state, networks, run, tmp_path):
    state = collections.defaultdict(None, state)
    beside = {"callbacks": {"dirpath": Path("logs")}, "hyper_parameters": argparse.Namespace(base_lr=1e-5)}
    assert_same(run(pickled({"epoch": 0, "state_dict": state, **beside}, tmp_path / "unclip6.ckpt")), networks)


def test_a_description_is_no_tensor(state, run, tmp_path):
    state["model.diffusion_model.out.0.bias"] = Path("logs")
    file = pickled({"state_dict": state}, tmp_path / "unclip6.ckpt")
    assert "holds a Description under 'model.diffusion_model.out.0.bias' where tensors are" in run(file)


def test_an_existing_folder_is_left_alone(state, tmp_path, capsys):
    file, out = saved(state, tmp_path / "unclip6.safetensors"), tmp_path / "here"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert main(["import-unclip", str(file), "--out", str(out)]) == 1
    assert f"{out}: exists already" in capsys.readouterr().err
    assert os.listdir(out) == ["notes.txt"]


def test_an_empty_folder_is_filled(state, networks, run, tmp_path):
    (tmp_path / "made/unclip").mkdir(parents=True)
    assert_same(run(saved(state, tmp_path / "unclip6.safetensors")), networks)


def test_a_full_disk_is_named_before_the_first_byte(state, run, tmp_path, monkeypatch):
    file = saved(state, tmp_path / "unclip6.safetensors")
    monkeypatch.setattr("mindeye2.import_unclip.shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    assert "10 B are free" in run(file)
