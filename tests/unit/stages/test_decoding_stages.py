"""targets, reconstruct, refine and evaluate on random networks and invented trials."""

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

from mindeye2.data.shards import COLUMNS, Sample, shard_path, write_shard
from mindeye2.errors import UserError
from mindeye2.frozen.clip import Clip
from mindeye2.frozen.convnext import ConvNeXtTeacher
from mindeye2.frozen.vae import Vae
from mindeye2.job import Job
from mindeye2.model.mindeye import MindEye
from mindeye2.stages import evaluate, objects, reconstruct, refine, targets

PX, TOKENS, WIDTH = tiny_weights.PX, tiny_weights.TOKENS, tiny_weights.WIDTH
IMAGES, VOXELS, SESSIONS = 96, 20, 3
SHARED = (4, 9, 30, 31, 80)
"""Test images; the first was shown three times, the second twice, the others once."""


def write_stimuli(folder: Path) -> Path:
    folder.mkdir(parents=True)
    pictures = torch.rand(IMAGES, 3, PX // 4, PX // 4, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(pictures, size=(PX, PX), mode="bilinear")
    with h5py.File(folder / "images.h5", "w") as file:
        # Image 64 repeats image 0, in another chunk.
        file["images"] = smooth[[*range(64), 0, *range(65, IMAGES)]].half().numpy()
    captions = [["", f"the red cat {image}"] for image in range(IMAGES)]
    (folder / "captions.json").write_text(json.dumps(captions))
    return folder


def write_trials(folder: Path, split: str, shards: list[list[tuple[int, int, int]]]) -> None:
    """Shards of (image, session, row)."""
    for number, trials in enumerate(shards):
        samples = []
        for image, session, row in trials:
            behav = np.full((1, len(COLUMNS)), -1.0)
            behav[0, [COLUMNS.index(name) for name in ("image", "session", "row")]] = image, session, row
            samples.append(Sample(row, {"behav": behav}))
        write_shard(shard_path(folder, split, number), samples)


def write_behav(folder: Path) -> Path:
    """Sessions of one trial per Haxby category (image = 12 * category + session - 1), and the shared test trials."""
    sessions = [
        [(12 * category + session - 1, session, 8 * (session - 1) + category) for category in range(8)]
        for session in range(1, SESSIONS + 1)
    ]
    write_trials(folder, "train", sessions)
    shown = [4, 9, 4, 31, 80, 9, 30, 4]
    write_trials(folder, "test", [[(image, 1, 8 * SESSIONS + place) for place, image in enumerate(shown)]])
    return folder


def write_betas(folder: Path) -> Path:
    """Each category has a pattern of its own, under noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.tile(2 * np.eye(8, VOXELS), (SESSIONS, 1)), np.zeros((8, VOXELS))])
    with h5py.File(folder / "betas.h5", "w") as file:
        file["betas"] = (rows + 0.3 * rng.standard_normal(rows.shape)).astype(np.float32)
    return folder


def write_model(folder: Path, *, lowlevel: bool = True, retrieval: bool = True, voxels: int = VOXELS) -> Path:
    torch.manual_seed(0)
    MindEye(
        voxels=[voxels],
        hidden_dim=16,
        tokens=TOKENS,
        clip_dim=WIDTH,
        num_blocks=1,
        retrieval=retrieval,
        lowlevel_latents=(4, 8, 8) if lowlevel else None,
        lowlevel_widths=(4, 8, 16),
        lowlevel_groups=4,
        lowlevel_map_dim=8,
        lowlevel_feature_dim=6,
        prior_depth=1,
        prior_heads=2,
        prior_dim_head=8,
        prior_ff_mult=2,
        prior_timesteps=20,
    ).save(folder)
    return folder


class House:
    """Finished objects, and jobs that read them."""

    def __init__(self, root: Path):
        self.root = root
        self.paths = {"weights": tiny_weights.write(root / "weights")}
        self.inputs = {
            "stimuli": [write_stimuli(root / "stimuli")],
            "behav": [write_behav(root / "behav")],
            "betas": [write_betas(root / "betas")],
            "finetune": [write_model(root / "finetune")],
        }
        self.inputs["clip"] = [
            self.finish(targets, self.job("targets", "clip", network="clip", targets={"pixel_range": "pm1"}))
        ]
        self.inputs["reconstruct"] = [self.finish(reconstruct, self.reconstruct("reconstruct"))]
        self.inputs["refine"] = [self.finish(refine, self.refine("refine"))]

    def finish(self, stage, job: Job) -> Path:
        stage.run(job)
        return job.work

    def job(self, stage: str, name: str, free=None, **config) -> Job:
        work = self.root / name
        work.mkdir()
        return Job(stage, name, config, self.inputs, self.paths, work, free or {})

    def tokens(self, name: str) -> Job:
        return self.job("targets", name, network="clip", targets={"pixel_range": "pm1"})

    def reconstruct(self, name: str, *, sessions=None, seed=42, batch_size=4, **settings) -> Job:
        settings = {"num_images": 4, "prior_steps": 3, "steps": 3, "guidance": 5.0, **settings}
        return self.job(
            "reconstruct",
            name,
            {"reconstruct": {"batch_size": batch_size}},
            reconstruct=settings,
            subject=1,
            test_sessions=sessions,
            pixel_range="pm1",
            lowlevel_vae="vae",
            seed=seed,
        )

    def refine(self, name: str, *, batch_size=4, **settings) -> Job:
        settings = {"steps": 4, "strength": 0.5, "guidance": 5.0, **settings}
        return self.job("refine", name, {"refine": {"batch_size": batch_size}}, refine=settings, seed=42)

    def evaluate(self, name: str, *, split="shared", **settings) -> Job:
        settings = {
            "blend_weight": 0.25,
            "retrieval_pool": 300,
            "retrieval_repetitions": 30,
            "bootstrap": 50,
            "clip": "clip",
            "baselines": [],
            **settings,
        }
        return self.job("evaluate", name, evaluate=settings, split=split, seed=42)


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture
def name(request):
    """A folder name of the test's own."""
    return request.node.name.translate(str.maketrans("[]/", "---"))


def load(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / f"{name}.npy")


def metrics(folder: Path) -> dict[tuple[str, str, str], dict]:
    with (folder / "metrics.csv").open() as file:
        return {(row["baseline"], row["metric"], row["picture"]): row for row in csv.DictReader(file)}


def with_inputs(job: Job, **inputs) -> Job:
    return replace(job, inputs={**job.inputs, **inputs})


# targets


def stimuli(house) -> torch.Tensor:
    with h5py.File(house.inputs["stimuli"][0] / "images.h5") as file:
        return torch.from_numpy(file["images"][:].astype(np.float32))


def test_targets_are_what_the_networks_give(house, name):
    pictures, weights = stimuli(house), house.paths["weights"]
    found = load(house.inputs["clip"][0], "tokens")
    assert found.shape == (IMAGES, TOKENS, WIDTH) and found.dtype == np.float16
    expected = Clip.load(weights / "clip").tokens(pictures, pixel_range="pm1")
    np.testing.assert_allclose(found, expected.numpy(), atol=4e-3, rtol=2e-3)

    vae = house.finish(targets, house.job("targets", name, network="lowlevel_vae", targets={"lowlevel_vae": "vae"}))
    np.testing.assert_allclose(load(vae, "latents"), Vae.load(weights / "vae").encode(pictures).numpy(), atol=4e-3)


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


def test_truncated_stimuli_are_named(house, name, tmp_path):
    copy = Path(shutil.copytree(house.inputs["stimuli"][0], tmp_path / "stimuli"))
    with (copy / "images.h5").open("r+b") as file:
        file.truncate(500)
    job = with_inputs(house.tokens(name), stimuli=[copy])
    with pytest.raises(UserError, match=r"images\.h5: cannot be read"):
        targets.run(job)


# rows


def test_rows_are_the_array_and_survive_a_broken_note(tmp_path):
    values = np.arange(24, dtype=np.float16).reshape(6, 2, 2)
    rows = objects.Rows(tmp_path, 6)
    rows.write(a=values[:4], b=values[:4, 0])
    again = objects.Rows(tmp_path, 6)
    assert again.done == 4
    again.write(a=values[4:], b=values[4:, 0])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy", mmap_mode="r"), values)
    np.testing.assert_array_equal(np.load(tmp_path / "b.npy"), values[:, 0])

    assert objects.Rows(tmp_path, 7).done == 0, "another number of rows"
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(100)
    assert objects.Rows(tmp_path, 6).done == 0, "a file shorter than the note says"
    (tmp_path / "rows.json").write_text("{")
    assert objects.Rows(tmp_path, 6).done == 0


# reconstruct


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
    monkeypatch.setattr(reconstruct.Decoder, "__call__", _dying(reconstruct.Decoder.__call__))
    with pytest.raises(KeyboardInterrupt):
        reconstruct.run(job)
    monkeypatch.undo()
    assert objects.Rows(job.work, 4).done == 3
    decoded = []
    monkeypatch.setattr(reconstruct.Decoder, "__call__", _counting(reconstruct.Decoder.__call__, decoded))
    reconstruct.run(job)
    assert decoded == [1], "the first three pictures were decoded once"
    np.testing.assert_allclose(load(job.work, "unrefined"), load(whole, "unrefined"), atol=4e-3)


def _counting(call, sizes):
    def counting(decoder, tokens, generators):
        sizes.append(len(tokens))
        return call(decoder, tokens, generators)

    return counting


def _dying(call):
    calls = []

    def dying(*args, **kwargs):
        calls.append(args)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return call(*args, **kwargs)

    return dying


def test_a_left_out_session_tests_one_item_per_category(house, name):
    folder = house.finish(reconstruct, house.reconstruct(name, sessions=[2]))
    with np.load(folder / "test.npz") as test:
        assert test["image"].tolist() == [12 * category + 1 for category in range(8)]


def test_heads_that_are_missing_leave_no_file(house, name, tmp_path):
    plain = write_model(tmp_path / "finetune", lowlevel=False, retrieval=False)
    folder = house.finish(reconstruct, with_inputs(house.reconstruct(name), finetune=[plain]))
    assert not (folder / "lowlevel.npy").exists() and not (folder / "retrieval.npy").exists()
    assert (folder / "pictures.png").exists()

    job = with_inputs(house.evaluate(f"{name}-evaluate"), reconstruct=[folder])
    found = metrics(house.finish(evaluate, job))
    assert found["", "retrieval_brain_to_image", ""]["value"] == ""
    assert not any(picture == "lowlevel" for _, _, picture in found)


def test_reconstruct_refuses_foreign_betas_and_an_empty_test_set(house, name, tmp_path):
    other = write_model(tmp_path / "finetune", voxels=VOXELS + 1)
    with pytest.raises(UserError, match=f"{VOXELS} voxels, but the model was trained with {VOXELS + 1}"):
        reconstruct.run(with_inputs(house.reconstruct(name), finetune=[other]))
    with pytest.raises(UserError, match="subject 1: no trial in session 9"):
        reconstruct.run(house.reconstruct(f"{name}-9", sessions=[9]))


# refine


def test_refined_pictures_depend_on_no_batch_and_follow_the_caption(house, name):
    whole = load(house.inputs["refine"][0], "refined")
    assert whole.shape == (4, 3, PX, PX) and whole.min() >= 0 and whole.max() <= 1
    single = house.finish(refine, house.refine(name, batch_size=1))
    np.testing.assert_allclose(load(single, "refined"), whole, atol=4e-3)
    unrefined = load(house.inputs["reconstruct"][0], "unrefined")
    assert np.abs(whole - unrefined).mean() > 1e-3


def test_refine_refuses_no_step_and_damaged_inputs(house, name, tmp_path):
    with pytest.raises(UserError, match=r"refine\.strength: 0\.2 of 4 steps is not one step; use at least 0\.25"):
        refine.run(house.refine(name, strength=0.2))

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


# evaluate


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
    for metric in ("alexnet2", "efficientnet", "meteor", "brain_correlation_V4"):
        assert f"{metric}: not computed: " in said
    row = found["", "alexnet2", "refined"]
    assert (row["value"], row["low"], row["high"]) == ("", "", "")


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


def test_blend_weight_mixes_the_lowlevel_picture_into_the_refined(house, name):
    values = [
        metrics(house.finish(evaluate, house.evaluate(f"{name}-{weight}", blend_weight=weight)))
        for weight in (0.0, 1.0)
    ]
    kinds = [[table["", "ssim", picture]["value"] for picture in ("lowlevel", "refined")] for table in values]
    assert kinds[1][1] == kinds[1][0] == kinds[0][0] != kinds[0][1]


def test_folds_are_pooled_and_categories_named(house, name):
    folds = [house.finish(reconstruct, house.reconstruct(f"{name}-{s}", sessions=[s])) for s in range(1, SESSIONS + 1)]
    refined = []
    for number, folder in enumerate(folds):
        job = with_inputs(house.refine(f"{name}-refine-{number}"), reconstruct=[folder])
        refined.append(house.finish(refine, job))
    tokens = load(house.inputs["clip"][0], "tokens").astype(np.float32).reshape(8, 12, TOKENS, WIDTH).mean(axis=1)
    np.save(folds[0] / "retrieval.npy", tokens.astype(np.float16))
    job = house.evaluate(name, split="leave_one_session_out", baselines=["linear_svm"])
    found = metrics(house.finish(evaluate, with_inputs(job, reconstruct=folds, refine=refined)))
    own, machine = found["", "identification_8way", ""], found["linear_svm", "identification_8way", ""]
    assert own["n"] == machine["n"] == str(8 * SESSIONS)
    assert float(own["value"]) >= 1 / SESSIONS
    assert float(machine["value"]) == 1.0
    assert found["", "ssim", "refined"]["n"] == str(4 * SESSIONS)
    assert not any(metric == "retrieval_brain_to_image" for _, metric, _ in found)


def test_without_the_judging_clip_its_metrics_are_left_out(house, name, capsys):
    found = metrics(house.finish(evaluate, house.evaluate(name, clip="openai_clip")))
    assert found["", "clip", "refined"]["value"] == "" and found["", "clip_l", ""]["value"] == ""
    assert "clip: not computed: no weights" in capsys.readouterr().err


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
