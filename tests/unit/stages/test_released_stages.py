"""stimuli, behav and betas from released files: the objects of the official tree, or one line that says why not."""

import io
import json
import os
import random
import shutil
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import webdataset
from released_tree import trials, write_released

from mindeye2.config import parse_config
from mindeye2.data import layout
from mindeye2.data.recordings import count_voxels
from mindeye2.data.released import released_recording
from mindeye2.demo.simulate import simulate
from mindeye2.errors import UserError
from mindeye2.job import Job
from mindeye2.presets import PRESETS
from mindeye2.settings import Behav, Betas, Stimuli
from mindeye2.stages import behav, betas, stimuli

SESSIONS, TRIALS, PX = 3, 30, 32


def _run(module, work, root, source, *, inputs=None, subject=1, sessions=SESSIONS, **settings):
    name = module.__name__.rsplit(".", 1)[1]
    section = {"stimuli": Stimuli, "behav": Behav, "betas": Betas}[name](**settings).keyed()
    if name == "betas" and source == "released":
        section = {"dtype": section["dtype"]}
    config = {"dataset": {"source": source}, name: section, "subject": subject, "sessions": sessions}
    work.mkdir(parents=True)
    folder = {"nsd": "nsd", "released": "released"}[source]
    paths = {"dataset": root / folder, "captions": root / "coco"}
    module.run(Job(name, "", config, inputs or {}, paths, work))
    return work


def _behav_and_betas(work, root, source, **settings):
    shared = {name: settings.pop(name) for name in ("subject", "sessions") if name in settings}
    known = _run(behav, work / "behav", root, source, **shared)
    return known, _run(betas, work / "betas", root, source, inputs={"behav": [known]}, **shared, **settings)


