"""The linear baseline reads the cell's own training sessions and is scored as the cell's decoder is."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from finished_objects import SESSIONS, SHARED, TOKENS, VOXELS, WIDTH, metrics, with_inputs

from mindeye2.data.shards import read_trials
from mindeye2.job import Job
from mindeye2.stages import evaluate, reconstruct, refine
from mindeye2.stages.baselines import ridge_embeddings

SHOWN = [{"train": [1, 2, 3], "test": None}]


@pytest.fixture
def linear(house, tmp_path):
    """Puts a job into a world where voxels and tokens are linear in three hidden factors of a picture."""
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((96, 3))
    tokens = (factors @ rng.standard_normal((3, TOKENS * WIDTH)) + 2).reshape(96, TOKENS, WIDTH)
    betas, mixing = 0.05 * rng.standard_normal((8 * SESSIONS + 8, VOXELS)), rng.standard_normal((3, VOXELS))
    for split in ("train", "test"):
        trials = read_trials(house.inputs["behav"][0], split)
        betas[trials.row] += factors[trials.image] @ mixing
    write_betas(tmp_path / "betas", betas)

    def linear(job: Job, images: int = 96) -> Job:
        (tmp_path / "clip").mkdir()
        np.save(tmp_path / "clip" / "tokens.npy", tokens[:images].astype(np.float16))
        return with_inputs(job, clip=[tmp_path / "clip"], betas=[tmp_path / "betas"])

    return linear


def write_betas(folder: Path, betas: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / "betas.h5", "w") as file:
        file["betas"] = betas.astype(np.float32)


def read(job: Job) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(job.input("betas") / "betas.h5") as file:
        return np.load(job.input("clip") / "tokens.npy"), file["betas"][:]


def test_it_retrieves_the_shared_images_of_a_linear_world(house, name, linear):
    found = metrics(house.finish(evaluate, linear(house.evaluate(name, baselines=["linear_ridge"], folds=SHOWN))))
    for direction in ("brain_to_image", "image_to_brain"):
        ridge, own = (found[baseline, f"retrieval_{direction}", ""] for baseline in ("linear_ridge", ""))
        assert (float(ridge["value"]), ridge["n"]) == (1.0, "5")
        assert float(own["value"]) < 1.0


def test_it_names_the_categories_of_sessions_left_out(house, name, linear):
    sessions = range(1, SESSIONS + 1)
    folds = [house.finish(reconstruct, house.reconstruct(f"{name}-{s}", sessions=[s])) for s in sessions]
    refined = [
        house.finish(refine, with_inputs(house.refine(f"{name}-refine-{number}"), reconstruct=[folder]))
        for number, folder in enumerate(folds)
    ]
    parts = [{"train": [s for s in sessions if s != test], "test": [test]} for test in sessions]
    job = house.evaluate(name, split="leave_one_session_out", baselines=["linear_ridge"], folds=parts)
    found = metrics(house.finish(evaluate, with_inputs(linear(job, images=8), reconstruct=folds, refine=refined)))
    row = found["linear_ridge", "identification_8way", ""]
    assert row["n"] == str(8 * SESSIONS) and float(row["value"]) > 0.8


def test_only_the_training_sessions_of_the_cell_count(house, name, linear, tmp_path):
    job = linear(house.evaluate(name, folds=[{"train": [1], "test": None}]))
    tokens, betas = read(job)
    before = ridge_embeddings(job, tokens)
    assert before.shape == (len(SHARED), TOKENS, WIDTH)
    betas[8:24] = 0.0
    write_betas(tmp_path / "betas", betas)
    assert ridge_embeddings(job, tokens).equal(before)
    betas[0] = 0.0
    write_betas(tmp_path / "betas", betas)
    assert not ridge_embeddings(job, tokens).equal(before)
