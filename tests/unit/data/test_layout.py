import gzip
import subprocess
import sys

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from mindeye2.data import layout
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


def test_files_of_the_official_tree():
    assert layout.stimuli_files("nsd") == [
        ("dataset", "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"),
        ("dataset", "nsddata/experiments/nsd/nsd_expdesign.mat"),
        ("dataset", "nsddata/experiments/nsd/nsd_stim_info_merged.csv"),
        ("captions", "captions_train2017.json"),
        ("captions", "captions_val2017.json"),
    ]
    assert layout.behav_files("nsd", 7)[0] == ("dataset", "nsddata/ppdata/subj07/behav/responses.tsv")
    assert layout.stimuli_files("haxby") == []
    assert layout.behav_files("haxby", 1) == [("dataset", "attributes_literal.txt")]


def test_hdf5_is_preferred_and_nifti_taken_where_only_that_is_there(tmp_path):
    _mask(tmp_path, "nsdgeneral")
    for number, suffix in ((1, "hdf5"), (1, "nii.gz"), (2, "nii.gz"), (3, "hdf5")):
        _session(tmp_path, number, suffix)
    files = layout.betas_files(tmp_path, "nsd", 1, 3, "betas_fithrf")
    assert {root for root, _ in files} == {"dataset"}
    assert [path.rsplit("/", 1)[1] for _, path in files] == [
        "nsdgeneral.nii.gz",
        "betas_session01.hdf5",
        "betas_session02.nii.gz",
        "betas_session03.hdf5",
    ]
    _mask(tmp_path, "prf-visualrois")
    assert layout.betas_files(tmp_path, "nsd", 1, 3, "betas_fithrf")[1][1].endswith("prf-visualrois.nii.gz")


def test_missing_files_are_named_with_who_needs_them_and_what_to_do(tmp_path):
    with pytest.raises(
        UserError, match=r"nsdgeneral\.nii\.gz: no such file, needed by betas of subject 1; .*MINDEYE2_D"
    ):
        layout.betas_files(tmp_path, "nsd", 1, 3, "betas_fithrf")
    _mask(tmp_path, "nsdgeneral")
    _session(tmp_path, 1, "hdf5")
    with pytest.raises(UserError, match=r"betas_session02\.hdf5.*subject 1, 2 of whose 3 sessions.*dataset\.sessions"):
        layout.betas_files(tmp_path, "nsd", 1, 3, "betas_fithrf")
    with pytest.raises(UserError, match=r"betas_assumehrf/betas_session01"):
        layout.betas_files(tmp_path, "nsd", 1, 1, "betas_assumehrf")
    with pytest.raises(UserError, match=r"bold\.nii\.gz: no such file"):
        layout.betas_files(tmp_path, "haxby", 1, 12, "")


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


def test_a_web_page_instead_of_the_file_is_found(tmp_path):
    for name in ("a.hdf5", "a.nii.gz", "a.safetensors"):
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