def _values(folder):
    with h5py.File(folder / "betas.h5") as file:
        return file["betas"][:]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A simulated official tree, the released files made from it, and the objects that the official tree gives."""
    root = tmp_path_factory.mktemp("tree")
    content = {
        "paths": {"dataset": str(root / "nsd"), "captions": str(root / "coco")},
        "dataset": {"sessions": {1: SESSIONS, 2: SESSIONS}},
        "matrix": {"subjects": [1], "sessions": [1]},
        "simulate": {"trials_per_session": TRIALS, "shared_images": 6, "image_px": PX, "voxels": {1: 60, 2: 40}},
    }
    simulate(parse_config(content))
    for subject in (1, 2):
        _behav_and_betas(root / f"objects/{subject}", root, "nsd", subject=subject, **PRESETS["released"]["betas"])
    rebuilt = {subject: _values(root / f"objects/{subject}/betas") for subject in (1, 2)}
    write_released(root / "nsd", root / "released", rebuilt)
    return root


@pytest.fixture
def copy(tree, tmp_path):
    """Released files to damage, and nothing of the official tree."""
    shutil.copytree(tree / "released", tmp_path / "tree/released")
    return tmp_path / "tree"


@pytest.mark.parametrize("subject", [1, 2])
def test_both_sources_give_identical_behav_and_betas(tree, tmp_path, subject):
    ours = tree / "objects" / str(subject)
    _behav_and_betas(tmp_path, tree, "released", subject=subject)
    files = sorted(path.relative_to(ours) for path in ours.rglob("*") if path.is_file())
    assert len(files) == SESSIONS + 3
    for file in files:
        if file.name != "report.json":
            assert (ours / file).read_bytes() == (tmp_path / file).read_bytes(), file
    reports = [json.loads((folder / "betas/report.json").read_text()) for folder in (ours, tmp_path)]
    settings = [report.pop("settings") for report in reports]
    assert reports[0] == reports[1]
    assert settings[1] == {"dtype": "float32"}


def test_fewer_sessions_are_the_first_ones_of_both_sources(tree, tmp_path):
    folders = [tmp_path / source for source in ("nsd", "released")]
    for folder in folders:
        _behav_and_betas(folder, tree, folder.name, sessions=2)
    for name in ("behav/wds/test/0.tar", "behav/wds/train/1.tar", "betas/betas.h5"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_value_that_is_not_known_is_minus_one_even_where_a_file_says_nan(copy, tree, tmp_path):
    for number in range(SESSIONS):
        path = copy / f"released/wds/subj01/train/{number}.tar"
        _edit_shard(path, lambda rows: np.where((rows == -1) & (np.arange(17) > 7), np.nan, rows))
    work = _run(behav, tmp_path / "behav", copy, "released")
    for number in range(SESSIONS):
        ours, theirs = (folder / f"wds/train/{number}.tar" for folder in (work, tree / "objects/1/behav"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_half_precision_is_ours_to_choose(tree, tmp_path):
    _, work = _behav_and_betas(tmp_path, tree, "released", dtype="float16")
    np.testing.assert_array_equal(_values(work), _values(tree / "objects/1/betas").astype(np.float16))


def test_stimuli_of_both_sources_are_identical_where_the_identities_are_known(tree, tmp_path):
    official = _run(stimuli, tmp_path / "official", tree, "nsd", image_px=PX)
    root = Path(shutil.copytree(tree / "released", tmp_path / "both/released")).parent
    (root / "released" / layout.STIMULUS_INFO).parent.mkdir(parents=True)
    shutil.copy(tree / "nsd" / layout.STIMULUS_INFO, root / "released" / layout.STIMULUS_INFO)
    shutil.copytree(tree / "coco", root / "coco")
    released = _run(stimuli, tmp_path / "object", root, "released", image_px=PX)
    for name in ("captions.json", "shared.npy"):
        assert (official / name).read_bytes() == (released / name).read_bytes()
    pictures = []
    for folder in (official, released):
        with h5py.File(folder / "images.h5") as file:
            pictures.append(file["images"][:])
    assert pictures[0].dtype == pictures[1].dtype == np.float16
    np.testing.assert_array_equal(*pictures)


def test_released_files_alone_give_the_captions_of_the_test_images(copy, tmp_path):
    work = _run(stimuli, tmp_path / "object", copy, "released", image_px=PX)
    captions, shared = json.loads((work / "captions.json").read_text()), np.load(work / "shared.npy")
    assert captions == [[f"caption of image {image}"] if is_shared else [] for image, is_shared in enumerate(shared)]


def test_captions_may_be_a_list_or_an_array_of_an_old_numpy(copy, tmp_path):
    path = copy / "released" / layout.RELEASED_CAPTIONS
    _run(stimuli, tmp_path / "array", copy, "released", image_px=PX)
    content = torch.load(path, weights_only=False)
    torch.save(content.tolist(), path)
    _run(stimuli, tmp_path / "list", copy, "released", image_px=PX)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    old = path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert old != path.read_bytes()
    path.write_bytes(old)
    _run(stimuli, tmp_path / "old", copy, "released", image_px=PX)
    objects = [(tmp_path / name / "captions.json").read_bytes() for name in ("array", "list", "old")]
    assert objects[0] == objects[1] == objects[2]


class _RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused(copy, tmp_path):
    torch.save(_RunsCode(tmp_path / "ran"), copy / "released" / layout.RELEASED_CAPTIONS)
    with pytest.raises(UserError, match=r"all_captions\.pt: would run posix\.mkdir when it is read"):
        _run(stimuli, tmp_path / "object", copy, "released", image_px=PX)
    assert not (tmp_path / "ran").exists() and not any((tmp_path / "object").iterdir())


def test_pictures_are_linked_where_the_file_is_ours_and_copied_where_it_is_not(copy, tmp_path, monkeypatch):
    pictures = copy / "released" / layout.RELEASED_IMAGES
    linked = _run(stimuli, tmp_path / "linked", copy, "released", image_px=PX) / "images.h5"
    assert linked.samefile(pictures) and not linked.is_symlink()
    monkeypatch.setattr(os, "geteuid", lambda: pictures.stat().st_uid + 1)
    copied = _run(stimuli, tmp_path / "copied", copy, "released", image_px=PX) / "images.h5"
    assert not copied.samefile(pictures) and copied.read_bytes() == pictures.read_bytes()


def test_a_link_in_a_download_cache_is_followed(copy, tmp_path):
    pictures, blob = copy / "released" / layout.RELEASED_IMAGES, tmp_path / "blob"
    pictures.rename(blob)
    pictures.symlink_to(blob)
    work = _run(stimuli, tmp_path / "object", copy, "released", image_px=PX)
    assert not (work / "images.h5").is_symlink() and (work / "images.h5").samefile(blob)


def test_number_of_voxels_without_reading_any(tree):
    path, voxels = count_voxels(tree / "released", "released", 2)
    assert (path.name, voxels) == ("betas_all_subj02_fp32_renorm.hdf5", 40)


def test_regions_may_be_missing(copy, tmp_path):
    (copy / "released" / layout.RELEASED_REGIONS).unlink()
    (copy / "released" / layout.RELEASED_TRIAL_IMAGES).unlink()
    _, work = _behav_and_betas(tmp_path, copy, "released")
    with h5py.File(work / "betas.h5") as file:
        assert list(file["regions"]) == ["nsd_general"] and file["regions/nsd_general"][:].all()


def _rewrite(path, name, change):
    with h5py.File(path) as file:
        values = file[name][:]
    with h5py.File(path, "w") as file:
        file[name] = change(values)


def _set(index, value):
    def change(values):
        values[index] = value
        return values

    return change


def _betas(root):
    return root / "released" / layout.released_betas(1)


def _shard(root, name):
    return root / "released/wds/subj01" / name


def _edit_shard(path, change):
    """Rewrite a shard with ``change`` of its (trials, 17) behaviour."""
    with tarfile.open(path) as shard:
        arrays = [np.load(io.BytesIO(shard.extractfile(name).read())) for name in shard.getnames() if ".behav" in name]
    with webdataset.TarWriter(str(path)) as shard:
        for number, row in enumerate(change(np.concatenate(arrays))):
            shard.write({"__key__": f"sample{number:09d}", "behav.npy": row[None]})


def _truncate(path, part=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])


def _of_subject_2(root, name):
    shutil.copy(root / "released" / name.format(2), root / "released" / name.format(1))


DAMAGE = {
    "betas missing": (
        lambda root: _betas(root).unlink(),
        r"betas_all_subj01_fp32_renorm\.hdf5: no such file, needed by betas of subject 1",
    ),
    "betas truncated": (lambda root: _truncate(_betas(root)), r"renorm\.hdf5: truncated or damaged"),
    "betas of another subject": (
        lambda root: _of_subject_2(root, "betas_all_subj{:02d}_fp32_renorm.hdf5"),
        r"subj01_fp32_renorm\.hdf5: 40 voxels, but nsd_general of subject 1 has 60; download the betas of subject 1 ag",
    ),
    "betas of half precision": (
        lambda root: _rewrite(_betas(root), "betas", lambda values: values.astype(np.float16)),
        r"renorm\.hdf5: betas is float16 of shape \(90, 60\), float32 \(trials, voxels\) is needed",
    ),
    "betas with too few rows": (
        lambda root: _rewrite(_betas(root), "betas", lambda values: values[:-1]),
        r"renorm\.hdf5: 89 rows, but 90 trials in the shards of subject 1",
    ),
    "betas not finite": (
        lambda root: _rewrite(_betas(root), "betas", _set((41, 3), np.nan)),
        r"renorm\.hdf5: row 41 has values that are not finite",
    ),
    "betas in per cent signal change": (
        lambda root: _rewrite(_betas(root), "betas", lambda values: 3 * values + 1),
        r"renorm\.hdf5: session 1 has mean .* and standard deviation .*, z-scores have about 0 and 1",
    ),
    "no dataset betas": (
        lambda root: h5py.File(_betas(root), "w").close(),
        r"renorm\.hdf5: truncated or damaged \(KeyError",
    ),
    "shard missing": (
        lambda root: _shard(root, "train/1.tar").unlink(),
        r"train/1\.tar: no such file, needed by behav of subject 1 \(3 sessions\);",
    ),
    "shard truncated": (
        lambda root: _truncate(_shard(root, "train/1.tar"), 0.4),
        r"train/1\.tar: truncated or damaged",
    ),
    "shards of another subject": (
        lambda root: _of_subject_2(root, "wds/subj{:02d}/train/0.tar"),
        r"train/0\.tar: global trial \d+: subject 2, subject 1 expected",
    ),
    "shard of another session": (
        lambda root: shutil.copy(_shard(root, "train/2.tar"), _shard(root, "train/1.tar")),
        r"train/1\.tar: global trial \d+: session 3 in the shard of session 2",
    ),
    "the old test set": (
        lambda root: shutil.copy(_shard(root, "test/0.tar"), _shard(root, "new_test/0.tar")),
        r"wds/subj01: no global trial \d+; download its shards again, or correct dataset\.sessions",
    ),
    "a trial twice": (
        lambda root: _edit_shard(_shard(root, "train/0.tar"), lambda rows: np.concatenate([rows, rows[2:3]])),
        r"wds/subj01: global trial \d+ is there twice",
    ),
    "image out of range": (
        lambda root: _edit_shard(_shard(root, "train/0.tar"), _set((1, 0), 73000)),
        r"train/0\.tar: global trial \d+: image 73000, but shared1000\.npy has \d+ images",
    ),
    "half an image": (
        lambda root: _edit_shard(_shard(root, "train/0.tar"), _set((1, 0), 0.5)),
        r"train/0\.tar: global trial \d+: image 0\.5, session 1, where whole numbers from 0 are needed",
    ),
    "an image that is not known": (
        lambda root: _edit_shard(_shard(root, "train/0.tar"), _set((1, 0), np.nan)),
        r"train/0\.tar: global trial \d+: image -1, session 1, where whole numbers from 0 are needed",
    ),
    "a shared image in training": (
        lambda root: _edit_shard(
            _shard(root, "train/0.tar"), _set((1, 0), np.load(root / "released/shared1000.npy").argmax())
        ),
        r"train/0\.tar: global trial \d+: is_shared 0, but shared1000\.npy says otherwise",
    ),
    "16 columns": (
        lambda root: _edit_shard(_shard(root, "train/0.tar"), lambda rows: rows[:, :16]),
        r"train/0\.tar: truncated or damaged \(ValueError: sample0+\.behav\.npy has shape \(1, 16\), not \(1, 17\)",
    ),
    "another image than shown": (
        lambda root: _rewrite_indices(root),
        r"wds/subj01: global trial 5 shows image \d+, but \d+ according to COCO_73k_subj_indices\.hdf5",
    ),
    "shared images as numbers": (
        lambda root: np.save(root / "released/shared1000.npy", np.arange(6)),
        r"shared1000\.npy: int64 of shape \(6,\); one bool per image",
    ),
    "regions of other voxels": (
        lambda root: _rewrite_region(root),
        r"subj01_fp32_renorm\.hdf5: 60 voxels, but V1 of subject 1 has 59",
    ),
}


def _rewrite_indices(root):
    with h5py.File(root / "released" / layout.RELEASED_TRIAL_IMAGES, "a") as file:
        file["subj01"][5] += 1


def _rewrite_region(root):
    with h5py.File(root / "released" / layout.RELEASED_REGIONS, "a") as file:
        del file["subj01/V1"]
        file["subj01/V1"] = np.ones(59, dtype=bool)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_released_files_are_refused_in_one_line(copy, tmp_path, damage):
    break_it, message = DAMAGE[damage]
    break_it(copy)
    with pytest.raises(UserError, match=message) as caught:
        _behav_and_betas(tmp_path, copy, "released")
    assert "\n" not in str(caught.value)


def test_without_regions_the_number_of_voxels_gives_another_subject_away(copy):
    """NSD's subjects have different numbers of voxels, so a file under a wrong name shows."""
    (copy / "released" / layout.RELEASED_REGIONS).unlink()
    with h5py.File(_betas(copy), "w") as file:
        file.create_dataset("betas", (90, 14278), np.float32)
    with pytest.raises(UserError, match=r"14278 voxels \(those of subject 2\), but nsd_general of subject 1 has 15724"):
        released_recording(copy / "released", subject=1, session=np.repeat([1, 2, 3], TRIALS))


