"""targets on random networks."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from finished_objects import IMAGES, SHARED, TOKENS, WIDTH, load, stimuli, with_inputs
from mishaps import out_of_memory
from open_clip import CLIP
from safetensors.torch import save_file

from mindeye2.errors import UserError
from mindeye2.frozen.captioner import Captioner
from mindeye2.frozen.clip import Clip
from mindeye2.frozen.convnext import ConvNeXtTeacher
from mindeye2.frozen.vae import Vae
from mindeye2.stages import targets


def test_targets_are_what_the_networks_give(house, name):
    pictures, weights = stimuli(house), house.paths["weights"]
    found = load(house.inputs["clip"][0], "tokens")
    assert found.shape == (IMAGES, TOKENS, WIDTH) and found.dtype == np.float16
    expected = Clip.load(weights / "clip").tokens(pictures, pixel_range="pm1")
    np.testing.assert_allclose(found, expected.numpy(), atol=4e-3, rtol=2e-3)

    vae = house.finish(targets, house.job("targets", name, network="lowlevel_vae", targets={"lowlevel_vae": "vae"}))
    np.testing.assert_allclose(load(vae, "latents"), Vae.load(weights / "vae").encode(pictures).numpy(), atol=4e-3)


def test_openai_clip_gives_class_token_and_patches_in_the_joint_space(house, name, tmp_path):
    weights = tmp_path / "weights"
    shutil.copytree(house.paths["weights"] / "clip", weights / "openai_clip")
    job = house.job("targets", name, network="openai_clip", targets={"pixel_range": "pm1"})
    found = load(house.finish(targets, replace(job, paths={"weights": weights})), "tokens").astype(np.float32)
    network = Clip.load(weights / "openai_clip")
    embedded = network.embed_images(stimuli(house))
    assert found.shape == (IMAGES, TOKENS + 1, embedded.shape[1])
    np.testing.assert_allclose(found[:, 0], embedded * embedded.shape[1] ** 0.5, atol=4e-3)
    patches = network.tokens(stimuli(house), pixel_range="pm1") @ network.network.visual.proj
    lengths = np.linalg.norm(found[:, 1:], axis=-1) / patches.norm(dim=-1).numpy()
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[:, :1], lengths.shape), rtol=1e-2)


def test_augmented_views_depend_on_picture_and_view_alone(house, name):
    jobs = [
        house.job(
            "targets",
            f"{name}-{size}",
            {"targets": {"batch_size": size}},
            network="convnext",
            targets={"augmented_views": 2},
        )
        for size in (64, 7)
    ]
    first, second = (house.finish(targets, job) for job in jobs)
    views, clean = load(first, "augmented"), load(first, "features")
    assert views.shape == (IMAGES, 2, TOKENS // 4, 6) and clean.shape == (IMAGES, TOKENS // 4, 6)
    np.testing.assert_allclose(views, load(second, "augmented"), atol=4e-3)
    assert np.abs(views[:, 0] - views[:, 1]).mean() > 1e-3 and np.abs(views[:, 0] - clean).mean() > 1e-3
    np.testing.assert_allclose(clean[64], clean[0], atol=1e-3)
    assert np.abs(views[64] - views[0]).mean() > 1e-3
    teacher = ConvNeXtTeacher.load(house.paths["weights"] / "convnext")
    np.testing.assert_allclose(clean, teacher.features(stimuli(house)).numpy(), atol=4e-3)


def test_targets_go_on_after_a_kill(house, name, monkeypatch):
    whole = load(house.inputs["clip"][0], "tokens")
    monkeypatch.setattr(targets, "CHUNK", 40)
    job = house.tokens(name)
    calls = []

    def dying(images, *args, tokens=Clip.tokens, **kwargs):
        calls.append(len(args[0]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return tokens(images, *args, **kwargs)

    monkeypatch.setattr(Clip, "tokens", dying)
    with pytest.raises(KeyboardInterrupt):
        targets.run(job)
    targets.run(job)
    assert calls == [40, 40, 40, 16], "the first chunk was computed once"
    np.testing.assert_allclose(load(job.work, "tokens"), whole, atol=4e-3)


def test_targets_refuse_what_float16_cannot_hold(house, name, monkeypatch):
    tokens = Clip.tokens
    monkeypatch.setattr(Clip, "tokens", lambda self, *args, **kwargs: 1e6 * tokens(self, *args, **kwargs))
    with pytest.raises(UserError, match="tokens from image 0: a value is not finite in float16"):
        targets.run(house.tokens(name))


def test_pictures_outside_their_range_are_refused(house, name, tmp_path):
    copy = Path(shutil.copytree(house.inputs["stimuli"][0], tmp_path / "stimuli"))
    with h5py.File(copy / "images.h5", "r+") as file:
        file["images"][70] = 255 * file["images"][70]
    job = with_inputs(house.tokens(name), stimuli=[copy])
    with pytest.raises(UserError, match=r"images\.h5: picture 70 has values from .* to 2.., which must be in \[0, 1\]"):
        targets.run(job)


def test_weights_of_the_published_size_must_give_its_tokens(house, name, tmp_path):
    """One narrow layer with as many tokens, as wide, as ViT-bigG-14's: its final norm alone makes the difference."""
    vision = {"image_size": 16, "patch_size": 1, "width": 1664, "head_width": 104, "layers": 1, "mlp_ratio": 0.01}
    text = {"context_length": 4, "width": 8, "heads": 1, "layers": 1, "vocab_size": 8}
    network = CLIP(embed_dim=4, vision_cfg=vision, text_cfg=text)
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "config.json").write_text(
        json.dumps({"model_cfg": {"embed_dim": 4, "vision_cfg": vision, "text_cfg": text}})
    )
    with h5py.File(tmp_path / "images.h5", "w") as file:
        file["images"] = np.random.default_rng(0).random((2, 3, 16, 16)).astype(np.float16)

    def job(suffix):
        save_file(network.state_dict(), tmp_path / "clip" / "model.safetensors")
        made = house.job("targets", f"{name}-{suffix}", network="clip", targets={"pixel_range": "legacy01"})
        return replace(with_inputs(made, stimuli=[tmp_path]), paths={"weights": tmp_path})

    with pytest.raises(
        UserError, match=r"clip: its tokens have mean -?0\.00. and standard deviation 1\.000, ViT-bigG-14's"
    ):
        targets.run(job("other"))
    torch.nn.init.constant_(network.visual.ln_post.weight, 1.096)
    torch.nn.init.constant_(network.visual.ln_post.bias, 0.160)
    assert load(house.finish(targets, job("published")), "tokens").shape == (2, 256, 1664)


