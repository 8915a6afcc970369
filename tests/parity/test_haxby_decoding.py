"""The shipped real fMRI: what a linear decoder reaches on it, through our own objects."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.svm import SVC

from mindeye2.data.haxby import CATEGORIES
from mindeye2.data.shards import read_trials
from mindeye2.job import Job
from mindeye2.settings import Behav, Betas
from mindeye2.stages import behav, betas

ROOT = Path(__file__).parents[2] / "mindeye2" / "demo" / "haxby"
RUNS = 12


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Finished behav and betas objects of the dataset, z-scored per run over all volumes."""
    config = {"dataset": {"source": "haxby"}, "subject": 1, "sessions": RUNS}
    folders = {name: tmp_path_factory.mktemp(name) for name in ("behav", "betas")}
    paths = {"dataset": ROOT}
    behav.run(Job("behav", "", {**config, "behav": Behav().keyed()}, {}, paths, folders["behav"]))
    settings = Betas(statistics="all", scope="session").keyed()
    inputs = {"behav": [folders["behav"]]}
    betas.run(Job("betas", "", {**config, "betas": settings}, inputs, paths, folders["betas"]))
    return folders


def _leave_one_run_out(values: np.ndarray, category: np.ndarray, run: np.ndarray) -> float:
    """Accuracy of a linear SVM on category averages of each run."""
    pairs = [(one, kind) for one in range(1, RUNS + 1) for kind in range(len(CATEGORIES))]
    averages = np.stack([values[(run == one) & (category == kind)].mean(axis=0) for one, kind in pairs])
    runs, kinds = np.array(pairs).T
    right = 0
    for held_out in range(1, RUNS + 1):
        train, test = runs != held_out, runs == held_out
        svm = SVC(kernel="linear", C=1).fit(averages[train], kinds[train])
        right += int((svm.predict(averages[test]) == kinds[test]).sum())
    return right / len(pairs)


def test_objects_hold_every_volume_and_every_trial(objects):
    with h5py.File(objects["betas"] / "betas.h5") as file:
        values = file["betas"][:]
        assert list(file["regions"]) == ["nsd_general"] and file["regions/nsd_general"][:].all()
    assert values.shape == (1452, 530) and values.dtype == np.float32
    for run in np.split(values, RUNS):
        np.testing.assert_allclose(run.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(run.std(axis=0), 1, atol=1e-4)
    train = read_trials(objects["behav"], "train")
    assert len(train) == 864 and len(read_trials(objects["behav"], "test")) == 0
    assert np.bincount(train.image).tolist() == [108] * 8
    blocks, volumes = np.unique([train.session, train.image], axis=1, return_counts=True)
    assert blocks.shape == (2, 96) and set(volumes) == {9}


def test_linear_decoder_on_our_objects(objects):
    with h5py.File(objects["betas"] / "betas.h5") as file:
        values = file["betas"][:]
    train = read_trials(objects["behav"])
    accuracy = _leave_one_run_out(values[train.row], train.image, train.session)
    assert accuracy == pytest.approx(73 / 96, abs=1 / 96)
    assert accuracy > 0.698

    shifted = np.roll(values, 3, axis=0)[train.row]
    assert _leave_one_run_out(shifted, train.image, train.session) < 0.65