PICTURES = {
    "of another size": (64, None, r"float16\.hdf5: pictures of 32 pixels, not 64; set stimuli\.image_px: 32"),
    "out of range": (PX, _set((7, 0, 0, 0), 1.5), r"float16\.hdf5: image 7 has values that are not in \[0, 1\]"),
    "not finite": (PX, _set((7, 2, 3, 4), np.nan), r"float16\.hdf5: image 7 has values that are not in \[0, 1\]"),
    "of bytes": (PX, lambda values: (values * 255).astype(np.uint8), r"images is uint8 of shape .*, float16 of shape"),
    "too few": (PX, lambda values: values[1:], r"images is float16 of shape \(\d+, 3, 32, 32\), float16 of shape"),
}


@pytest.mark.parametrize("wrong", PICTURES)
def test_pictures_that_cannot_be_right_are_refused(copy, tmp_path, wrong):
    px, change, message = PICTURES[wrong]
    if change:
        _rewrite(copy / "released" / layout.RELEASED_IMAGES, "images", change)
    with pytest.raises(UserError, match=message):
        _run(stimuli, tmp_path / "object", copy, "released", image_px=px)
    assert not (tmp_path / "object/images.h5").exists()


def test_captions_for_other_images_are_refused(copy, tmp_path):
    path = copy / "released" / layout.RELEASED_CAPTIONS
    torch.save(["a dog", "a cat"], path)
    with pytest.raises(UserError, match=r"all_captions\.pt: 2 captions for 6 shared images"):
        _run(stimuli, tmp_path / "object", copy, "released", image_px=PX)


