"""reconstruct and refine on random networks and invented trials."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from finished_objects import PX, SHARED, TOKENS, VOXELS, WIDTH, dying, load, metrics, with_inputs, write_model
from mishaps import out_of_memory
from safetensors.torch import load_file, save_file

from mindeye2.errors import UserError
from mindeye2.model.mindeye import MindEye
from mindeye2.stages import evaluate, reconstruct, refine
from mindeye2.stages.arrays import Rows


def test_reconstruct_writes_what_it_declares(house):
    folder = house.inputs["reconstruct"][0]
    with np.load(folder / "test.npz") as test:
        assert test["image"].tolist() == list(SHARED) and test["trials"].tolist() == [3, 2, 1, 1, 1]
    for name in ("backbone", "retrieval"):
        assert load(folder, name).shape == (5, TOKENS, WIDTH)
    assert load(folder, "prior").shape == (4, TOKENS, WIDTH)
    for name in ("lowlevel", "unrefined"):
        pictures = load(folder, name)
        assert pictures.shape == (4, 3, PX, PX) and pictures.dtype == np.float16
        assert pictures.min() >= 0 and pictures.max() <= 1 and pictures.std() > 0.01
    assert len(json.loads((folder / "captions.json").read_text())) == 4
    assert (folder / "pictures.png").stat().st_size > 1000


def test_repeats_are_encoded_apart_and_averaged(house):
    folder = house.inputs["reconstruct"][0]
    model = MindEye.load(house.inputs["finetune"][0])
    with h5py.File(house.inputs["betas"][0] / "betas.h5") as file:
        rows = torch.from_numpy(file["betas"][24:])
    with torch.inference_mode():
        tokens = model.encode(rows[[0, 2, 7]]).retrieval
        ofmean = model.encode(rows[[0, 2, 7]].mean(dim=0, keepdim=True)).retrieval[0]
    np.testing.assert_allclose(load(folder, "retrieval")[0], tokens.mean(dim=0).numpy(), atol=2e-3, rtol=1e-3)
    assert (tokens.mean(dim=0) - ofmean).abs().max() > 1e-2


def test_legacy_repeats_count_the_first_of_two_trials_twice(house, name):
    folder = house.finish(reconstruct, house.reconstruct(name, repeats="legacy"))
    with np.load(folder / "test.npz") as test:
        assert test["trials"].tolist() == [3, 2, 1, 1, 1]
    model = MindEye.load(house.inputs["finetune"][0])
    with h5py.File(house.inputs["betas"][0] / "betas.h5") as file:
        rows = torch.from_numpy(file["betas"][24:])
    with torch.inference_mode():
        first, second = model.encode(rows[[1, 5]]).retrieval
    np.testing.assert_allclose(load(folder, "retrieval")[1], ((2 * first + second) / 3).numpy(), atol=2e-3, rtol=1e-3)
    equal = load(house.inputs["reconstruct"][0], "retrieval")
    np.testing.assert_array_equal(load(folder, "retrieval")[[0, 2, 3, 4]], equal[[0, 2, 3, 4]])
    assert np.abs(load(folder, "retrieval")[1] - equal[1]).max() > 1e-2


def test_pictures_depend_on_neither_batch_size_nor_number(house, name):
    whole = house.inputs["reconstruct"][0]
    one = house.finish(reconstruct, house.reconstruct(name, batch_size=1, num_images=2))
    for kind in ("prior", "unrefined", "lowlevel"):
        np.testing.assert_allclose(load(one, kind), load(whole, kind)[:2], atol=4e-3)
    both = [json.loads((folder / "captions.json").read_text()) for folder in (one, whole)]
    assert both[0] == both[1][:2]


def test_another_seed_gives_other_pictures_of_the_same_brain(house, name):
    whole = house.inputs["reconstruct"][0]
    other = house.finish(reconstruct, house.reconstruct(name, seed=43))
    np.testing.assert_array_equal(load(other, "retrieval"), load(whole, "retrieval"))
    np.testing.assert_array_equal(load(other, "lowlevel"), load(whole, "lowlevel"))
    assert np.abs(load(other, "unrefined") - load(whole, "unrefined")).mean() > 1e-3


def test_reconstruct_goes_on_after_a_kill(house, name, monkeypatch):
    whole = house.inputs["reconstruct"][0]
    job = house.reconstruct(name, batch_size=3)
    monkeypatch.setattr(reconstruct.Decoder, "__call__", dying(reconstruct.Decoder.__call__))
    with pytest.raises(KeyboardInterrupt):
        reconstruct.run(job)
    monkeypatch.undo()
    assert Rows(job.work, 4).done == 3
    decoded = []
    monkeypatch.setattr(reconstruct.Decoder, "__call__", _counting(reconstruct.Decoder.__call__, decoded))
    reconstruct.run(job)
    assert decoded == [1], "the first three pictures were decoded once"
    np.testing.assert_allclose(load(job.work, "unrefined"), load(whole, "unrefined"), atol=4e-3)


def test_what_a_kill_interrupts_is_the_same_to_the_last_bit(house, name, monkeypatch):
    whole = house.finish(reconstruct, house.reconstruct(f"{name}-whole", batch_size=2))
    job = house.reconstruct(name, batch_size=2)
    with monkeypatch.context() as patched:
        patched.setattr(reconstruct.Decoder, "__call__", dying(reconstruct.Decoder.__call__))
        with pytest.raises(KeyboardInterrupt):
            reconstruct.run(job)
    assert Rows(job.work, 4).done == 2
    reconstruct.run(job)
    for kind in ("prior", "unrefined", "lowlevel"):
        np.testing.assert_array_equal(load(job.work, kind), load(whole, kind))

    whole = house.finish(refine, house.refine(f"{name}-refined", batch_size=2))
    job = house.refine(f"{name}-refine", batch_size=2)
    with monkeypatch.context() as patched:
        patched.setattr(refine, "refine_pictures", dying(refine.refine_pictures))
        with pytest.raises(KeyboardInterrupt):
            refine.run(job)
    assert Rows(job.work, 4).done == 2
    refine.run(job)
    np.testing.assert_array_equal(load(job.work, "refined"), load(whole, "refined"))


def _counting(call, sizes):
    def counting(decoder, tokens, generators):
        sizes.append(len(tokens))
        return call(decoder, tokens, generators)

    return counting


def test_a_left_out_session_tests_one_item_per_category(house, name):
    folder = house.finish(reconstruct, house.reconstruct(name, sessions=[2]))
    with np.load(folder / "test.npz") as test:
        assert test["image"].tolist() == list(range(8))


def test_noise_is_decoded_in_place_of_the_betas(house, name):
    whole = house.inputs["reconstruct"][0]
    noise = house.finish(reconstruct, house.reconstruct(name, voxels="noise"))
    with np.load(noise / "test.npz") as test:
        assert test["image"].tolist() == list(SHARED) and test["trials"].tolist() == [3, 2, 1, 1, 1]
    assert np.abs(load(noise, "retrieval") - load(whole, "retrieval")).mean() > 1e-2
    again = house.finish(reconstruct, house.reconstruct(f"{name}-again", voxels="noise"))
    np.testing.assert_array_equal(load(again, "retrieval"), load(noise, "retrieval"))


def test_shuffled_decodes_all_trials_of_another_image(house, name):
    whole = load(house.inputs["reconstruct"][0], "retrieval").astype(np.float32)
    folder = house.finish(reconstruct, house.reconstruct(name, voxels="shuffled"))
    shuffled = load(folder, "retrieval").astype(np.float32)
    source = np.abs(shuffled[:, None] - whole[None]).mean(axis=(2, 3)).argmin(axis=1)
    assert sorted(source) == [0, 1, 2, 3, 4] and (source != np.arange(5)).all()
    np.testing.assert_allclose(shuffled, whole[source], atol=2e-3)
    with np.load(folder / "test.npz") as test:
        assert test["trials"].tolist() == np.array([3, 2, 1, 1, 1])[source].tolist()


def test_the_folds_draw_controls_of_their_own(house, name):
    folds = [house.finish(reconstruct, house.reconstruct(f"{name}-{s}", sessions=[s], voxels="noise")) for s in (1, 2)]
    assert np.abs(load(folds[0], "retrieval") - load(folds[1], "retrieval")).mean() > 1e-2


def test_heads_that_are_missing_leave_no_file(house, name, tmp_path):
    plain = write_model(tmp_path / "finetune", lowlevel=False, retrieval=False)
    folder = house.finish(reconstruct, with_inputs(house.reconstruct(name), finetune=[plain]))
    assert not (folder / "lowlevel.npy").exists() and not (folder / "retrieval.npy").exists()
    assert (folder / "pictures.png").exists()

    job = with_inputs(house.evaluate(f"{name}-evaluate"), reconstruct=[folder])
    found = metrics(house.finish(evaluate, job))
    assert found["", "retrieval_brain_to_image", ""]["value"] == ""
    assert not any(picture == "lowlevel" for _, _, picture in found)


def test_without_pictures_only_retrieval_is_scored(house, name):
    whole = house.inputs["reconstruct"][0]
    folder = house.finish(reconstruct, house.reconstruct(name, num_images=0))
    assert sorted(path.name for path in folder.iterdir()) == ["backbone.npy", "retrieval.npy", "test.npz"]
    np.testing.assert_array_equal(load(folder, "retrieval"), load(whole, "retrieval"))

    job = with_inputs(house.evaluate(f"{name}-evaluate"), reconstruct=[folder], refine=[])
    assert {metric for _, metric, _ in metrics(house.finish(evaluate, job))} == {
        "retrieval_brain_to_image",
        "retrieval_image_to_brain",
    }


def test_without_refinement_the_other_pictures_are_scored(house, name):
    refined = metrics(house.finish(evaluate, house.evaluate(f"{name}-refined")))
    job = house.evaluate(name)
    found = metrics(house.finish(evaluate, replace(job, inputs={k: v for k, v in job.inputs.items() if k != "refine"})))
    assert found.keys() == {key for key in refined if key[2] != "refined"}
    assert found["", "ssim", "unrefined"] == refined["", "ssim", "unrefined"]


def test_reconstruct_refuses_foreign_betas_and_an_empty_test_set(house, name, tmp_path):
    other = write_model(tmp_path / "finetune", voxels=VOXELS + 1)
    with pytest.raises(UserError, match=f"{VOXELS} voxels, but the model was trained with {VOXELS + 1}"):
        reconstruct.run(with_inputs(house.reconstruct(name), finetune=[other]))
    with pytest.raises(UserError, match="subject 1: no trial in session 9"):
        reconstruct.run(house.reconstruct(f"{name}-9", sessions=[9]))


def test_refined_pictures_depend_on_no_batch_and_follow_the_caption(house, name):
    whole = load(house.inputs["refine"][0], "refined")
    assert whole.shape == (4, 3, PX, PX) and whole.min() >= 0 and whole.max() <= 1
    single = house.finish(refine, house.refine(name, batch_size=1))
    np.testing.assert_allclose(load(single, "refined"), whole, atol=4e-3)
    unrefined = load(house.inputs["reconstruct"][0], "unrefined")
    assert np.abs(whole - unrefined).mean() > 1e-3


def test_an_empty_prompt_is_refined_towards_no_caption(house, name, tmp_path):
    silent = load(house.finish(refine, house.refine(name, prompt="empty")), "refined")
    assert np.abs(silent - load(house.inputs["refine"][0], "refined")).mean() > 1e-4

    copy = Path(shutil.copytree(house.inputs["reconstruct"][0], tmp_path / "reconstruct"))
    (copy / "captions.json").write_text(json.dumps([""] * 4))
    job = with_inputs(house.refine(f"{name}-captions", prompt="empty"), reconstruct=[copy])
    np.testing.assert_array_equal(silent, load(house.finish(refine, job), "refined"))


@pytest.mark.parametrize("caption", ["", "  ", "...", "-- !"], ids=["none", "spaces", "dots", "signs"])
def test_a_caption_without_a_word_is_refused(house, name, tmp_path, caption):
    copy = Path(shutil.copytree(house.inputs["reconstruct"][0], tmp_path / "reconstruct"))
    (copy / "captions.json").write_text(json.dumps(["a cat", "2 birds", caption, "a dog"]))
    job = with_inputs(house.refine(name), reconstruct=[copy])
    with pytest.raises(
        UserError, match=rf"captions\.json: the caption of image {SHARED[2]} is '.*set refine\.prompt: empty"
    ):
        refine.run(job)
    assert not list(job.work.iterdir())


def test_refine_takes_the_network_that_the_plan_names(house, name, tmp_path):
    whole = load(house.inputs["refine"][0], "refined")
    other = Path(shutil.copytree(house.paths["weights"] / "sdxl", tmp_path / "finetuned"))
    job = house.refine(name)
    same = house.finish(refine, replace(job, networks={"sdxl": other}))
    np.testing.assert_array_equal(load(same, "refined"), whole)
    path = other / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: 1.5 * value for name, value in load_file(path).items()}, path)
    changed = house.finish(refine, replace(house.refine(f"{name}-changed"), networks={"sdxl": other}))
    assert np.abs(load(changed, "refined") - whole).max() > 1e-3


def test_another_kind_of_pipeline_is_refused(house, name, tmp_path):
    other = Path(shutil.copytree(house.paths["weights"] / "sdxl", tmp_path / "sd15"))
    (other / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    with pytest.raises(UserError, match=r"describes a StableDiffusionPipeline, where SDXL is expected"):
        refine.run(replace(house.refine(name), networks={"sdxl": other}))


@pytest.mark.parametrize("stage", [reconstruct, refine])
def test_another_sampler_takes_other_steps(house, name, stage):
    section, kind = stage.__name__.rpartition(".")[2], "unrefined" if stage is reconstruct else "refined"
    found = {
        sampler: load(
            house.finish(stage, getattr(house, section)(f"{name}-{sampler}", sampler=sampler, steps=12)), kind
        )
        for sampler in ("euler", "dpmpp_2m")
    }
    assert np.isfinite(found["dpmpp_2m"]).all()
    assert np.abs(found["dpmpp_2m"] - found["euler"]).max() > 1e-3


def test_too_little_memory_names_what_to_lower(house, name, monkeypatch):
    monkeypatch.setattr(reconstruct, "load_unet", out_of_memory)
    with pytest.raises(UserError, match=r"reconstruct\.batch_size: 4 .* lower it to 2 or set .*offload: true"):
        reconstruct.run(house.reconstruct(name))
    for part in ("refine_pictures", "load_pipeline"):
        monkeypatch.setattr(refine, part, out_of_memory)
        with pytest.raises(UserError, match=r"refine\.batch_size: 1 .* set refine\.offload: true"):
            refine.run(house.refine(f"{name}-{part}", batch_size=1))


def changed_unet(weights, folder, **changes):
    """A copy of the weights whose unCLIP network has other sizes."""
    copy = Path(shutil.copytree(weights, folder))
    config = {**UNet2DConditionModel.load_config(copy / "unclip"), **changes}
    UNet2DConditionModel.from_config(config).save_pretrained(copy / "unclip")
    return copy


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"in_channels": 8, "out_channels": 8}, r"unclip/config\.json: latents of 8 channels, .* have 4, where SDXL's"),
        ({"sample_size": None}, r"config\.json of the UNet: sample_size None is not the side"),
        ({"cross_attention_dim": WIDTH + 4}, rf"tokens: width {WIDTH}, but this unCLIP network takes {WIDTH + 4}"),
    ],
)
def test_an_unclip_network_of_other_sizes_is_refused(house, name, tmp_path, changes, said):
    weights = changed_unet(house.paths["weights"], tmp_path / "weights", **changes)
    job = replace(house.reconstruct(name), paths={**house.paths, "weights": weights})
    with pytest.raises(UserError, match=said):
        reconstruct.run(job)
    assert not (job.work / "unrefined.npy").exists()


def test_refine_refuses_damaged_inputs(house, name, tmp_path):
    copy = Path(shutil.copytree(house.inputs["reconstruct"][0], tmp_path / "reconstruct"))
    (copy / "captions.json").write_text('["one"]')
    with pytest.raises(UserError, match=r"captions\.json: cannot be read \(1 captions, 4 pictures"):
        refine.run(with_inputs(house.refine(f"{name}-captions"), reconstruct=[copy]))

    pictures = load(copy, "unrefined")
    pictures[2, 1, 0, 0] = np.nan
    np.save(copy / "unrefined.npy", pictures)
    with pytest.raises(UserError, match=r"unrefined\.npy: cannot be read \(picture 2 has values that are not in"):
        refine.run(with_inputs(house.refine(f"{name}-nan"), reconstruct=[copy]))

    (copy / "unrefined.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(UserError, match=r"unrefined\.npy: cannot be read"):
        refine.run(with_inputs(house.refine(f"{name}-short"), reconstruct=[copy]))
