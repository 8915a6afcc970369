"""Released files that cannot be right are refused by name, in one line."""

import shutil

import h5py
import numpy as np
import pytest
import torch
from released_objects import PX, TRIALS, behav_and_betas, run_stage
from released_tree import edit_shard

from mindeye2.data import layout
from mindeye2.data.released import released_recording
from mindeye2.errors import UserError
from mindeye2.stages import stimuli


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
        lambda root: edit_shard(_shard(root, "train/0.tar"), lambda rows: np.concatenate([rows, rows[2:3]])),
        r"wds/subj01: global trial \d+ is there twice",
    ),
    "image out of range": (
        lambda root: edit_shard(_shard(root, "train/0.tar"), _set((1, 0), 73000)),
        r"train/0\.tar: global trial \d+: image 73000, but shared1000\.npy has \d+ images",
    ),
    "half an image": (
        lambda root: edit_shard(_shard(root, "train/0.tar"), _set((1, 0), 0.5)),
        r"train/0\.tar: global trial \d+: image 0\.5, session 1, where whole numbers from 0 are needed",
    ),
    "an image that is not known": (
        lambda root: edit_shard(_shard(root, "train/0.tar"), _set((1, 0), np.nan)),
        r"train/0\.tar: global trial \d+: image -1, session 1, where whole numbers from 0 are needed",
    ),
    "a shared image in training": (
        lambda root: edit_shard(
            _shard(root, "train/0.tar"), _set((1, 0), np.load(root / "released/shared1000.npy").argmax())
        ),
        r"train/0\.tar: global trial \d+: is_shared 0, but shared1000\.npy says otherwise",
    ),
    "16 columns": (
        lambda root: edit_shard(_shard(root, "train/0.tar"), lambda rows: rows[:, :16]),
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
def test_damaged_released_files_are_refused_in_one_line(released_alone, tmp_path, damage):
    break_it, message = DAMAGE[damage]
    break_it(released_alone)
    with pytest.raises(UserError, match=message) as caught:
        behav_and_betas(tmp_path, released_alone, "released")
    assert "\n" not in str(caught.value)


def test_without_regions_the_number_of_voxels_gives_another_subject_away(released_alone):
    """NSD's subjects have different numbers of voxels, so a file under a wrong name shows."""
    (released_alone / "released" / layout.RELEASED_REGIONS).unlink()
    with h5py.File(_betas(released_alone), "w") as file:
        file.create_dataset("betas", (90, 14278), np.float32)
    with pytest.raises(UserError, match=r"14278 voxels \(those of subject 2\), but nsd_general of subject 1 has 15724"):
        released_recording(released_alone / "released", subject=1, session=np.repeat([1, 2, 3], TRIALS))


PICTURES = {
    "of another size": (64, None, r"float16\.hdf5: pictures of 32 pixels, not 64; set stimuli\.image_px: 32"),
    "out of range": (PX, _set((7, 0, 0, 0), 1.5), r"float16\.hdf5: image 7 has values that are not in \[0, 1\]"),
    "not finite": (PX, _set((7, 2, 3, 4), np.nan), r"float16\.hdf5: image 7 has values that are not in \[0, 1\]"),
    "of bytes": (PX, lambda values: (values * 255).astype(np.uint8), r"images is uint8 of shape .*, float16 of shape"),
    "too few": (PX, lambda values: values[1:], r"images is float16 of shape \(\d+, 3, 32, 32\), float16 of shape"),
}


@pytest.mark.parametrize("wrong", PICTURES)
def test_pictures_that_cannot_be_right_are_refused(released_alone, tmp_path, wrong):
    px, change, message = PICTURES[wrong]
    if change:
        _rewrite(released_alone / "released" / layout.RELEASED_IMAGES, "images", change)
    with pytest.raises(UserError, match=message):
        run_stage(stimuli, tmp_path / "object", released_alone, "released", image_px=px)
    assert not (tmp_path / "object/images.h5").exists()


def test_captions_for_other_images_are_refused(released_alone, tmp_path):
    path = released_alone / "released" / layout.RELEASED_CAPTIONS
    torch.save(["a dog", "a cat"], path)
    with pytest.raises(UserError, match=r"all_captions\.pt: 2 captions for 6 shared images"):
        run_stage(stimuli, tmp_path / "object", released_alone, "released", image_px=PX)
