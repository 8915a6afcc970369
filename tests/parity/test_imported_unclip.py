"""A checkpoint in the released layout, imported by the command, against outputs of the original code."""

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file
from stability_layout import GOLD, configs, gold

from mindeye2.cli import main
from mindeye2.frozen.sdxl_file import SDXL_CONFIG
from mindeye2.frozen.stability import SDXL_VAE, UNCLIP_UNET, UNET_PREFIX, VAE_PREFIX, unet_names, vae_names
from mindeye2.generate import unclip_latents
from mindeye2.generate.sigmas import sampling_schedule
from mindeye2.generate.unclip import decoded_to_pictures


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    out = folder / "unclip"
    assert main(["import-unclip", str(GOLD / "ckpt_tiny.safetensors"), "--out", str(out), *configs(folder)]) == 0
    return out


@pytest.fixture(scope="module")
def unet(imported):
    return UNet2DConditionModel.from_pretrained(imported / "unet", torch_dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def vae(imported):
    return AutoencoderKL.from_pretrained(imported / "vae").eval()


@pytest.mark.parametrize(("part", "dtype"), [("unet", torch.float16), ("vae", torch.float32)])
def test_precisions_on_the_disk(imported, part, dtype):
    tensors = load_file(imported / part / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {dtype}


@torch.inference_mode()
def test_unet_output(unet):
    arrays = gold("unet_io")
    out = unet(arrays["x"], arrays["timesteps"], arrays["context"], class_labels=arrays["vector"]).sample
    torch.testing.assert_close(out, arrays["out"], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_vae_both_ways(vae):
    arrays = gold("vae_io")
    posterior = vae.encode(arrays["image"]).latent_dist
    torch.testing.assert_close(posterior.mean, arrays["mean"], atol=5e-5, rtol=0)
    torch.testing.assert_close(posterior.logvar, arrays["logvar"], atol=5e-5, rtol=0)
    decoded = vae.decode(arrays["latent_scaled"] / vae.config.scaling_factor).sample
    torch.testing.assert_close(decoded, arrays["decoded"], atol=5e-5, rtol=0)


@torch.inference_mode()
def test_whole_trajectory_and_picture(unet, vae):
    arrays, states = gold("sampler38"), []
    hook = unet.register_forward_pre_hook(lambda module, args: states.append(args[0].chunk(2)[0]))
    names = ("tokens", "uncond_tokens", "vector", "z", "noise", "offset")
    final = unclip_latents(unet, **{name: arrays[name] for name in names})
    hook.remove()

    sigmas, _ = sampling_schedule(38)
    entered = [state * (sigma**2 + 1) ** 0.5 for state, sigma in zip(states, sigmas, strict=False)]
    torch.testing.assert_close(entered[0], arrays["x_start"], atol=1e-5, rtol=0)
    after = torch.stack([*entered[1:], final])
    torch.testing.assert_close(after[arrays["traj_index"]], arrays["traj"], atol=2e-3, rtol=0)
    torch.testing.assert_close(final, arrays["final_latent"], atol=2e-3, rtol=0)
    picture = decoded_to_pictures(vae.decode(final / vae.config.scaling_factor).sample, pixel_range="legacy01")
    torch.testing.assert_close(picture, arrays["image"], atol=1e-3, rtol=0)


@torch.inference_mode()
def test_half_precision_network_gives_nearly_the_same_latents(imported, unet):
    """State and guidance stay float32. Inside the network float16 rounds to 2^-11, of which guidance 5 adds up nine."""
    arrays = gold("sampler38")
    half = UNet2DConditionModel.from_pretrained(imported / "unet", torch_dtype=torch.float16).eval()
    given = {name: arrays[name] for name in ("tokens", "uncond_tokens", "vector", "z", "noise", "offset")}
    rough, exact = (unclip_latents(network, **given, steps=4) for network in (half, unet))
    assert rough.dtype == torch.float32
    assert 0 < (rough - exact).abs().mean() / exact.std() < 9 * 2**-11


@pytest.mark.parametrize("config", [UNCLIP_UNET, SDXL_CONFIG["unet"], UNCLIP_UNET | {"layers_per_block": 1}])
def test_names_are_those_of_diffusers_converter(config):
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    names = unet_names(unet.state_dict(), unet.config)
    converted = convert_ldm_unet_checkpoint({UNET_PREFIX + theirs: theirs for theirs in names.values()}, unet.config)
    assert converted == names
    if config is UNCLIP_UNET:
        assert len(names) == 1680 and unet.num_parameters() == 2_501_272_324


def test_names_of_the_autoencoder_are_those_of_diffusers_converter():
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(SDXL_VAE)
    names = vae_names(vae.state_dict(), vae.config)
    marked = {VAE_PREFIX + theirs: torch.tensor(number) for number, theirs in enumerate(names.values())}
    converted = convert_ldm_vae_checkpoint(marked, vae.config)
    assert {name: number.item() for name, number in converted.items()} == {name: i for i, name in enumerate(names)}
    assert len(names) == 248 and vae.num_parameters() == 83_653_863
