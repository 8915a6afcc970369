"""stimuli, behav and betas on a simulated tree in the official layout, whole and damaged."""

import json
import shutil
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest

from mindeye2.config import parse_config
from mindeye2.data import layout
from mindeye2.data.layout import check_file
from mindeye2.data.shards import read_trials
from mindeye2.demo.simulate import simulate
from mindeye2.errors import UserError
from mindeye2.job import Job
from mindeye2.settings import Behav, Betas, Stimuli
from mindeye2.stages import behav, betas, stimuli

SESSIONS, TRIALS, PX = 3, 30, 32
VERSION = Betas().version
SESSION_FILES = {1: "hdf5", 2: "nii.gz"}
"""The simulator writes NIfTI for its smallest subject, HDF5 for the other."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    simulate(
        parse_config(
            {
                "paths": {"dataset": str(root / "nsd"), "captions": str(root / "coco")},
                "dataset": {"sessions": {1: SESSIONS, 2: SESSIONS}},
                "matrix": {"subjects": [1], "sessions": [1]},
                "simulate": {
                    "trials_per_session": TRIALS,
                    "shared_images": 6,
                    "image_px": PX,
                    "voxels": {1: 60, 2: 40},
                },
            }
        )
    )
    return root


@pytest.fixture
def copy(tree, tmp_path):
    """A tree to damage."""
    return Path(shutil.copytree(tree, tmp_path / "tree"))


def _responses(root, subject=1):
    return root / f"nsd/nsddata/ppdata/subj{subject:02d}/behav/responses.tsv"


def _session(root, subject, session):
    folder = root / f"nsd/nsddata_betas/ppdata/subj{subject:02d}/func1pt8mm/{VERSION}"
    return folder / f"betas_session{session:02d}.{SESSION_FILES[subject]}"


def _mask(root, name, subject=1):
    return root / f"nsd/nsddata/ppdata/subj{subject:02d}/func1pt8mm/roi/{name}.nii.gz"


def _run(module, root, work, *, inputs=None, subject=1, sessions=SESSIONS, **settings):
    name = module.__name__.rsplit(".", 1)[1]
    section = {"stimuli": Stimuli, "behav": Behav, "betas": Betas}[name](**settings)
    config = {"dataset": {"source": "nsd"}, name: section.keyed()}
    if name != "stimuli":
        config |= {"subject": subject, "sessions": sessions}
    work.mkdir(exist_ok=True)
    paths = {"dataset": root / "nsd", "captions": root / "coco"}
    module.run(Job(name, "", config, inputs or {}, paths, work))
    missing = [pattern for pattern in module.OUTPUTS if not any(work.glob(pattern))]
    assert not missing
    return work


def _behav_and_betas(root, folder, **settings):
    subject, sessions = settings.pop("subject", 1), settings.pop("sessions", SESSIONS)
    known = _run(behav, root, folder / "behav", subject=subject, sessions=sessions)
    inputs = {"behav": [known]}
    return known, _run(betas, root, folder / "betas", inputs=inputs, subject=subject, sessions=sessions, **settings)


def _values(folder):
    with h5py.File(folder / "betas.h5") as file:
        return file["betas"][:]


def _raw(root, subject, session):
    """Percent signal change inside nsdgeneral, read here without the package's readers."""
    path, general = _session(root, subject, session), nibabel.load(_mask(root, "nsdgeneral", subject)).get_fdata() > 0
    if path.suffix == ".hdf5":
        with h5py.File(path) as file:
            volumes = file["betas"][:].transpose(3, 2, 1, 0)
    else:
        volumes = np.asarray(nibabel.load(path).dataobj)
    return volumes.reshape(-1, volumes.shape[3])[general.ravel()].T / 300


def _rewrite(path, change):
    """Replace an HDF5 session's betas by ``change`` of them in percent signal change, as floats."""
    with h5py.File(path) as file:
        values = file["betas"][:].astype(np.float32) / 300
    with h5py.File(path, "w") as file:
        file["betas"] = change(values)


def _first_voxel(root):
    """(z, y, x) of the first nsdgeneral voxel: its place in an HDF5 session."""
    return tuple(np.argwhere(nibabel.load(_mask(root, "nsdgeneral")).get_fdata() > 0)[0][::-1])


