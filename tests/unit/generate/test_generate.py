"""Samplers, decoding and blending on small networks."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from mindeye2.errors import UserError
from mindeye2.frozen.noise import training_sigmas
from mindeye2.generate.decode import at_side
from mindeye2.generate.device import InHalf, compute_in_half
from mindeye2.generate.refine import NEGATIVE_PROMPT, blend, sampling_arguments
from mindeye2.generate.sheet import contact_sheet, to_bytes
from mindeye2.generate.sigmas import sampling_schedule
from mindeye2.generate.unclip import decoded_to_pictures, draw_noise, unclip_latents
from mindeye2.seeds import torch_generator

TOKENS, WIDTH, ADM = 5, 8, 16


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        attention_head_dim=(1, 2),
        norm_num_groups=4,
        cross_attention_dim=WIDTH,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=ADM,
    ).eval()


def generators(images, seed=42):
    return [torch_generator(seed, "reconstruct", 1, image, "unclip") for image in images]


@torch.inference_mode()
def decode(unet, images, *, seed=42, guidance=5.0, steps=4, unconditional="legacy", sampler="euler"):
    shapes = {"latent_shape": (4, 8, 8), "token_shape": (TOKENS, WIDTH)}
    noise = draw_noise(generators(images, seed), unconditional=unconditional, **shapes)
    tokens = torch.stack([torch.randn(TOKENS, WIDTH, generator=torch_generator(0, image)) for image in images])
    vector = torch.linspace(0, 1, ADM).expand(len(images), -1)
    how = {"steps": steps, "guidance": guidance, "sampler": sampler}
    return unclip_latents(unet, tokens=tokens, vector=vector, **how, **noise._asdict())


def test_schedule_has_the_published_numbers():
    sigmas, timesteps = sampling_schedule(38)
    assert timesteps[:4].tolist() == [999, 972, 946, 920] and timesteps[-1] == 26
    assert sigmas[:3].tolist() == pytest.approx([14.614641, 12.444417, 10.721358], abs=1e-6)
    assert sigmas[-3:].tolist() == pytest.approx([0.230698, 0.157970, 0.0], abs=1e-6)
    refine, times = sampling_schedule(25)
    assert times[13] == 479 and refine[13].item() == pytest.approx(1.509191, abs=1e-6)
    assert training_sigmas()[0].item() == pytest.approx(0.0291672, abs=1e-7)


@pytest.mark.parametrize("unconditional", ["legacy", "zeros"])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m"])
def test_a_picture_depends_on_neither_its_batch_nor_its_place_in_it(unet, unconditional, sampler):
    """To float32's rounding: matrix products of another size are summed in another order."""
    how = {"unconditional": unconditional, "sampler": sampler}
    together = decode(unet, [3, 8, 1, 5], **how)
    torch.testing.assert_close(decode(unet, [1], **how)[0], together[2], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(decode(unet, [5, 3], **how)[1], together[0], atol=1e-4, rtol=1e-4)
    # In a batch of the same size a picture is the same to the last bit wherever it stands.
    assert torch.equal(decode(unet, [5, 1, 8, 3], **how), together[[3, 2, 1, 0]])


def test_tokens_of_zeros_change_nothing_but_the_unconditional_branch(unet):
    shapes = {"latent_shape": (4, 8, 8), "token_shape": (TOKENS, WIDTH)}
    legacy = draw_noise(generators([3, 4]), **shapes)
    zeros = draw_noise(generators([3, 4]), unconditional="zeros", **shapes)
    assert not zeros.uncond_tokens.any() and zeros.uncond_tokens.shape == legacy.uncond_tokens.shape
    for name in ("z", "noise", "offset"):
        assert torch.equal(getattr(zeros, name), getattr(legacy, name))
    difference = (decode(unet, [3], unconditional="zeros") - decode(unet, [3])).abs().max()
    assert difference > 1e-2
    alone = [decode(unet, [3], unconditional=kind, guidance=1.0) for kind in ("zeros", "legacy")]
    torch.testing.assert_close(*alone, atol=1e-4, rtol=1e-4)


class Gaussian:
    """The perfect noise estimate where pictures are N(0, 4): ε = x·σ/(4 + σ²); counts its calls."""

    dtype = torch.float32

    def __init__(self):
        self.calls = 0

    def __call__(self, scaled, timestep, **conditions):
        self.calls += 1
        sigma = training_sigmas()[int(timestep)]
        x = scaled * (sigma**2 + 1) ** 0.5
        return SimpleNamespace(sample=x * sigma / (4 + sigma**2))


def test_fifteen_second_order_steps_come_nearer_to_the_solution_than_the_published_38():
    """x(0) = x(σ₀)·2/√(4 + σ₀²) solves the sampler's differential equation exactly."""
    noise = draw_noise(generators([3]), latent_shape=(4, 8, 8), token_shape=(TOKENS, WIDTH))
    start = noise.z + 14.614641 * (noise.noise + 0.04 * noise.offset[:, None, None, None])
    exact = start * 2 / (4 + 14.614641**2) ** 0.5
    errors = {}
    for sampler, steps in (("euler", 38), ("dpmpp_2m", 15), ("dpmpp_2m", 38)):
        network = Gaussian()
        given = {"tokens": torch.ones(1, TOKENS, WIDTH), "vector": torch.zeros(1, ADM)}
        found = unclip_latents(network, **given, **noise._asdict(), steps=steps, sampler=sampler)
        assert network.calls == steps
        errors[sampler, steps] = (found - exact).abs().max()
    assert errors["dpmpp_2m", 15] < errors["euler", 38]
    assert errors["dpmpp_2m", 38] < errors["euler", 38] / 4


def test_same_seed_same_picture_other_seed_or_image_another(unet):
    first, again, other = decode(unet, [3]), decode(unet, [3]), decode(unet, [3], seed=43)
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.1
    noise = draw_noise(generators([3, 4]), latent_shape=(4, 8, 8), token_shape=(TOKENS, WIDTH))
    for draws in noise:
        assert not torch.equal(draws[0], draws[1])


def test_draws_are_independent_standard_normals():
    noise = draw_noise(generators(range(50)), latent_shape=(4, 16, 16), token_shape=(8, 32))
    for draws in (noise.z, noise.uncond_tokens, noise.noise):
        assert draws.mean().abs() < 0.02 and (draws.std() - 1).abs() < 0.02
    assert (noise.z * noise.noise).mean().abs() < 0.02
    assert noise.offset.shape == (50,)


def test_guidance_one_ignores_the_unconditional_tokens(unet):
    noise = draw_noise(generators([3]), latent_shape=(4, 8, 8), token_shape=(TOKENS, WIDTH))
    given = {
        "tokens": torch.ones(1, TOKENS, WIDTH),
        "vector": torch.zeros(1, ADM),
        "z": noise.z,
        "noise": noise.noise,
        "offset": noise.offset,
        "steps": 3,
    }
    with torch.inference_mode():
        results = {
            (guidance, scale): unclip_latents(
                unet, **given, uncond_tokens=scale * noise.uncond_tokens, guidance=guidance
            )
            for guidance in (1.0, 5.0)
            for scale in (1.0, -3.0)
        }
    torch.testing.assert_close(results[1.0, 1.0], results[1.0, -3.0], atol=1e-4, rtol=1e-4)
    assert (results[5.0, 1.0] - results[5.0, -3.0]).abs().max() > 1e-2


def test_sampling_keeps_no_graph_and_names_other_widths(unet):
    noise = draw_noise(generators([3]), latent_shape=(4, 8, 8), token_shape=(TOKENS, WIDTH))
    given = {"tokens": torch.ones(1, TOKENS, WIDTH), "vector": torch.zeros(1, ADM), **noise._asdict(), "steps": 2}
    assert not unclip_latents(unet, **given).requires_grad
    with pytest.raises(UserError, match=r"tokens: width 9, but this unCLIP network takes 8 \(cross_attention_dim"):
        unclip_latents(unet, **given | {name: torch.ones(1, TOKENS, 9) for name in ("tokens", "uncond_tokens")})
    with pytest.raises(UserError, match=r"vector: width 12, but this unCLIP network takes 16 \(projection_class_emb"):
        unclip_latents(unet, **given | {"vector": torch.zeros(1, 12)})


def test_pixel_range_decides_how_decoder_output_becomes_a_picture():
    decoded = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).expand(1, 3, 1, 5)
    legacy = decoded_to_pictures(decoded, pixel_range="legacy01")[0, 0, 0].tolist()
    plain = decoded_to_pictures(decoded, pixel_range="pm1")[0, 0, 0].tolist()
    assert legacy == pytest.approx([0.0, 0.0, 0.2, 1.0, 1.0])
    assert plain == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])