def test_the_originals_reader_reads_our_shards(tree):
    """The calls of the original's training: shuffled, decoded, renamed, as tuples of four arrays."""
    folder, expected = tree / "objects/1/behav/wds", trials(tree / "nsd", 1)
    names = ("behav", "past_behav", "future_behav", "olds_behav")
    counts = {}
    for split, shards in (("train", f"{folder}/train/{{0..{SESSIONS - 1}}}.tar"), ("test", f"{folder}/test/0.tar")):
        data = (
            webdataset.WebDataset(shards, shardshuffle=False, nodesplitter=lambda urls: urls)
            .shuffle(750, initial=1500, rng=random.Random(42))
            .decode("torch")
            .rename(**{name: f"{name}.npy" for name in names})
            .to_tuple(*names)
        )
        samples = list(data)
        counts[split] = len(samples)
        for sample in samples:
            behav, past, future, olds = (np.asarray(part) for part in sample)
            assert [part.shape for part in (behav, past, future, olds)] == [(1, 17), (15, 17), (15, 17), (3, 17)]
            assert {part.dtype for part in (behav, past, future, olds)} == {np.dtype(np.float64)}
            row, position = int(behav[0, 5]), int(behav[0, 5]) % TRIALS
            np.testing.assert_array_equal(behav[0], expected[row])
            assert behav[0, 16] == (split == "test")
            for windows, there in ((past, position), (future, TRIALS - 1 - position)):
                filled = min(15, there)
                assert (windows[filled:] == -1).all() and (windows[:filled, 5] >= 0).all()
            before = np.arange(row - 1, row - 1 - min(15, position), -1)
            np.testing.assert_array_equal(past[: len(before), 5], before)
            others = expected[(expected[:, 0] == behav[0, 0]) & (expected[:, 5] != row)]
            np.testing.assert_array_equal(olds[: len(others)], others)
            assert (olds[len(others) :] == -1).all()
        keys = [sample["__key__"] for sample in webdataset.WebDataset(shards, shardshuffle=False)]
        assert keys == [f"sample{number:09d}" for number in range(len(samples))]
    assert sum(counts.values()) == SESSIONS * TRIALS and min(counts.values()) > 0
