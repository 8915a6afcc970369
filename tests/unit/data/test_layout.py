import gzip
import subprocess
import sys

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from mindeye2.data import layout
from mindeye2.data.shards import Sample, write_shard
from mindeye2.errors import UserError


def _session(root, number, suffix, subject=1, version="betas_fithrf"):
    path = root / f"nsddata_betas/ppdata/subj{subject:02d}/func1pt8mm/{version}/betas_session{number:02d}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def _mask(root, name, subject=1):
    path = root / layout.region_mask(subject, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_importing_it_imports_no_numeric_library():
    code = "import sys, mindeye2.data.layout; print([m for m in ('numpy', 'h5py', 'torch') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def _paths(needs):
    return [(need.root, *need.paths) for need in needs]


def test_files_of_the_official_tree(tmp_path):
    assert _paths(layout.stimuli_needs("nsd", tmp_path)) == [
        ("dataset", "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"),
        ("dataset", "nsddata/experiments/nsd/nsd_expdesign.mat"),
        ("dataset", "nsddata/experiments/nsd/nsd_stim_info_merged.csv"),
        ("captions", "captions_train2017.json"),
        ("captions", "captions_val2017.json"),
    ]
    assert _paths(layout.behav_needs("nsd", 7, 40))[0] == ("dataset", "nsddata/ppdata/subj07/behav/responses.tsv")
    assert layout.stimuli_needs("haxby", tmp_path) == []
    assert _paths(layout.behav_needs("haxby", 1, 12)) == [("dataset", "attributes_literal.txt")]


def test_released_files(tmp_path):
    assert _paths(layout.stimuli_needs("released", tmp_path)) == [
        ("dataset", "coco_images_224_float16.hdf5"),
        ("dataset", "shared1000.npy"),
        ("dataset", "nsddata/experiments/nsd/nsd_stim_info_merged.csv", "evals/all_captions.pt"),
    ]
    (tmp_path / layout.STIMULUS_INFO).parent.mkdir(parents=True)
    (tmp_path / layout.STIMULUS_INFO).write_text("nsdId")
    joined = _paths(layout.stimuli_needs("released", tmp_path))[3:]
    assert joined == [("captions", "captions_train2017.json"), ("captions", "captions_val2017.json")]
    assert [paths for _, *paths in _paths(layout.behav_needs("released", 3, 2))] == [
        ["wds/subj03/train/0.tar"],
        ["wds/subj03/train/1.tar"],
        ["wds/subj03/new_test/0.tar"],
        ["shared1000.npy"],
        ["COCO_73k_subj_indices.hdf5"],
    ]
    betas = layout.betas_needs("released", 3, 2, "betas_fithrf")
    assert [(need.paths[0], need.optional) for need in betas] == [
        ("betas_all_subj03_fp32_renorm.hdf5", False),
        ("brain_region_masks.hdf5", True),
    ]


def _betas_files(root, sessions, version="betas_fithrf"):
    return layout.found(lambda _: root, layout.betas_needs("nsd", 1, sessions, version))


def test_hdf5_is_preferred_and_nifti_taken_where_only_that_is_there(tmp_path):
    _mask(tmp_path, "nsdgeneral")
    for number, suffix in ((1, "hdf5"), (1, "nii.gz"), (2, "nii.gz"), (3, "hdf5")):
        _session(tmp_path, number, suffix)
    files = _betas_files(tmp_path, 3)
    assert {root for root, _ in files} == {"dataset"}
    assert [path.rsplit("/", 1)[1] for _, path in files] == [
        "nsdgeneral.nii.gz",
        "betas_session01.hdf5",
        "betas_session02.nii.gz",
        "betas_session03.hdf5",
    ]
    _mask(tmp_path, "prf-visualrois")
    assert _betas_files(tmp_path, 3)[1][1].endswith("prf-visualrois.nii.gz")


def test_missing_files_are_named_with_who_needs_them_and_what_to_do(tmp_path):
    with pytest.raises(
        UserError, match=r"nsdgeneral\.nii\.gz: no such file, needed by betas of subject 1 \(3 sessions\).*MINDEYE2_D"
    ):
        _betas_files(tmp_path, 3)
    _mask(tmp_path, "nsdgeneral")
    _session(tmp_path, 1, "hdf5")
    with pytest.raises(UserError, match=r"session02\.hdf5 \(or \.nii\.gz\).*, 2 of whose 5 files are missing"):
        _betas_files(tmp_path, 3)
    with pytest.raises(UserError, match=r"betas_assumehrf/betas_session01"):
        _betas_files(tmp_path, 1, "betas_assumehrf")
    with pytest.raises(UserError, match=r"bold\.nii\.gz: no such file"):
        layout.found(lambda _: tmp_path, layout.betas_needs("haxby", 1, 12, ""))


def _write_hdf5(path):
    with h5py.File(path, "w") as file:
        file["betas"] = np.arange(10000)


def _write_gzip(path):
    path.write_bytes(gzip.compress(np.random.default_rng(0).bytes(50000)))


def _write_safetensors(path):
    save_file({"a": np.ones(100), "b": np.ones(50)}, path, metadata={"of": "no tensor"})


def _write_text(path):
    path.write_text("a\tb\n1\t2\n")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.hdf5", _write_hdf5),
        ("a.nii.gz", _write_gzip),
        ("a.safetensors", _write_safetensors),
        ("a.tsv", _write_text),
    ],
)
def test_a_whole_file_passes_and_a_truncated_one_does_not(tmp_path, name, write):
    path = tmp_path / name
    write(path)
    layout.check_file(path)
    whole = path.read_bytes()
    for length in (0,) if name.endswith("tsv") else (0, 6, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=rf"{name}: truncated or damaged .*; download it again") as caught:
            layout.check_file(path)
        assert "\n" not in str(caught.value)


def test_a_tar_and_json_that_stop_early_are_found(tmp_path):
    shard, captions = tmp_path / "0.tar", tmp_path / "captions.json"
    write_shard(shard, [Sample(number, {"behav": np.ones((1, 17))}) for number in range(20)])
    captions.write_text('{"annotations": [{"caption": "a dog"}]}\n')
    for path in (shard, captions):
        layout.check_file(path)
        whole = path.read_bytes()
        for length in (0, len(whole) // 2, len(whole.rstrip(b"\0\n")) - 1):
            path.write_bytes(whole[:length])
            with pytest.raises(UserError, match=rf"{path.name}: truncated or damaged"):
                layout.check_file(path)


def test_a_web_page_instead_of_the_file_is_found(tmp_path):
    for name in ("a.hdf5", "a.nii.gz", "a.safetensors", "a.tar", "a.json"):
        (tmp_path / name).write_text("<!DOCTYPE html> access denied")
        with pytest.raises(UserError, match=f"{name}: truncated or damaged"):
            layout.check_file(tmp_path / name)


def test_large_gzip_files_are_only_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "WHOLLY_UNPACKED_BELOW_BYTES", 100)
    path = tmp_path / "a.nii.gz"
    _write_gzip(path)
    path.write_bytes(path.read_bytes()[:-10])
    layout.check_file(path)


def test_what_may_not_be_read_is_not_called_damaged(tmp_path):
    refused = pytest.raises(UserError, match=r"a\.mat: Permission denied; grant yourself read access")
    with refused, layout.reading(tmp_path / "a.mat"):
        raise PermissionError(13, "Permission denied")
