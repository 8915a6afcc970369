"""The loss of unCLIP training against the original's, same weights and same draws (gold generators)."""

from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from diffusers.models.embeddings import get_timestep_embedding
from safetensors.torch import load_file

from mindeye2.frozen.unclip import size_vectors
from mindeye2.train.denoising import noised, unclip_loss

GOLD = Path(__file__).parents[1] / "gold/generators"


@pytest.fixture(scope="module")
def loss():
    return load_file(GOLD / "loss.safetensors")


@pytest.fixture(scope="module")
def unet():
    unet = UNet2DConditionModel(
        sample_size=(12, 8),
        block_out_channels=(32, 64, 96),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        attention_head_dim=(4, 8, 12),
        use_linear_projection=True,
        cross_attention_dim=48,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=64,
    )
    prefix = "model.diffusion_model."
    stored = load_file(GOLD / "ckpt_tiny.safetensors").items()
    content = {name: value.float() for name, value in stored if name.startswith(prefix)}
    unet.load_state_dict(convert_ldm_unet_checkpoint(content, dict(unet.config)), strict=True)
    return unet.eval()


@torch.no_grad()
def test_loss_per_sample(unet, loss):
    found = unclip_loss(
        unet,
        loss["latents"],
        tokens=loss["context"],
        vector=loss["vector"],
        timesteps=loss["index"],
        noise=loss["noise"],
        offset=loss["offset"],
    )
    torch.testing.assert_close(found, loss["loss_per_sample"], atol=1e-5, rtol=0)


def test_noisy_latents_are_the_schedulers(loss):
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    given, target = noised(loss["latents"], timesteps=loss["index"], noise=loss["noise"], offset=loss["offset"])
    torch.testing.assert_close(given, scheduler.add_noise(loss["latents"], target, loss["index"]), atol=1e-5, rtol=0)
    assert (target - loss["noise"]).std(dim=(2, 3)).max() < 1e-6, "the offset is one number per channel"


def test_size_vectors(unet):
    """diffusers' own embedding, to the bit; gold within one rounding of a frequency, at angles up to 768."""
    gold = load_file(GOLD / "vectors.safetensors")
    sizes = gold["time_ids"][:, :4].long()
    unet.register_to_config(projection_class_embeddings_input_dim=1024)
    found = size_vectors(unet, sizes)
    unet.register_to_config(projection_class_embeddings_input_dim=64)
    theirs = get_timestep_embedding(sizes.flatten().float(), 256, flip_sin_to_cos=True, downscale_freq_shift=0)
    assert torch.equal(found, theirs.reshape(2, 1024))
    torch.testing.assert_close(found, gold["unclip_1024"], atol=768 * torch.finfo(torch.float32).eps, rtol=0)
