"""Samplers against trajectories of the original code, same weights and same random draws (gold generators)."""

from pathlib import Path

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file

from mindeye2.frozen.noise import training_sigmas
from mindeye2.generate import refine
from mindeye2.generate.sigmas import sampling_schedule
from mindeye2.generate.unclip import decoded_to_pictures, unclip_latents

GOLD = Path(__file__).parents[1] / "gold/generators"
SCALING = 0.13025


def load(name):
    return load_file(GOLD / f"{name}.safetensors")


@pytest.fixture(scope="module")
def checkpoint():
    return {name: value.float() for name, value in load("ckpt_tiny").items()}


def tiny_unet(checkpoint, **conditioning):
    unet = UNet2DConditionModel(
        sample_size=(12, 8),
        block_out_channels=(32, 64, 96),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        attention_head_dim=(4, 8, 12),
        use_linear_projection=True,
        cross_attention_dim=48,
        projection_class_embeddings_input_dim=64,
        **conditioning,
    )
    prefix = "model.diffusion_model."
    content = {name: value for name, value in checkpoint.items() if name.startswith(prefix)}
    converted = convert_ldm_unet_checkpoint(content, {**unet.config, **conditioning})
    unet.load_state_dict(converted, strict=True)
    return unet.eval()


@pytest.fixture(scope="module")
def vae(checkpoint):
    vae = AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        scaling_factor=SCALING,
    )
    vae.load_state_dict(convert_ldm_vae_checkpoint(checkpoint, vae.config), strict=True)
    return vae.eval()


@pytest.mark.parametrize("name", ["sampler38", "refine25"])
def test_schedules_are_equal_bit_for_bit(name):
    gold = load(name)
    sigmas, timesteps = sampling_schedule(len(gold["timesteps"]))
    assert torch.equal(timesteps, gold["timesteps"])
    assert torch.equal(sigmas, gold["sigmas"])


def test_training_sigmas_equal_those_of_the_released_file(checkpoint):
    torch.testing.assert_close(training_sigmas(), checkpoint["denoiser.sigmas"], rtol=1e-6, atol=0)


@torch.inference_mode()
def test_unclip_trajectory(checkpoint, vae):
    gold = load("sampler38")
    unet = tiny_unet(checkpoint, class_embed_type="projection")
    states = []
    unet.register_forward_pre_hook(lambda module, args: states.append(args[0].chunk(2)[0]))
    names = ("tokens", "uncond_tokens", "vector", "z", "noise", "offset")
    final = unclip_latents(unet, **{name: gold[name] for name in names}, steps=38, guidance=5.0)

    sigmas, _ = sampling_schedule(38)
    entered = [state * (sigma**2 + 1) ** 0.5 for state, sigma in zip(states, sigmas, strict=False)]
    torch.testing.assert_close(entered[0], gold["x_start"], atol=1e-5, rtol=0)
    after = torch.stack([*entered[1:], final])
    torch.testing.assert_close(after[gold["traj_index"]], gold["traj"], atol=2e-3, rtol=0)
    torch.testing.assert_close(final, gold["final_latent"], atol=2e-3, rtol=0)
    picture = decoded_to_pictures(vae.decode(final / SCALING).sample, pixel_range="legacy01")
    torch.testing.assert_close(picture, gold["image"], atol=1e-3, rtol=0)


@torch.inference_mode()
def test_refinement_trajectory(checkpoint, vae, monkeypatch):
    """The pipeline as ``refine_pictures`` calls it, from the gold latents, noise, text tokens and vectors."""
    gold = load("refine25")
    unet = tiny_unet(checkpoint, class_embed_type="projection")
    # The tiny network takes a ready vector where SDXL makes one of pooled text and sizes.
    unet.register_to_config(addition_time_embed_dim=8)
    unet.add_embedding = unet.class_embedding
    vectors = torch.cat([gold["neg_vector"], gold["vector"]])
    monkeypatch.setattr(unet, "get_class_embed", lambda sample, class_labels: unet.class_embedding(vectors))
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="trailing"
    )
    pipeline = StableDiffusionXLImg2ImgPipeline(vae, None, None, None, None, unet, scheduler, add_watermarker=False)
    pipeline.set_progress_bar_config(disable=True)
    monkeypatch.setattr(
        "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl_img2img.randn_tensor",
        lambda *args, **kwargs: gold["noise"],
    )
    states = []
    unet.register_forward_pre_hook(lambda module, args: states.append(args[0].chunk(2)[0]))
    pictures = pipeline(
        prompt_embeds=gold["tokens"],
        negative_prompt_embeds=gold["neg_tokens"],
        pooled_prompt_embeds=torch.zeros(2, 16),
        negative_pooled_prompt_embeds=torch.zeros(2, 16),
        image=gold["z_image"],
        output_type="pt",
        **refine.sampling_arguments(side=768, native=1024),
    ).images

    sigmas, _ = sampling_schedule(25)
    assert len(states) == 12
    entered = [state * (sigma**2 + 1) ** 0.5 for state, sigma in zip(states, sigmas[13:], strict=False)]
    torch.testing.assert_close(entered[0], gold["x_start"], atol=5e-4, rtol=0)
    torch.testing.assert_close(torch.stack(entered[1:]), gold["traj"][:-1], atol=5e-4, rtol=0)
    torch.testing.assert_close(pictures, gold["image"], atol=5e-4, rtol=0)