def test_truncated_stimuli_are_named(house, name, tmp_path):
    copy = Path(shutil.copytree(house.inputs["stimuli"][0], tmp_path / "stimuli"))
    with (copy / "images.h5").open("r+b") as file:
        file.truncate(500)
    job = with_inputs(house.tokens(name), stimuli=[copy])
    with pytest.raises(UserError, match=r"images\.h5: cannot be read"):
        targets.run(job)


def test_captions_of_the_images_that_may_be_tested_on(house, name, tmp_path):
    weights = house.paths["weights"]
    every = load(house.inputs["captions"][0], "captions")
    tokens = torch.from_numpy(load(house.inputs["clip"][0], "tokens").astype(np.float32))
    assert every.tolist() == Captioner.load(weights / "captioner").captions(tokens)

    shown = shutil.copytree(house.inputs["stimuli"][0], tmp_path / "stimuli")
    np.save(shown / "shared.npy", np.isin(np.arange(IMAGES), SHARED))
    job = with_inputs(house.captions(name, images="shared"), stimuli=[shown])
    shared = load(house.finish(targets, job), "captions")
    assert all(shared[image] == (every[image] if image in SHARED else "") for image in range(IMAGES))


def test_too_little_memory_names_what_to_lower(house, name, monkeypatch):
    monkeypatch.setattr(Clip, "tokens", out_of_memory)
    with pytest.raises(UserError, match=r"targets\.batch_size: \d+ at a time need more memory .*; lower it to \d+, or"):
        targets.run(house.tokens(name))
