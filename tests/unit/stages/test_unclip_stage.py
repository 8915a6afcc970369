"""unclip on random networks, and reconstruct with what it made."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from finished_objects import PX, SHARED, WIDTH, House, load, stimuli, with_inputs
from mishaps import kill_in_training, out_of_memory
from safetensors.torch import load_file

from mindeye2.errors import UserError
from mindeye2.frozen.unclip import load_unet
from mindeye2.frozen.vae import Vae
from mindeye2.settings import Unclip
from mindeye2.stages import reconstruct, targets, unclip

SMALL = {"steps": 6, "batch_size": 4, "warmup_steps": 2, "image_px": PX, "decode_px": PX, "precision": "float32"}
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def unclip_job(house: House, name: str, free=None, **settings):
    recipe = Unclip(**(SMALL | settings))
    return house.job("unclip", name, {"unclip": {**recipe.free(), **(free or {})}}, unclip=recipe.keyed())


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    house = House(tmp_path_factory.mktemp("house"))
    shared = np.zeros(len(stimuli(house)), bool)
    shared[list(SHARED)] = True
    np.save(house.inputs["stimuli"][0] / "shared.npy", shared)
    house.inputs["vae"] = [house.finish(targets, house.job("targets", "vae", network="vae", targets={}))]
    house.inputs["trained"] = [house.finish(unclip, unclip_job(house, "trained"))]
    return house


def test_the_posterior_is_the_vaes(house):
    vae, pictures = Vae.load(house.paths["weights"] / "vae"), stimuli(house)
    posterior = vae.network.encode(2 * pictures - 1).latent_dist
    folder = house.inputs["vae"][0]
    np.testing.assert_allclose(load(folder, "latents"), 0.5 * posterior.mean.detach(), atol=4e-3)
    np.testing.assert_allclose(load(folder, "deviations"), 0.5 * posterior.std.detach(), atol=4e-3)


def test_it_writes_a_folder_that_diffusers_opens(house):
    from diffusers import UNet2DConditionModel

    folder = house.inputs["trained"][0]
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    assert unet.config.cross_attention_dim == WIDTH and unet.config.sample_size == PX // 4
    assert {value.dtype for value in load_file(folder / WEIGHTS).values()} == {torch.float16}
    rows = list(csv.DictReader((folder / "history.csv").open()))
    assert [row["step"] for row in rows] == list("123456") and (folder / "loss.png").stat().st_size > 5000


def test_no_shared_picture_is_trained_on(house, name, monkeypatch):
    seen = []

    class Watching(unclip.UnclipTrainer):
        def __init__(self, unet, pictures, *arguments):
            seen.extend(pictures.rows.tolist())
            super().__init__(unet, pictures, *arguments)

    monkeypatch.setattr(unclip, "UnclipTrainer", Watching)
    unclip.run(unclip_job(house, name, steps=1))
    assert sorted({*seen, *SHARED}) == list(range(len(stimuli(house)))) and not {*seen} & {*SHARED}


def test_where_all_are_shared_it_refuses(house, name, tmp_path):
    np.save(tmp_path / "shared.npy", np.ones(3, bool))
    with pytest.raises(UserError, match=r"every picture is shared and may be tested on; set unclip\.pictures: folder"):
        unclip.run(with_inputs(unclip_job(house, name), stimuli=[tmp_path]))


def test_it_starts_from_the_given_unclip_network_too(house, name):
    made = house.finish(unclip, unclip_job(house, name, init="unclip", max_lr=1e-30))
    given = load_unet(house.paths["weights"] / "unclip").state_dict()
    for key, value in load_file(made / WEIGHTS).items():
        assert torch.equal(value, given[key].half()), key


@pytest.mark.parametrize(("field", "cells"), [("image_px", 8), ("decode_px", 9)])
def test_sides_that_do_not_halve_are_named(house, name, field, cells):
    settings = {"decode_px": 36} if field == "decode_px" else {}
    job = unclip_job(house, name, **settings)
    if field == "image_px":
        odd = job.work.parent / f"{name}-vae"
        odd.mkdir()
        for file in ("latents", "deviations"):
            np.save(odd / f"{file}.npy", load(house.inputs["vae"][0], file)[..., :7, :7])
        job, cells = with_inputs(job, vae=[odd]), 7
    with pytest.raises(UserError, match=rf"unclip\.{field}: \d+ px are {cells} latent cells, which do not divide by 2"):
        unclip.run(job)


def test_after_kill_9_the_same_command_ends_with_the_same_weights(house, name):
    job = unclip_job(house, name, free={"checkpoint_minutes": 1e-9}, steps=30)
    whole = unclip_job(house, f"{name}-whole", steps=30)
    kill_in_training(unclip.run, job)
    assert not (job.work / "unet").exists()
    unclip.run(replace(job, free=whole.free))
    unclip.run(whole)
    assert (job.work / WEIGHTS).read_bytes() == (whole.work / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("recompute", "remedy"),
    [(False, r"lower it to 2 or set unclip\.recompute: true"), (True, r"lower it to 2, or end")],
)
def test_too_little_memory_names_what_to_lower(house, name, monkeypatch, recompute, remedy):
    monkeypatch.setattr(unclip.UnclipTrainer, "_train_step", out_of_memory)
    with pytest.raises(UserError, match=rf"unclip\.batch_size: 4 at a time need more memory .*; {remedy}"):
        unclip.run(unclip_job(house, name, free={"recompute": recompute}))


def test_reconstruct_decodes_with_the_trained_network(house, name):
    job = replace(with_inputs(house.reconstruct(name, unclip="trained"), unclip=house.inputs["trained"]))
    trained = load(house.finish(reconstruct, job), "unrefined")
    assert not np.array_equal(trained, load(house.inputs["reconstruct"][0], "unrefined"))
    plain = load(house.inputs["reconstruct"][0], "prior")
    assert np.array_equal(load(job.work, "prior"), plain)


def test_reconstruct_decodes_true_tokens(house, name):
    job = house.reconstruct(name, tokens="targets")
    folder = house.finish(reconstruct, job)
    shown = np.load(folder / "test.npz")["image"][:4]
    assert np.array_equal(load(folder, "prior"), load(house.inputs["clip"][0], "tokens")[shown])
    given = house.inputs["reconstruct"][0]
    assert np.array_equal(load(folder, "retrieval"), load(given, "retrieval"))
    assert not np.array_equal(load(folder, "unrefined"), load(given, "unrefined"))
