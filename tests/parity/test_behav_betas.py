"""Behaviour arrays and betas against the original's outputs on an invented subject (tests/gold, section i)."""

import numpy as np
import pytest
from gold_models import GOLD, atol
from scipy.io import savemat

from mindeye2.data.behav import shards
from mindeye2.data.betas import Moments, usable_voxels, z_scores
from mindeye2.data.nsd import read_design, read_responses
from mindeye2.data.shards import read_trials, shard_path, write_shard

SUBJECT_COLUMN, SESSION_COLUMN = 1, 2


@pytest.fixture(scope="module")
def gold():
    with np.load(GOLD / "i_behav.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def trials(gold, tmp_path_factory):
    path = tmp_path_factory.mktemp("design") / "nsd_expdesign.mat"
    shown = np.unique(gold["image_index_per_global_trial"])
    subjects = np.repeat(shown[None], int(gold["behav"][:, 0, SUBJECT_COLUMN].max()), axis=0)
    savemat(path, {"sharedix": np.flatnonzero(gold["shared_mask"])[None] + 1.0, "subjectim": subjects + 1.0})
    subject, sessions = (int(gold["behav"][:, 0, column].max()) for column in (SUBJECT_COLUMN, SESSION_COLUMN))
    return read_responses(GOLD / "i_responses.tsv", subject=subject, sessions=sessions, design=read_design(path))


def test_samples_are_the_originals(gold, trials):
    window = gold["past_behav"].shape[1]
    ours = [(split, number, sample) for split, number, found in shards(trials, window=window) for sample in found]
    assert [f"{split}/{number}.tar" for split, number, _ in ours] == gold["sample_tar"].tolist()
    assert [f"sample{sample.number:09d}" for *_, sample in ours] == gold["sample_key"].tolist()
    for name in ("behav", "past_behav", "future_behav", "olds_behav"):
        np.testing.assert_array_equal(np.stack([sample.arrays[name] for *_, sample in ours]), gold[name])


def test_trials_read_back_from_shards_are_the_originals(gold, trials, tmp_path):
    for split, number, found in shards(trials, window=15):
        write_shard(shard_path(tmp_path, split, number), found)
    for split in ("train", "test"):
        ours = read_trials(tmp_path, split)
        theirs = gold["behav"][np.char.startswith(gold["sample_tar"], split), 0]
        np.testing.assert_array_equal(ours.image, theirs[:, 0])
        np.testing.assert_array_equal(ours.row, theirs[:, 5])
        np.testing.assert_array_equal(ours.session, theirs[:, 2])
        np.testing.assert_array_equal(gold["image_index_per_global_trial"][ours.row], ours.image)


def _z_scored(volumes: np.ndarray, mask: np.ndarray, counted: np.ndarray) -> np.ndarray:
    done = []
    for session, volume in enumerate(volumes):
        values = (volume[mask].T / 300).astype(np.float32)
        inside = counted[session * len(values) : (session + 1) * len(values)]
        usable = usable_voxels(values, inside)
        moments = Moments(values.shape[1])
        moments.add(values[inside], usable)
        done.append(z_scores(values, moments, usable))
    return np.concatenate(done)


def test_z_scores_over_all_trials_are_the_originals_and_the_default_is_not(gold):
    """The original takes its statistics from test trials too and drops voxels; the default does neither."""
    betas = np.load(GOLD / "i_betas.npz")
    general = betas["roi_mask"] > 0
    kept = betas["noise_ceiling_snr"][general] >= 0.15
    theirs = betas["original_betas_float16"].astype(np.float32)
    everything = np.ones(len(theirs), dtype=bool)
    training = ~gold["shared_mask"][gold["image_index_per_global_trial"]]

    same = _z_scored(betas["session_volumes"], general, everything)
    np.testing.assert_allclose(same[:, kept], theirs, rtol=0, atol=atol("i_betas", "original_betas_float16"))

    default = _z_scored(betas["session_volumes"], general, training)
    assert default.shape == (len(theirs), general.sum()) and not kept.all()
    assert np.abs(default[:, kept] - theirs).max() > 0.05
