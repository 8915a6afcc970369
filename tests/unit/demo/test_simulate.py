import json
import os
import resource
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io

from mindeye2.config import Config, parse_config
from mindeye2.demo.simulate import simulate
from mindeye2.demo.world import Scene, Thing, captions, render
from mindeye2.errors import UserError

TRIALS, SHARED, PX = 48, 12, 32
SESSIONS = {1: 3, 2: 3, 3: 2}
VOXELS = {1: 90, 2: 80, 3: 70}
# fmt: off
COLUMNS = [
    "SUBJECT", "SESSION", "RUN", "TRIAL", "73KID", "10KID", "TIME", "ISOLD", "ISCORRECT", "RT", "CHANGEMIND",
    "MEMORYRECENT", "MEMORYFIRST", "ISOLDCURRENT", "ISCORRECTCURRENT", "TOTAL1", "TOTAL2", "BUTTON", "MISSINGDATA",
]
# fmt: on
VERSIONS = ("betas_fithrf_GLMdenoise_RR", "betas_fithrf", "betas_assumehrf")


def _config(folder: Path, **changes) -> Config:
    settings = {"trials_per_session": TRIALS, "shared_images": SHARED, "image_px": PX}
    settings["voxels"] = {str(subject): voxels for subject, voxels in VOXELS.items()}
    return parse_config(
        {
            "paths": {"dataset": str(folder / "nsd"), "captions": str(folder / "coco")},
            "dataset": {"sessions": {str(subject): count for subject, count in SESSIONS.items()}},
            "matrix": {"subjects": [1], "sessions": [1]},
            "simulate": {**settings, **changes},
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    assert simulate(_config(folder))
    return folder


@pytest.fixture(scope="module")
def nsd(folder) -> Path:
    return folder / "nsd"


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _mask(nsd: Path, subject: int, name: str = "nsdgeneral") -> np.ndarray:
    return np.asarray(nibabel.load(nsd / f"nsddata/ppdata/subj0{subject}/func1pt8mm/roi/{name}.nii.gz").dataobj)


def _betas(nsd: Path, subject: int, session: int, version: str = VERSIONS[0]) -> np.ndarray:
    """(trials, X, Y, Z) int16, from whichever file there is."""
    path = nsd / f"nsddata_betas/ppdata/subj0{subject}/func1pt8mm/{version}/betas_session0{session}"
    if path.with_suffix(".hdf5").is_file():
        with h5py.File(path.with_suffix(".hdf5")) as file:
            return file["betas"][:].transpose(0, 3, 2, 1)
    return np.moveaxis(np.asarray(nibabel.load(path.with_suffix(".nii.gz")).dataobj), 3, 0)


def _responses(nsd: Path, subject: int) -> pd.DataFrame:
    return pd.read_csv(nsd / f"nsddata/ppdata/subj0{subject}/behav/responses.tsv", sep="\t")


def _scenes(nsd: Path) -> list[Scene]:
    rows = json.loads((nsd / "truth/scenes.json").read_text())
    return [Scene(tuple(Thing(**thing) for thing in row["things"]), row["background"]) for row in rows]


def test_second_run_does_nothing_and_other_folders_get_equal_bytes(folder, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert not simulate(_config(folder))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert simulate(_config(tmp_path))
    assert _contents(tmp_path) == _contents(folder)


def test_experiment_design_has_the_official_keys(nsd):
    design = scipy.io.loadmat(nsd / "nsddata/experiments/nsd/nsd_expdesign.mat")
    images = 3 * TRIALS // 3
    assert design["masterordering"].shape == (1, 3 * TRIALS)
    assert design["masterordering"].min() == 1 and design["masterordering"].max() == images
    assert design["sharedix"].shape == (1, SHARED) and design["sharedix"].min() >= 1
    assert design["subjectim"].shape == (3, images)
    assert design["stimpattern"].shape[:2] == (3, 12) and design["stimpattern"].sum() == 3 * TRIALS
    assert design["basiccnt"].shape == (3, 3)
    assert (design["basiccnt"].T @ [1, 2, 3] == TRIALS).all()
    for subject in SESSIONS:
        ordering = design["masterordering"][0, : SESSIONS[subject] * TRIALS].astype(int)
        shown = design["subjectim"][subject - 1, ordering - 1]
        np.testing.assert_array_equal(_responses(nsd, subject)["73KID"], shown)
        np.testing.assert_array_equal(np.isin(shown, design["sharedix"]), ordering <= SHARED)


def test_stimuli_captions_and_table_describe_the_same_pictures(folder, nsd):
    scenes = _scenes(nsd)
    with h5py.File(nsd / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5") as file:
        brick = file["imgBrick"]
        assert brick.dtype == np.uint8 and brick.shape == (len(scenes), PX, PX, 3)
        np.testing.assert_array_equal(brick[5], render(scenes[5], PX))
    table = pd.read_csv(nsd / "nsddata/experiments/nsd/nsd_stim_info_merged.csv")
    names = ["cocoId", "cocoSplit", "cropBox", "loss", "nsdId", "flagged", "BOLD5000", "shared1000"]
    names += [f"subject{subject}" for subject in range(1, 9)]
    names += [f"subject{subject}_rep{rep}" for subject in range(1, 9) for rep in range(3)]
    assert list(table.columns[1:]) == names
    np.testing.assert_array_equal(table.nsdId, np.arange(len(scenes)))
    assert table.shared1000.sum() == SHARED
    assert set(table.cocoSplit) == {"train2017", "val2017"}
    for split, rows in table.groupby("cocoSplit"):
        content = json.loads((folder / "coco" / f"captions_{split}.json").read_text())
        by_image = {}
        for annotation in content["annotations"]:
            by_image.setdefault(annotation["image_id"], []).append(annotation["caption"])
        assert {image["id"] for image in content["images"]} == set(rows.cocoId) == set(by_image)
        for _, row in rows.iterrows():
            assert by_image[row.cocoId] == captions(scenes[row.nsdId])
    for subject in SESSIONS:
        shown = _responses(nsd, subject)["73KID"].to_numpy() - 1
        for rep in range(3):
            trial = table[f"subject{subject}_rep{rep}"].to_numpy()
            done = (trial > 0) & (trial <= len(shown))
            np.testing.assert_array_equal(shown[trial[done] - 1], np.flatnonzero(done))


@pytest.mark.parametrize("subject", SESSIONS)
def test_responses_have_the_official_columns(nsd, subject):
    path = nsd / f"nsddata/ppdata/subj0{subject}/behav/responses.tsv"
    table = _responses(nsd, subject)
    assert list(table.columns) == COLUMNS
    assert len(table) == SESSIONS[subject] * TRIALS
    assert "\tNaN\t" in path.read_text() and "\t\t" not in path.read_text()
    assert table.RT.isna().any() and table.SESSION.max() == SESSIONS[subject]


@pytest.mark.parametrize("subject", SESSIONS)
def test_betas_are_int16_volumes_zero_outside_the_brain(nsd, subject):
    mask = _mask(nsd, subject)
    assert mask.dtype == np.int16 and (mask > 0).sum() == VOXELS[subject]
    assert set(np.unique(_mask(nsd, subject, "prf-visualrois"))) == set(range(-1, 8))
    for version in VERSIONS:
        for session in range(1, SESSIONS[subject] + 1):
            betas = _betas(nsd, subject, session, version)
            assert betas.dtype == np.int16 and betas.shape == (TRIALS, *mask.shape)
            assert (betas == 0).all(axis=0).sum() > 50, "air around the head"
            assert (betas != 0).any(axis=0)[mask == 1].sum() >= VOXELS[subject] - 1


def test_the_smallest_subject_has_nifti_only_and_the_others_hdf5(nsd):
    suffixes = {
        subject: {path.name.split(".", 1)[1] for path in (nsd / "nsddata_betas").rglob(f"subj0{subject}/**/betas_s*")}
        for subject in SESSIONS
    }
    assert suffixes == {1: {"hdf5"}, 2: {"hdf5"}, 3: {"nii.gz"}}
    assert len({_mask(nsd, subject).shape for subject in SESSIONS}) == 3


def test_betas_are_300_times_the_true_response_plus_noise(nsd):
    """With gain near 1 the regression of stored betas on the truth has slope 300."""
    shown = _responses(nsd, 1)["73KID"].to_numpy()[:TRIALS] - 1
    truth = np.load(nsd / "truth/subj01.npz")
    stored = _betas(nsd, 1, 1)[:, _mask(nsd, 1) > 0].astype(float)
    true = truth["betas"][shown]
    stored, true = stored - stored.mean(axis=0), true - true.mean(axis=0)
    assert (stored * true).sum() / (true**2).sum() == pytest.approx(300, rel=0.15)


def test_noise_ceiling_estimated_from_repeats_is_the_stated_one(tmp_path):
    """NSD's estimate: z-scored in each session, the noise is what differs between the repeats of an image."""
    config = _config(tmp_path, trials_per_session=192, shared_images=60)
    simulate(config)
    nsd = tmp_path / "nsd"
    shown = _responses(nsd, 1)["73KID"].to_numpy()
    mask = _mask(nsd, 1) > 0
    medians = []
    for version in VERSIONS:
        betas = np.concatenate([_zscored(_betas(nsd, 1, session, version)[:, mask]) for session in (1, 2, 3)])
        groups = [betas[shown == image] for image in np.unique(shown)]
        within = np.mean([group.var(axis=0, ddof=1) for group in groups if len(group) == 3], axis=0)
        estimated = np.sqrt(np.maximum(betas.var(axis=0) - within, 0.0) / within)
        volume = nibabel.load(nsd / f"nsddata_betas/ppdata/subj01/func1pt8mm/{version}/ncsnr.nii.gz")
        stated = np.asarray(volume.dataobj)[mask]
        assert np.corrcoef(estimated, stated)[0, 1] > 0.8
        assert np.median(estimated) == pytest.approx(np.median(stated), rel=0.15)
        medians.append(np.median(stated))
    assert medians[0] == pytest.approx(0.6) and medians[0] > medians[1] > medians[2]


def _zscored(trials: np.ndarray) -> np.ndarray:
    deviation = trials.std(axis=0)
    return (trials - trials.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)


def test_one_voxel_of_one_session_is_constant(nsd):
    constant = {
        (subject, session): int((_betas(nsd, subject, session)[:, _mask(nsd, subject) > 0].std(axis=0) == 0).sum())
        for subject in SESSIONS
        for session in range(1, SESSIONS[subject] + 1)
    }
    assert {place: count for place, count in constant.items() if count} == {(1, 2): 1}


def test_changed_settings_and_lost_files_are_written_again(tmp_path):
    small = {"trials_per_session": 12, "shared_images": 3}
    assert simulate(_config(tmp_path, **small))
    before = _contents(tmp_path)
    assert simulate(_config(tmp_path, **small, seed=1))
    assert _contents(tmp_path).keys() == before.keys() and _contents(tmp_path) != before
    (tmp_path / "nsd/nsddata/ppdata/subj02/behav/responses.tsv").unlink()
    (tmp_path / "nsd/stray").write_text("")
    assert simulate(_config(tmp_path, **small, seed=0))
    assert _contents(tmp_path) == before
    (tmp_path / "coco/captions_val2017.json").write_text("{}")
    assert simulate(_config(tmp_path, **small, seed=0))
    assert _contents(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco", "nsd"]


@pytest.mark.parametrize("setting", ["nsd", "coco"])
def test_a_folder_of_others_is_never_replaced(tmp_path, setting):
    (tmp_path / setting).mkdir()
    (tmp_path / setting / "precious").write_text("real data")
    with pytest.raises(UserError, match=r"not written by mindeye2 simulate") as refusal:
        simulate(_config(tmp_path))
    assert "\n" not in str(refusal.value)
    assert _contents(tmp_path) == {f"{setting}/precious": b"real data"}


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "nsd").mkdir()
    assert simulate(_config(tmp_path, trials_per_session=12, shared_images=3))
    assert (tmp_path / "nsd/simulated.json").is_file()


def test_nested_folders_and_missing_section_are_refused(tmp_path):
    config = _config(tmp_path)
    nested = config.paths.model_copy(update={"captions": f"{config.paths.dataset}/coco"})
    with pytest.raises(UserError, match="lie in each other"):
        simulate(config.model_copy(update={"paths": nested}))
    with pytest.raises(UserError, match="simulate: not set"):
        simulate(config.model_copy(update={"simulate": None}))


def test_a_full_disk_ends_in_one_line_and_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"free space or permissions") as failure:
            simulate(_config(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(failure.value)
    assert not any(tmp_path.iterdir())


def test_a_path_below_a_file_ends_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file.*choose other paths.dataset"):
        simulate(_config(tmp_path / "file"))


def test_what_a_killed_run_left_is_removed_after_an_hour(tmp_path):
    old, young = tmp_path / ".nsd.0a.simulating", tmp_path / ".nsd.0b.simulating"
    for folder in (old, young):
        folder.mkdir()
        (folder / "half").write_text("")
    os.utime(old, (0, 0))
    simulate(_config(tmp_path, trials_per_session=12, shared_images=3))
    assert not old.exists() and young.exists()
