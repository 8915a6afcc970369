"""evaluate on decoders that know everything, something and nothing."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tiny_weights
import torch
from finished_objects import IMAGES, PX, SESSIONS, SHARED, TOKENS, VOXELS, WIDTH, load, metrics, stimuli, with_inputs

from mindeye2.data.shards import read_trials
from mindeye2.data.volumes import REGIONS
from mindeye2.errors import UserError
from mindeye2.frozen.gnet import GNet
from mindeye2.metrics.brain import brain_correlation
from mindeye2.metrics.resizing import resize
from mindeye2.stages import evaluate, reconstruct, refine


def four(metric: str) -> str:
    return ", ".join([metric, *(f"{metric}_{against}" for against in ("git", "ceiling", "relative"))])


ABSENT = {
    "alexnet2": "alexnet",
    "alexnet5": "alexnet",
    "inception": "inception",
    "efficientnet": "efficientnet",
    "swav": "swav",
    four("meteor"): "nltk",
    four("sentence"): "sentence",
    four("clip_b"): "openai_clip_b",
    ", ".join(f"brain_correlation_{region}" for region in REGIONS): "gnet",
}
"""What one line on standard error says of each network that the tiny weights folder lacks."""


def perfect(house, root: Path) -> dict[str, list[Path]]:
    """Objects of a decoder that knows the truth."""
    made = Path(shutil.copytree(house.inputs["reconstruct"][0], root / "reconstruct"))
    better = Path(shutil.copytree(house.inputs["refine"][0], root / "refine"))
    np.save(made / "retrieval.npy", load(house.inputs["clip"][0], "tokens")[list(SHARED)])
    for folder, kind in ((made, "lowlevel"), (made, "unrefined"), (better, "refined")):
        np.save(folder / f"{kind}.npy", stimuli(house)[list(SHARED[:4])].half().numpy())
    (made / "captions.json").write_text(json.dumps([f"the red cat {image}" for image in SHARED[:4]]))
    return {"reconstruct": [made], "refine": [better]}


def test_a_perfect_decoder_scores_one(house, name, tmp_path, capsys):
    job = with_inputs(house.evaluate(name), **perfect(house, tmp_path))
    found = metrics(house.finish(evaluate, job))
    computed = {key: float(row["value"]) for key, row in found.items() if row["value"]}
    for metric in ("pixel_correlation", "ssim", "clip"):
        for picture in ("lowlevel", "unrefined", "refined"):
            assert computed["", metric, picture] == pytest.approx(1.0, abs=1e-3)
            assert found["", metric, picture]["n"] == "4"
    for metric in ("retrieval_brain_to_image", "retrieval_image_to_brain"):
        assert computed["", metric, ""] == 1.0 and found["", metric, ""]["n"] == "5"
    for metric in ("caption_clip", "rouge_1", "rouge_l"):
        assert computed["", metric, ""] == pytest.approx(1.0, abs=1e-5)

    said = capsys.readouterr().err
    for metrics_of, network in ABSENT.items():
        names = metrics_of.split(", ")
        assert f"{metrics_of}: not computed: paths.weights has no {network}\n" in said
        rows = [row for (_, metric, _), row in found.items() if metric in names]
        assert rows and all((row["value"], row["n"], row["low"], row["high"]) == ("", "", "", "") for row in rows)


def test_a_random_decoder_scores_less_and_intervals_hold_the_value(house, name):
    found = metrics(house.finish(evaluate, house.evaluate(name)))
    assert float(found["", "pixel_correlation", "refined"]["value"]) < 0.9
    for row in found.values():
        if row["value"]:
            assert float(row["low"]) <= float(row["value"]) <= float(row["high"])


def test_a_smaller_pool_is_drawn_many_times(house, name, tmp_path):
    job = with_inputs(house.evaluate(name, retrieval_pool=2), **perfect(house, tmp_path))
    assert float(metrics(house.finish(evaluate, job))["", "retrieval_brain_to_image", ""]["value"]) == 1.0
    found = metrics(house.finish(evaluate, house.evaluate(f"{name}-random", retrieval_pool=2)))
    row = found["", "retrieval_brain_to_image", ""]
    assert row["n"] == "5" and (float(row["value"]) * 60) % 1 == pytest.approx(0, abs=1e-9)


def test_the_interval_of_retrieval_is_over_images(house, name, tmp_path):
    """Three of five images are always found and two never: many draws do not make that more certain."""
    inputs = perfect(house, tmp_path)
    embeddings = load(inputs["reconstruct"][0], "retrieval")
    embeddings[:2] *= -1
    np.save(inputs["reconstruct"][0] / "retrieval.npy", embeddings)
    job = with_inputs(house.evaluate(name, retrieval_pool=2, retrieval_repetitions=200, bootstrap=400), **inputs)
    row = metrics(house.finish(evaluate, job))["", "retrieval_brain_to_image", ""]
    assert float(row["value"]) == pytest.approx(0.6, abs=0.1)
    assert float(row["low"]) < 0.3 and float(row["high"]) > 0.9


def test_blend_weight_mixes_the_lowlevel_picture_into_the_refined(house, name):
    values = [
        metrics(house.finish(evaluate, house.evaluate(f"{name}-{weight}", blend_weight=weight)))
        for weight in (0.0, 1.0)
    ]
    kinds = [[table["", "ssim", picture]["value"] for picture in ("lowlevel", "refined")] for table in values]
    assert kinds[1][1] == kinds[1][0] == kinds[0][0] != kinds[0][1]


def test_antialias_shrinks_the_truth_as_it_says(house, name, tmp_path):
    """Decoded pictures of half the side are the truth, shrunk with anti-aliasing."""
    inputs = perfect(house, tmp_path)
    small = resize(stimuli(house)[list(SHARED[:4])], PX // 2, antialias=True).half().numpy()
    for folder, kind in (
        *((inputs["reconstruct"][0], kind) for kind in ("lowlevel", "unrefined")),
        (inputs["refine"][0], "refined"),
    ):
        np.save(folder / f"{kind}.npy", small)
    jobs = [with_inputs(house.evaluate(f"{name}-{choice}", antialias=choice), **inputs) for choice in (True, False)]
    smooth, aliased = (metrics(house.finish(evaluate, job)) for job in jobs)
    for metric in ("pixel_correlation", "ssim"):
        assert float(smooth["", metric, "unrefined"]["value"]) == pytest.approx(1.0, abs=1e-5)
        assert float(aliased["", metric, "unrefined"]["value"]) < 0.9995


def test_folds_are_pooled_and_categories_named(house, name, tmp_path):
    folds = [house.finish(reconstruct, house.reconstruct(f"{name}-{s}", sessions=[s])) for s in range(1, SESSIONS + 1)]
    refined = []
    for number, folder in enumerate(folds):
        job = with_inputs(house.refine(f"{name}-refine-{number}"), reconstruct=[folder])
        refined.append(house.finish(refine, job))
    (tmp_path / "clip").mkdir()
    tokens = load(house.inputs["clip"][0], "tokens")[:8]
    np.save(tmp_path / "clip" / "tokens.npy", tokens)
    np.save(folds[0] / "retrieval.npy", tokens)
    job = house.evaluate(name, split="leave_one_session_out", baselines=["linear_svm"])
    found = metrics(
        house.finish(evaluate, with_inputs(job, reconstruct=folds, refine=refined, clip=[tmp_path / "clip"]))
    )
    own, machine = found["", "identification_8way", ""], found["linear_svm", "identification_8way", ""]
    assert own["n"] == machine["n"] == str(8 * SESSIONS)
    assert float(own["value"]) >= 1 / SESSIONS
    assert float(machine["value"]) == 1.0
    assert found["", "ssim", "refined"]["n"] == str(4 * SESSIONS)
    assert not any(metric == "retrieval_brain_to_image" for _, metric, _ in found)


def test_without_the_judging_clip_its_metrics_are_left_out(house, name, capsys):
    found = metrics(house.finish(evaluate, house.evaluate(name, clip="openai_clip")))
    assert found["", "clip", "refined"]["value"] == "" and found["", "clip_l", ""]["value"] == ""
    assert "clip: not computed: paths.weights has no openai_clip" in capsys.readouterr().err


def test_evaluate_refuses_what_does_not_fit(house, name, tmp_path):
    with pytest.raises(UserError, match=r"evaluate\.baselines: linear_svm names classes"):
        evaluate.run(house.evaluate(name, baselines=["linear_svm"]))

    inputs = perfect(house, tmp_path)
    np.save(inputs["refine"][0] / "refined.npy", np.full((3, 3, PX, PX), 0.5, np.float16))
    with pytest.raises(UserError, match=r"refined\.npy: cannot be read \(shape \(3, 3, 32, 32\)"):
        evaluate.run(with_inputs(house.evaluate(f"{name}-short"), **inputs))

    np.save(inputs["refine"][0] / "refined.npy", np.full((4, 3, PX, PX), np.nan, np.float16))
    with pytest.raises(UserError, match=r"refined\.npy: cannot be read \(picture 0 has values"):
        evaluate.run(with_inputs(house.evaluate(f"{name}-nan"), **inputs))

    few = tmp_path / "clip"
    few.mkdir()
    np.save(few / "tokens.npy", np.zeros((50, TOKENS, WIDTH), np.float16))
    with pytest.raises(UserError, match=r"tokens\.npy: cannot be read \(50 images, test image 80\)"):
        evaluate.run(with_inputs(house.evaluate(f"{name}-few"), clip=[few]))

    np.save(few / "tokens.npy", np.zeros((97, TOKENS, WIDTH), np.float16))
    job = with_inputs(house.evaluate(f"{name}-many", split="leave_one_session_out"), clip=[few])
    with pytest.raises(UserError, match=r"matrix\.split: leave_one_session_out names categories, which these 97"):
        evaluate.run(job)


def test_captions_are_compared_with_cocos_and_with_the_captioners(house, name, tmp_path):
    """The captioner's words differ from COCO's in one of four; what was predicted are the captioner's."""
    inputs = perfect(house, tmp_path)
    git = np.array([f"the red dog {image}" for image in range(IMAGES)])
    (tmp_path / "captions").mkdir()
    np.save(tmp_path / "captions" / "captions.npy", git)
    (inputs["reconstruct"][0] / "captions.json").write_text(json.dumps(git[list(SHARED[:4])].tolist()))
    found = metrics(
        house.finish(evaluate, with_inputs(house.evaluate(name), **inputs, captions=[tmp_path / "captions"]))
    )
    expected = {"": 0.75, "_git": 1.0, "_ceiling": 0.75, "_relative": 4 / 3}
    for metric in ("rouge_1", "rouge_l"):
        for against, value in expected.items():
            row = found["", f"{metric}{against}", ""]
            assert [float(row[column]) for column in ("value", "low", "high")] == pytest.approx([value] * 3)
            assert row["n"] == "4"
    assert float(found["", "caption_clip_git", ""]["value"]) == pytest.approx(1.0, abs=1e-5)
    assert float(found["", "caption_clip", ""]["value"]) < 0.9999