def test_stimuli(tree, tmp_path):
    work = _run(stimuli, tree, tmp_path / "stimuli", image_px=24)
    captions, shared = json.loads((work / "captions.json").read_text()), np.load(work / "shared.npy")
    scenes = json.loads((tree / "nsd/truth/scenes.json").read_text())
    with h5py.File(work / "images.h5") as file:
        images = file["images"]
        assert images.dtype == np.float16 and images.shape == (len(scenes), 3, 24, 24)
        assert images[:].min() >= 0 and images[:].max() <= 1
    assert shared.dtype == bool and shared.tolist() == [scene["shared"] for scene in scenes]
    for scene, found in zip(scenes, captions, strict=True):
        main = scene["things"][0]
        assert len(found) == 5 and all(main["colour"] in caption for caption in found)


def test_behav(tree, tmp_path):
    work = _run(behav, tree, tmp_path / "behav", sessions=2)
    again = _run(behav, tree, tmp_path / "again", sessions=2)
    shards = sorted(path.relative_to(work) for path in work.rglob("*.tar"))
    assert list(map(str, shards)) == ["wds/test/0.tar", "wds/train/0.tar", "wds/train/1.tar"]
    assert all((work / shard).read_bytes() == (again / shard).read_bytes() for shard in shards)
    train, test = read_trials(work, "train"), read_trials(work, "test")
    rows = np.concatenate([train.row, test.row])
    assert sorted(rows) == [*range(2 * TRIALS)]
    table = pd.read_csv(_responses(tree), sep="\t")
    np.testing.assert_array_equal(np.concatenate([train.image, test.image]), table["73KID"].to_numpy()[rows] - 1)
    np.testing.assert_array_equal(np.concatenate([train.session, test.session]), rows // TRIALS + 1)


@pytest.mark.parametrize("subject", [1, 2])
def test_betas_are_z_scored_over_each_sessions_training_trials(tree, tmp_path, subject):
    known, work = _behav_and_betas(tree, tmp_path, subject=subject)
    values, train = _values(work), read_trials(known)
    assert values.dtype == np.float32 and values.shape == (SESSIONS * TRIALS, {1: 60, 2: 40}[subject])
    for session in range(1, SESSIONS + 1):
        raw, rows = _raw(tree, subject, session), np.arange(TRIALS) + (session - 1) * TRIALS
        counted = raw[np.isin(rows, train.row)]
        deviation = counted.std(axis=0)
        expected = np.where(deviation > 0, (raw - counted.mean(axis=0)) / np.where(deviation > 0, deviation, 1), 0)
        np.testing.assert_allclose(values[rows], expected, atol=2e-5)


def test_report_and_regions(tree, tmp_path, capsys):
    _, work = _behav_and_betas(tree, tmp_path)
    report = json.loads((work / "report.json").read_text())
    # The simulator leaves one voxel of the first subject stuck in its second session.
    assert report["constant_voxels_per_session"] == [0, 1, 0]
    assert (report["rows"], report["voxels"]) == (SESSIONS * TRIALS, 60)
    assert "session 2: 1 of 60 voxels constant or not finite, set to 0" in capsys.readouterr().err
    assert (_values(work)[TRIALS : 2 * TRIALS] == 0).all(axis=0).sum() == 1
    with h5py.File(work / "betas.h5") as file:
        regions = {name: region[:] for name, region in file["regions"].items()}
    assert regions["nsd_general"].all() and all(region.dtype == bool for region in regions.values())
    area = np.load(tree / "nsd/truth/subj01.npz")["area"]
    for name in ("V1", "V2", "V3", "V4"):
        np.testing.assert_array_equal(regions[name], area == name)
    np.testing.assert_array_equal(regions["higher_vis"], area == "higher")


def test_options_of_the_z_score(tree, tmp_path):
    for name in ("default", "every_row", "all_sessions", "half"):
        (tmp_path / name).mkdir()
    _, default = _behav_and_betas(tree, tmp_path / "default", subject=2)
    _, every_row = _behav_and_betas(tree, tmp_path / "every_row", subject=2, statistics="all")
    _, all_sessions = _behav_and_betas(tree, tmp_path / "all_sessions", subject=2, statistics="all", scope="all")
    _, half = _behav_and_betas(tree, tmp_path / "half", subject=2, dtype="float16")
    by_session = _values(every_row).reshape(SESSIONS, TRIALS, -1)
    np.testing.assert_allclose(by_session.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(by_session.std(axis=1), 1, atol=1e-6)
    assert np.abs(_values(default) - _values(every_row)).max() > 0.05
    raw = np.concatenate([_raw(tree, 2, session) for session in range(1, SESSIONS + 1)])
    np.testing.assert_allclose(_values(all_sessions), (raw - raw.mean(axis=0)) / raw.std(axis=0), atol=2e-5)
    assert _values(half).dtype == np.float16
    np.testing.assert_allclose(_values(half), _values(default), atol=4e-3)


def test_betas_without_the_visual_areas(copy, tmp_path):
    _mask(copy, "prf-visualrois").unlink()
    _, work = _behav_and_betas(copy, tmp_path)
    with h5py.File(work / "betas.h5") as file:
        assert list(file["regions"]) == ["nsd_general"]


@pytest.mark.parametrize("value", [np.nan, np.inf, 4.0])
def test_a_voxel_that_says_nothing_becomes_zero_and_is_counted(copy, tmp_path, value):
    z, y, x = _first_voxel(copy)

    def break_voxel(values):
        # One number that is not finite is enough.
        trials = slice(None) if np.isfinite(value) else slice(3, 4)
        values[trials, z, y, x] = value
        return values

    _rewrite(_session(copy, 1, 3), break_voxel)
    _, work = _behav_and_betas(copy, tmp_path)
    report = json.loads((work / "report.json").read_text())
    assert report["constant_voxels_per_session"] == [0, 1, 1]
    values = _values(work)
    assert np.isfinite(values).all() and (values[2 * TRIALS :, 0] == 0).all() and (values[:TRIALS, 0] != 0).any()


def _truncate(path, part=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])


def _spoil_trial(values):
    values[7] = np.nan
    return values


def _edit_table(root, change):
    table = pd.read_csv(_responses(root), sep="\t")
    change(table).to_csv(_responses(root), sep="\t", index=False, na_rep="NaN")


def _edit_mask(path, change):
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(change(np.asarray(image.dataobj)), image.affine), path)


