import h5py
import nibabel
import numpy as np
import pytest

from mindeye2.data import volumes
from mindeye2.data.volumes import read_mask, read_regions, read_volumes
from mindeye2.errors import UserError

GRID, TRIALS = (4, 3, 5), 11


@pytest.fixture
def stored():
    generator = np.random.default_rng(0)
    return generator.integers(-3000, 3000, (*GRID, TRIALS), dtype=np.int16)


@pytest.fixture
def mask():
    return np.random.default_rng(1).random(GRID) < 0.4


def _nifti(path, values):
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
    return path


def _hdf5(path, values, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("betas", data=np.transpose(values, (3, 2, 1, 0)), **options)
    return path


def _read(path, mask, num_volumes=TRIALS, scale=300.0):
    return read_volumes(path, mask, num_volumes=num_volumes, named="trials", integer_scale=scale)


def _expected(stored, mask):
    """Voxels in C order of x, y, z, one by one."""
    voxels = [(x, y, z) for x in range(GRID[0]) for y in range(GRID[1]) for z in range(GRID[2]) if mask[x, y, z]]
    return np.array([[stored[*voxel, trial] / 300 for voxel in voxels] for trial in range(TRIALS)])


def test_both_formats_give_the_same_numbers_in_c_order(tmp_path, stored, mask):
    nifti = _read(_nifti(tmp_path / "s.nii.gz", stored), mask)
    np.testing.assert_array_equal(nifti, _expected(stored, mask).astype(np.float32))
    for name, options in (("plain", {}), ("chunked", {"chunks": (4, 5, 3, 2), "compression": "gzip"})):
        hdf5 = _read(_hdf5(tmp_path / f"{name}.hdf5", stored, **options), mask)
        np.testing.assert_array_equal(hdf5, nifti)


def test_blocks_do_not_change_the_result(tmp_path, stored, mask, monkeypatch):
    nifti, hdf5 = _nifti(tmp_path / "s.nii.gz", stored), _hdf5(tmp_path / "s.hdf5", stored, chunks=(4, 5, 3, 2))
    whole = _read(nifti, mask)
    monkeypatch.setattr(volumes, "BLOCK_BYTES", 250)
    for path in (nifti, hdf5):
        np.testing.assert_array_equal(_read(path, mask), whole)


def test_floating_point_betas_are_taken_as_they_are(tmp_path, stored, mask):
    percent = (stored / 300).astype(np.float32)
    percent[..., 0] = np.nan
    for path in (_nifti(tmp_path / "s.nii.gz", percent), _hdf5(tmp_path / "s.hdf5", percent)):
        values = _read(path, mask)
        assert np.isnan(values[0]).all()
        np.testing.assert_allclose(values[1:], _expected(stored, mask)[1:], rtol=1e-6)


def test_regions(tmp_path):
    general = np.array([[[-1, 0, 1, 1], [1, 1, 1, 1]]], dtype=np.int16)
    areas = np.array([[[-1, 1, 2, 0], [3, 6, 7, 1]]], dtype=np.int16)
    paths = [_nifti(tmp_path / f"{name}.nii.gz", values) for name, values in (("g", general), ("a", areas))]
    mask, regions = read_regions(*paths)
    np.testing.assert_array_equal(mask, general == 1)
    assert {name: np.flatnonzero(region).tolist() for name, region in regions.items()} == {
        "nsd_general": [0, 1, 2, 3, 4, 5],
        "V1": [0, 5],
        "V2": [2],
        "V3": [3],
        "V4": [4],
        "higher_vis": [1],
    }
    assert list(read_regions(paths[0], None)[1]) == ["nsd_general"]


def test_what_does_not_fit_is_refused_with_its_numbers(tmp_path, stored, mask):
    for path in (_nifti(tmp_path / "s.nii.gz", stored), _hdf5(tmp_path / "s.hdf5", stored)):
        with pytest.raises(UserError, match=rf"{path.name}: 11 volumes, but 12 trials"):
            _read(path, mask, num_volumes=12)
        with pytest.raises(UserError, match=rf"{path.name}: grid \(4, 3, 5\), the mask has \(4, 3, 4\)"):
            _read(path, mask[..., :4])
    with pytest.raises(UserError, match=r"a mask has X x Y x Z"):
        read_mask(tmp_path / "s.nii.gz")
    flat = _nifti(tmp_path / "flat.nii.gz", stored[..., 0])
    with pytest.raises(UserError, match=r"flat\.nii\.gz: shape \(4, 3, 5\), X x Y x Z x volumes is needed"):
        _read(flat, mask)
    empty = _nifti(tmp_path / "empty.nii.gz", np.zeros(GRID, np.int16))
    with pytest.raises(UserError, match=r"no voxel above 0"):
        read_regions(empty, None)
    other = _nifti(tmp_path / "other.nii.gz", np.zeros((4, 3, 4), np.int16))
    general = _nifti(tmp_path / "general.nii.gz", np.ones(GRID, np.int16))
    with pytest.raises(UserError, match=r"other\.nii\.gz: grid \(4, 3, 4\), general\.nii\.gz has \(4, 3, 5\)"):
        read_regions(general, other)


def test_damage_deep_inside_a_file_is_found_while_reading(tmp_path, stored, mask):
    path = _nifti(tmp_path / "s.nii.gz", stored)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(UserError, match=r"s\.nii\.gz: truncated or damaged"):
        _read(path, mask)
    path.write_bytes(b"not gzip at all")
    with pytest.raises(UserError, match=r"s\.nii\.gz: truncated or damaged"):
        _read(path, mask)
    with h5py.File(tmp_path / "s.hdf5", "w") as file:
        file["something"] = np.zeros(3)
    with pytest.raises(UserError, match=r"s\.hdf5: truncated or damaged"):
        _read(tmp_path / "s.hdf5", mask)
    with pytest.raises(UserError, match=r"text\.hdf5: truncated or damaged"):
        _read(_hdf5(tmp_path / "text.hdf5", stored.astype("S5")), mask)
