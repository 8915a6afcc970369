"""VAE, unCLIP network, refiner and captioner as loaded from the shipped folders."""

import json
import shutil

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import get_timestep_embedding

from mindeye2.errors import UserError
from mindeye2.frozen.captioner import MAX_LENGTH, Captioner, generate
from mindeye2.frozen.clip import Clip
from mindeye2.frozen.sdxl import load_pipeline
from mindeye2.frozen.unclip import cells_per_side, load_unet, size_vector
from mindeye2.frozen.vae import Vae
from mindeye2.generate.refine import refined_px


@pytest.fixture(scope="module")
def vae(weights):
    return Vae.load(weights / "vae")


@pytest.fixture(scope="module")
def pipeline(weights):
    return load_pipeline(weights / "sdxl", weights / "vae")


def test_vae_returns_what_it_took(vae, drawn):
    images, _ = drawn
    latents = vae.encode(images)
    assert vae.factor == 4
    assert latents.shape == (4, 4, 16, 16)
    assert 0.8 < latents.std() < 1.25
    assert (vae.decode(latents) - (2 * images - 1)).abs().mean() < 0.05
    assert torch.equal(latents, vae.encode(images))


def test_size_vector_is_the_librarys_embedding(weights):
    unet = load_unet(weights / "unclip")
    vector = size_vector(unet, 48, 64, 3)
    numbers = torch.tensor([48.0, 64.0, 0.0, 0.0])
    expected = get_timestep_embedding(numbers, 32, flip_sin_to_cos=True, downscale_freq_shift=0).flatten()
    assert torch.equal(vector, expected.expand(3, -1))


def test_text_conditioned_network_takes_no_size_vector(weights):
    with pytest.raises(UserError, match="class_embed_type"):
        size_vector(load_unet(weights / "sdxl/unet"), 64, 64, 1)


def test_pipeline_is_set_up_for_the_published_steps(pipeline):
    pipeline.scheduler.set_timesteps(25)
    assert pipeline.scheduler.timesteps.tolist() == list(range(999, 0, -40))
    assert pipeline.watermark is None
    assert {part.dtype for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)} == {torch.float32}


def test_pipeline_prefers_its_own_autoencoder(copied, weights, vae):
    folder, other = copied("sdxl"), copied("vae")
    config = other / "config.json"
    config.write_text(config.read_text().replace('"scaling_factor": ', '"scaling_factor": 1'))
    other.rename(folder / "vae")
    factor = load_pipeline(folder, weights / "vae").vae.config.scaling_factor
    assert factor == pytest.approx(10 + vae.scaling_factor)


def changed(config, **fields):
    config.write_text(json.dumps(json.loads(config.read_text()) | fields))


def of_unclip(folder, weights):
    shutil.rmtree(folder / "unet")
    shutil.copytree(weights / "unclip", folder / "unet")


def with_one_tower_twice(folder, weights):
    shutil.rmtree(folder / "text_encoder")
    shutil.copytree(folder / "text_encoder_2", folder / "text_encoder")


def for_inpainting(folder, weights):
    unet = UNet2DConditionModel.from_config({**UNet2DConditionModel.load_config(folder / "unet"), "in_channels": 9})
    unet.save_pretrained(folder / "unet")


def without_a_vocabulary(folder, weights):
    for path in (folder / "tokenizer_2").iterdir():
        if path.name != "tokenizer_config.json":
            path.unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            of_unclip,
            r"unet/config\.json: addition_embed_type None, but an SDXL .* has 'text_time'; take all parts from",
        ),
        (with_one_tower_twice, r"unet/config\.json: cross_attention_dim 160, but an SDXL .* has 192"),
        (for_inpainting, r"unet/config\.json: in_channels 9, but an SDXL .* has 4"),
        (without_a_vocabulary, r"tokenizer_2: its tokeniser knows \d tokens, but the network that reads them 650"),
    ],
)
def test_parts_of_another_network_are_no_pipeline(copied, weights, change, said):
    folder = copied("sdxl")
    change(folder, weights)
    with pytest.raises(UserError, match=said):
        load_pipeline(folder, weights / "vae")


def test_a_network_must_say_for_which_side_it_is(copied, weights):
    folder = copied("unclip")
    changed(folder / "config.json", sample_size=None)
    with pytest.raises(UserError, match=r"config\.json of the UNet: sample_size None is not the side"):
        cells_per_side(load_unet(folder))
    folder = copied("sdxl")
    changed(folder / "unet/config.json", sample_size=None)
    with pytest.raises(UserError, match=r"config\.json of the UNet: sample_size None is not the side"):
        refined_px(load_pipeline(folder, weights / "vae"))


def test_towers_pad_differently(pipeline):
    text = "a red cat"
    first = pipeline.tokenizer(text, padding="max_length").input_ids
    second = pipeline.tokenizer_2(text, padding="max_length").input_ids
    assert first[:5] == second[:5]
    assert first[-1] == max(first)
    assert second[-1] == 0


def test_captions_name_what_was_drawn(weights, drawn):
    images, _ = drawn
    captioner = Captioner.load(weights / "captioner")
    tokens = Clip.load(weights / "clip").tokens(images, pixel_range="pm1")
    together = captioner.captions(tokens)
    assert together == [captioner.captions(tokens[row : row + 1])[0] for row in range(len(tokens))]
    assert not any("[" in caption for caption in together)
    ids = generate(captioner.git, captioner.converter(tokens))
    assert ids.shape[1] <= MAX_LENGTH
    assert (ids[:, 0] == captioner.git.config.bos_token_id).all()


def test_a_captioner_of_other_parts_is_refused(copied, weights):
    folder = copied("captioner")
    captioner = Captioner.load(folder)
    with pytest.raises(
        UserError, match=r"takes 64 tokens of width 128, but the CLIP gives 64 of width 127; put a conv"
    ):
        captioner.captions(torch.zeros(1, 64, 127))
    shutil.copy(weights / "sdxl/tokenizer/tokenizer.json", folder / "tokenizer.json")
    with pytest.raises(
        UserError, match=r"captioner: its tokeniser knows \d+ tokens, but the network that reads them 55"
    ):
        Captioner.load(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"captioner: cannot be read as \w+ \([^\n]+\); fetch the folder again"):
        Captioner.load(folder)
