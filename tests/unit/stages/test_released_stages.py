"""stimuli, behav and betas from released files: the objects of the official tree, or one line that says why not."""

import json
import os
import random
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import webdataset
from released_objects import PX, SESSIONS, TRIALS, behav_and_betas, run_stage, values_of
from released_tree import edit_shard, trials

from mindeye2.data import layout
from mindeye2.data.recordings import count_voxels
from mindeye2.errors import UserError
from mindeye2.stages import behav, stimuli


@pytest.mark.parametrize("subject", [1, 2])
def test_both_sources_give_identical_behav_and_betas(trees, tmp_path, subject):
    ours = trees / "objects" / str(subject)
    behav_and_betas(tmp_path, trees, "released", subject=subject)
    files = sorted(path.relative_to(ours) for path in ours.rglob("*") if path.is_file())
    assert len(files) == SESSIONS + 3
    for file in files:
        if file.name != "report.json":
            assert (ours / file).read_bytes() == (tmp_path / file).read_bytes(), file
    reports = [json.loads((folder / "betas/report.json").read_text()) for folder in (ours, tmp_path)]
    settings = [report.pop("settings") for report in reports]
    assert reports[0] == reports[1]
    assert settings[1] == {"dtype": "float32"}


def test_fewer_sessions_are_the_first_ones_of_both_sources(trees, tmp_path):
    folders = [tmp_path / source for source in ("nsd", "released")]
    for folder in folders:
        behav_and_betas(folder, trees, folder.name, sessions=2)
    for name in ("behav/wds/test/0.tar", "behav/wds/train/1.tar", "betas/betas.h5"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_a_value_that_is_not_known_is_minus_one_even_where_a_file_says_nan(released_alone, trees, tmp_path):
    for number in range(SESSIONS):
        path = released_alone / f"released/wds/subj01/train/{number}.tar"
        edit_shard(path, lambda rows: np.where((rows == -1) & (np.arange(17) > 7), np.nan, rows))
    work = run_stage(behav, tmp_path / "behav", released_alone, "released")
    for number in range(SESSIONS):
        ours, theirs = (folder / f"wds/train/{number}.tar" for folder in (work, trees / "objects/1/behav"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_half_precision_is_ours_to_choose(trees, tmp_path):
    _, work = behav_and_betas(tmp_path, trees, "released", dtype="float16")
    np.testing.assert_array_equal(values_of(work), values_of(trees / "objects/1/betas").astype(np.float16))


def test_stimuli_of_both_sources_are_identical_where_the_identities_are_known(trees, tmp_path):
    official = run_stage(stimuli, tmp_path / "official", trees, "nsd", image_px=PX)
    root = Path(shutil.copytree(trees / "released", tmp_path / "both/released")).parent
    (root / "released" / layout.STIMULUS_INFO).parent.mkdir(parents=True)
    shutil.copy(trees / "nsd" / layout.STIMULUS_INFO, root / "released" / layout.STIMULUS_INFO)
    shutil.copytree(trees / "coco", root / "coco")
    released = run_stage(stimuli, tmp_path / "object", root, "released", image_px=PX)
    for name in ("captions.json", "shared.npy"):
        assert (official / name).read_bytes() == (released / name).read_bytes()
    pictures = []
    for folder in (official, released):
        with h5py.File(folder / "images.h5") as file:
            pictures.append(file["images"][:])
    assert pictures[0].dtype == pictures[1].dtype == np.float16
    np.testing.assert_array_equal(*pictures)


def test_released_files_alone_give_the_captions_of_the_test_images(released_alone, tmp_path):
    work = run_stage(stimuli, tmp_path / "object", released_alone, "released", image_px=PX)
    captions, shared = json.loads((work / "captions.json").read_text()), np.load(work / "shared.npy")
    assert captions == [[f"caption of image {image}"] if is_shared else [] for image, is_shared in enumerate(shared)]


def test_captions_may_be_a_list_or_an_array_of_an_old_numpy(released_alone, tmp_path):
    path = released_alone / "released" / layout.RELEASED_CAPTIONS
    run_stage(stimuli, tmp_path / "array", released_alone, "released", image_px=PX)
    content = torch.load(path, weights_only=False)
    torch.save(content.tolist(), path)
    run_stage(stimuli, tmp_path / "list", released_alone, "released", image_px=PX)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    old = path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert old != path.read_bytes()
    path.write_bytes(old)
    run_stage(stimuli, tmp_path / "old", released_alone, "released", image_px=PX)
    objects = [(tmp_path / name / "captions.json").read_bytes() for name in ("array", "list", "old")]
    assert objects[0] == objects[1] == objects[2]


class _RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_runs_code_is_refused(released_alone, tmp_path):
    torch.save(_RunsCode(tmp_path / "ran"), released_alone / "released" / layout.RELEASED_CAPTIONS)
    with pytest.raises(UserError, match=r"all_captions\.pt: would run posix\.mkdir when it is read"):
        run_stage(stimuli, tmp_path / "object", released_alone, "released", image_px=PX)
    assert not (tmp_path / "ran").exists() and not any((tmp_path / "object").iterdir())


def test_pictures_are_linked_where_the_file_is_ours_and_copied_where_it_is_not(released_alone, tmp_path, monkeypatch):
    pictures = released_alone / "released" / layout.RELEASED_IMAGES
    linked = run_stage(stimuli, tmp_path / "linked", released_alone, "released", image_px=PX) / "images.h5"
    assert linked.samefile(pictures) and not linked.is_symlink()
    monkeypatch.setattr(os, "geteuid", lambda: pictures.stat().st_uid + 1)
    copied = run_stage(stimuli, tmp_path / "copied", released_alone, "released", image_px=PX) / "images.h5"
    assert not copied.samefile(pictures) and copied.read_bytes() == pictures.read_bytes()


def test_a_link_in_a_download_cache_is_followed(released_alone, tmp_path):
    pictures, blob = released_alone / "released" / layout.RELEASED_IMAGES, tmp_path / "blob"
    pictures.rename(blob)
    pictures.symlink_to(blob)
    work = run_stage(stimuli, tmp_path / "object", released_alone, "released", image_px=PX)
    assert not (work / "images.h5").is_symlink() and (work / "images.h5").samefile(blob)


def test_number_of_voxels_without_reading_any(trees):
    path, voxels = count_voxels(trees / "released", "released", 2)
    assert (path.name, voxels) == ("betas_all_subj02_fp32_renorm.hdf5", 40)


def test_regions_may_be_missing(released_alone, tmp_path):
    (released_alone / "released" / layout.RELEASED_REGIONS).unlink()
    (released_alone / "released" / layout.RELEASED_TRIAL_IMAGES).unlink()
    _, work = behav_and_betas(tmp_path, released_alone, "released")
    with h5py.File(work / "betas.h5") as file:
        assert list(file["regions"]) == ["nsd_general"] and file["regions/nsd_general"][:].all()


def test_the_originals_reader_reads_our_shards(trees):
    """The calls of the original's training: shuffled, decoded, renamed, as tuples of four arrays."""
    folder, expected = trees / "objects/1/behav/wds", trials(trees / "nsd", 1)
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