def test_blend_weighs_the_lowlevel_picture():
    refined, lowlevel = torch.full((1, 3, 2, 2), 0.8), torch.zeros(1, 3, 2, 2)
    assert blend(refined, lowlevel, 0.25).unique().item() == pytest.approx(0.6)
    assert torch.equal(blend(refined, lowlevel, 0.0), refined)


def test_resizing_to_the_own_side_changes_nothing():
    pictures = torch.rand(2, 3, 7, 7, generator=torch_generator(0))
    assert torch.equal(at_side(pictures, 7), pictures)
    assert at_side(pictures, 14).shape == (2, 3, 14, 14)


def test_refinement_is_called_with_the_published_arguments():
    arguments = sampling_arguments(side=768, native=1024)
    assert arguments["strength"] * arguments["num_inference_steps"] == 12.5
    assert arguments["original_size"] == arguments["negative_original_size"] == (768, 768)
    assert arguments["target_size"] == arguments["negative_target_size"] == (1024, 1024)
    assert NEGATIVE_PROMPT.split(", ")[0] == "painting" and NEGATIVE_PROMPT.split(", ")[-1] == "anime"
    assert len(NEGATIVE_PROMPT.split(", ")) == 23


def test_on_the_cpu_a_network_keeps_its_precision(unet):
    before = unet.forward
    assert compute_in_half(unet, torch.device("cpu"), compiled=True).forward == before
    assert unet.dtype == torch.float32