def encoded_betas(house, root: Path, gnet: Path) -> Path:
    """Betas of which every test trial is what GNet says of its picture, with regions but no V4."""
    predicted = GNet.load(gnet, subject=1).predict(stimuli(house)[list(SHARED)].half().float()).numpy()
    trials = read_trials(house.inputs["behav"][0], "test")
    root.mkdir()
    with h5py.File(root / "betas.h5", "w") as file:
        file["betas"] = np.zeros((int(trials.row.max()) + 1, VOXELS), np.float32)
        for image, row in zip(trials.image, trials.row, strict=True):
            file["betas"][row] = predicted[SHARED.index(image)]
        for number, region in enumerate(("nsd_general", "V1", "V2", "V3", "higher_vis")):
            file[f"regions/{region}"] = np.arange(VOXELS) >= number
    return root


def test_brain_correlation_by_region(house, name, tmp_path, capsys):
    gnet = tiny_weights.gnet(tmp_path / "gnet", voxels=VOXELS)
    betas = encoded_betas(house, tmp_path / "betas", gnet)
    job = replace(house.evaluate(name), networks={"gnet": gnet})
    found = metrics(house.finish(evaluate, with_inputs(job, **perfect(house, tmp_path), betas=[betas])))
    for region in ("nsd_general", "V1", "higher_vis"):
        for picture in ("lowlevel", "unrefined", "refined"):
            row = found["", f"brain_correlation_{region}", picture]
            assert float(row["value"]) == pytest.approx(1.0, abs=1e-5) and row["n"] == "4"
    assert found["", "brain_correlation_V4", "refined"]["value"] == ""
    assert "brain_correlation_V4: not computed: the betas have no voxels of V4" in capsys.readouterr().err

    job = replace(house.evaluate(f"{name}-random", blend_weight=0.0), networks={"gnet": gnet})
    random = metrics(house.finish(evaluate, with_inputs(job, betas=[betas])))
    true, made = stimuli(house)[list(SHARED[:4])], torch.from_numpy(load(house.inputs["refine"][0], "refined")).float()
    encoder = GNet.load(gnet, subject=1)
    V1 = np.arange(VOXELS) >= 1
    expected = brain_correlation(encoder.predict(true), encoder.predict(made), V1)
    assert float(random["", "brain_correlation_V1", "refined"]["value"]) == pytest.approx(expected, abs=1e-6)
    assert expected < 1 - 1e-4

    other = tiny_weights.gnet(tmp_path / "other", voxels=VOXELS + 1)
    job = replace(house.evaluate(f"{name}-voxels"), networks={"gnet": other})
    with pytest.raises(UserError, match=rf"GNet has {VOXELS + 1} voxels of subject 1, the betas have {VOXELS}"):
        evaluate.run(with_inputs(job, betas=[betas]))