def _brick(root):
    return root / "nsd/nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"


def _experiment(root, name):
    return root / "nsd/nsddata/experiments/nsd" / name


def _shrink_brick(root):
    with h5py.File(_brick(root), "a") as file:
        pictures = file["imgBrick"][:-1]
        del file["imgBrick"]
        file["imgBrick"] = pictures


DAMAGE = {
    "session truncated (HDF5)": (
        lambda root: _truncate(_session(root, 1, 2)),
        1,
        r"betas_session02\.hdf5: truncated or damaged .*; download it again",
    ),
    "session truncated (NIfTI)": (
        lambda root: _truncate(_session(root, 2, 2)),
        2,
        r"betas_session02\.nii\.gz: truncated or damaged .*; download it again",
    ),
    "session missing": (
        lambda root: _session(root, 1, 2).unlink(),
        1,
        r"session02\.hdf5 \(or \.nii\.gz\): no such file, needed by betas of subject 1 \(3 sessions\); download",
    ),
    "session with too few trials": (
        lambda root: _rewrite(_session(root, 1, 3), lambda values: values[:-2]),
        1,
        r"betas_session03\.hdf5: 28 volumes, but 30 trials of session 3 in responses\.tsv",
    ),
    "session on another grid": (
        lambda root: _rewrite(_session(root, 1, 1), lambda values: values[:, 1:]),
        1,
        r"betas_session01\.hdf5: grid \(\d+, \d+, \d+\), the mask has",
    ),
    "session without its dataset": (
        lambda root: h5py.File(_session(root, 1, 1), "w").close(),
        1,
        r"betas_session01\.hdf5: truncated or damaged \(KeyError",
    ),
    "a trial of NaN": (
        lambda root: _rewrite(_session(root, 1, 2), _spoil_trial),
        1,
        r"betas_session02\.hdf5: every voxel of session 2 is constant or not finite \(.*trial 8 of 30\); download",
    ),
    "a constant session": (
        lambda root: _rewrite(_session(root, 1, 2), np.zeros_like),
        1,
        r"every voxel of session 2 is constant or not finite; download",
    ),
    "mask missing": (
        lambda root: _mask(root, "nsdgeneral").unlink(),
        1,
        r"nsdgeneral\.nii\.gz: no such file, needed by betas of subject 1",
    ),
    "mask truncated": (
        lambda root: _truncate(_mask(root, "nsdgeneral")),
        1,
        r"nsdgeneral\.nii\.gz: truncated or damaged",
    ),
    "areas on another grid": (
        lambda root: _edit_mask(_mask(root, "prf-visualrois"), lambda values: values[1:]),
        1,
        r"prf-visualrois\.nii\.gz: grid",
    ),
    "table missing": (
        lambda root: _responses(root).unlink(),
        1,
        r"responses\.tsv: no such file, needed by behav of subject 1 \(3 sessions\); .*MINDEYE2_DATASET",
    ),
    "table without a column": (
        lambda root: _edit_table(root, lambda table: table.drop(columns="ISOLD")),
        1,
        r"responses\.tsv: no column ISOLD",
    ),
    "image id out of range": (
        lambda root: _edit_table(root, lambda table: table.assign(**{"73KID": 73001})),
        1,
        r"responses\.tsv, line 2: 73KID 73001 is not among the images of subject 1",
    ),
    "table cut short": (
        lambda root: _edit_table(root, lambda table: table[:70]),
        1,
        r"responses\.tsv: 10 trials in session 3, 30 in session 1",
    ),
    "design truncated": (
        lambda root: _truncate(_experiment(root, "nsd_expdesign.mat")),
        1,
        r"nsd_expdesign\.mat: truncated or damaged",
    ),
    "brick truncated": (
        lambda root: _truncate(_brick(root)),
        None,
        r"nsd_stimuli\.hdf5: truncated or damaged",
    ),
    "brick shorter than its table": (
        _shrink_brick,
        None,
        r"nsd_stim_info_merged\.csv: \d+ images, nsd_stimuli\.hdf5 has \d+",
    ),
    "captions missing": (
        lambda root: (root / "coco/captions_val2017.json").unlink(),
        None,
        r"captions_val2017\.json: no such file, needed by stimuli; .*paths\.captions \(or MINDEYE2_CAPTIONS\)",
    ),
    "captions truncated": (
        lambda root: _truncate(root / "coco/captions_train2017.json"),
        None,
        r"captions_train2017\.json: truncated or damaged",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_tree_is_refused_in_one_line(copy, tmp_path, damage):
    break_it, subject, message = DAMAGE[damage]
    break_it(copy)
    with pytest.raises(UserError, match=message) as caught:
        if subject is None:
            _run(stimuli, copy, tmp_path / "stimuli", image_px=PX)
        else:
            _behav_and_betas(copy, tmp_path, subject=subject)
    assert "\n" not in str(caught.value)


def test_planning_finds_truncated_session_files(copy):
    for subject in (1, 2):
        for _, path in layout.found(lambda _: copy / "nsd", layout.betas_needs("nsd", subject, SESSIONS, VERSION)):
            check_file(copy / "nsd" / path)
        _truncate(_session(copy, subject, 2), 0.9)
        with pytest.raises(UserError, match=rf"betas_session02\.{SESSION_FILES[subject]}: truncated or damaged"):
            check_file(_session(copy, subject, 2))


def test_a_session_of_shared_images_only_asks_for_other_statistics(copy, tmp_path):
    table = pd.read_csv(_responses(copy), sep="\t")
    shared = np.flatnonzero([scene["shared"] for scene in json.loads((copy / "nsd/truth/scenes.json").read_text())])
    table.loc[table["SESSION"] == 2, "73KID"] = np.resize(shared + 1, TRIALS)
    table.to_csv(_responses(copy), sep="\t", index=False, na_rep="NaN")
    with pytest.raises(UserError, match=r"session 2 has no trial of a training image .*; set betas\.statistics: all"):
        _behav_and_betas(copy, tmp_path)
    _, work = _behav_and_betas(copy, tmp_path, statistics="all")
    assert np.isfinite(_values(work)).all()