def seen_by(calls):
    def forward(sample, timestep, return_dict, **conditions):
        calls.append({"sample": sample, "timestep": timestep, **conditions})
        return (2 * sample,)

    return forward


def test_half_precision_is_inside_the_network_alone():
    calls = []
    network = InHalf(seen_by(calls), compiled=False)
    times = {"text_embeds": torch.ones(2, 3), "time_ids": torch.full((2, 6), 768.0)}
    given = {"encoder_hidden_states": torch.ones(2, 5, 4), "added_cond_kwargs": times, "timestep_cond": None}
    found = network(torch.full((2, 4, 8, 8), 0.3), torch.tensor(947.3), **given).sample
    assert found.dtype == torch.float32 and found.unique().item() == pytest.approx(0.6, abs=1e-3)
    (call,) = calls
    halves = (call["sample"], call["encoder_hidden_states"], *call["added_cond_kwargs"].values())
    assert {value.dtype for value in halves} == {torch.float16}
    assert call["timestep"].dtype == torch.float32 and call["timestep_cond"] is None
    assert network(torch.ones(1, 1), torch.tensor(1), return_dict=False)[0].dtype == torch.float32


def test_a_smaller_last_batch_is_filled_up_for_a_compiled_network(monkeypatch):
    calls = []
    monkeypatch.setattr(torch, "compile", lambda forward, **options: forward)
    network = InHalf(seen_by(calls), compiled=True)
    network(torch.zeros(6, 2), torch.tensor(1), class_labels=torch.zeros(6, 3))
    last = torch.arange(8.0).view(4, 2)
    found = network(last, torch.tensor(1), class_labels=torch.zeros(4, 3)).sample
    assert torch.equal(found, 2 * last)
    assert [(len(call["sample"]), len(call["class_labels"])) for call in calls] == [(6, 6), (6, 6)]


def test_contact_sheet_shows_every_kind_once():
    columns = {name: np.full((3, 3, 4, 4), value, np.float16) for name, value in (("one", 0.0), ("two", 1.0))}
    sheet = contact_sheet(columns, side=8, most=2)
    assert sheet.size == (4 + 2 * 12, 14 + 4 + 2 * 12)
    assert sheet.getpixel((6, 20)) == (0, 0, 0) and sheet.getpixel((18, 20)) == (255, 255, 255)
    assert to_bytes(np.full((1, 3, 1, 1), 0.5))[0, 0, 0].tolist() == [128, 128, 128]