@pytest.mark.parametrize(("repeats", "value"), [("equal", 0.75), ("legacy", 1.0)])
def test_measured_betas_are_averaged_as_repeats_says(house, name, tmp_path, repeats, value):
    """Two opposite trials of the second picture: nothing is left of their mean, a third of the first one of a, a, b."""
    gnet = tiny_weights.gnet(tmp_path / "gnet", voxels=VOXELS)
    betas = encoded_betas(house, tmp_path / "betas", gnet)
    trials = read_trials(house.inputs["behav"][0], "test")
    first, second = trials.row[trials.image == SHARED[1]]
    with h5py.File(betas / "betas.h5", "r+") as file:
        file["betas"][second] = -file["betas"][first]
    job = replace(house.evaluate(name, repeats=repeats), networks={"gnet": gnet})
    found = metrics(house.finish(evaluate, with_inputs(job, **perfect(house, tmp_path), betas=[betas])))
    row = found["", "brain_correlation_nsd_general", "unrefined"]
    assert float(row["value"]) == pytest.approx(value, abs=1e-5)


CLOUDS = ("true", "decoded")


def test_distances_in_a_plane_only_where_asked_for(house, name, monkeypatch):
    # Compiling UMAP takes longer than eight points do without.
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    folder = house.finish(evaluate, house.evaluate(name, umap=True))
    found = metrics(folder)
    with (folder / "umap.csv").open() as file:
        places = list(csv.DictReader(file))
    for kind in ("backbone", "retrieval", "prior"):
        rows = [row for row in places if row["tokens"] == kind]
        assert [row["image"] for row in rows] == [str(image) for image in SHARED[:4]]
        true, made = (np.array([[float(row[f"{of}_{axis}"]) for axis in "xy"] for row in rows]) for of in CLOUDS)
        row = found["", f"umap_distance_{kind}", ""]
        assert float(row["value"]) == pytest.approx(np.linalg.norm(true - made, axis=1).mean(), rel=1e-5)
        assert float(row["low"]) <= float(row["value"]) <= float(row["high"]) and row["n"] == "4"
    without = house.finish(evaluate, house.evaluate(f"{name}-off"))
    assert not (without / "umap.csv").exists()
    assert not any(metric.startswith("umap") for _, metric, _ in metrics(without))
