"""Volumes inside a mask, one row per volume: NIfTI and HDF5 session files and the masks of NSD and Haxby.

Voxels are in C order of the X x Y x Z volume, then masked. Files are read in blocks of bounded size.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import nibabel
import numpy as np
from jaxtyping import Bool, Float32
from nibabel.filebasedimages import ImageFileError

from mindeye2.data.layout import reading
from mindeye2.errors import UserError

BLOCK_BYTES = 64 << 20

# Values of prf-visualrois: ventral and dorsal parts of each area.
_VISUAL_AREAS = {"V1": (1, 2), "V2": (3, 4), "V3": (5, 6), "V4": (7,)}
REGIONS = ("nsd_general", *_VISUAL_AREAS, "higher_vis")
"""Of the brain metrics; only the first is always there."""

ReadBlock = Callable[[int, int], np.ndarray]
"""Volumes from start to stop, (volumes, voxels)."""


def read_mask(path: Path) -> np.ndarray:
    """Integer values (X, Y, Z) of a mask."""
    with _reading_image(path):
        values = np.asarray(nibabel.load(path).dataobj)
    if values.ndim != 3:
        raise UserError(f"{path}: shape {values.shape}, a mask has X x Y x Z; download it again")
    return values


def read_regions(general_path: Path, areas_path: Path | None) -> tuple[np.ndarray, dict[str, Bool[np.ndarray, "_"]]]:
    """The nsdgeneral volume (bool) and, over its voxels, the regions of the brain metrics.

    nsdgeneral is where its mask is above 0 (-1 is outside cortex, 0 in cortex but not in the region). higher_vis is
    nsdgeneral less V1 to V4; without ``areas_path`` nsd_general is the only region.
    """
    general = read_mask(general_path) > 0
    if not general.any():
        raise UserError(f"{general_path}: no voxel above 0, so nothing to decode from; download it again")
    regions = {"nsd_general": np.ones(int(general.sum()), dtype=bool)}
    if areas_path is not None:
        labels = read_mask(areas_path)
        if labels.shape != general.shape:
            raise UserError(
                f"{areas_path}: grid {labels.shape}, {general_path.name} has {general.shape}; masks of one subject "
                "share a grid, download both again"
            )
        regions |= {name: np.isin(labels[general], values) for name, values in _VISUAL_AREAS.items()}
        regions["higher_vis"] = ~np.logical_or.reduce([regions[name] for name in _VISUAL_AREAS])
    return general, regions


def read_volumes(
    path: Path, mask: Bool[np.ndarray, "x y z"], *, num_volumes: int, named: str, integer_scale: float
) -> Float32[np.ndarray, "volumes voxels"]:
    """The masked voxels of every volume of a session file.

    Integers are divided by ``integer_scale``; floating-point values are taken as they are and may hold NaN. HDF5
    holds one dataset ``betas`` (volumes, Z, Y, X), NIfTI is X x Y x Z x volumes. UserError where the grid is not
    the mask's, or where there are not ``num_volumes`` volumes (``named`` says what that number counts).
    """
    opened = _open_hdf5 if path.suffix == ".hdf5" else _open_nifti
    with opened(path, mask) as (shape, step, read):
        if len(shape) != 4:
            raise UserError(f"{path}: shape {shape}, X x Y x Z x volumes is needed; download it again")
        if shape[:3] != mask.shape:
            raise UserError(f"{path}: grid {shape[:3]}, the mask has {mask.shape}; download both again")
        if shape[3] != num_volumes:
            raise UserError(f"{path}: {shape[3]} volumes, but {num_volumes} {named}; download both again")
        values = np.empty((num_volumes, int(mask.sum())), np.float32)
        for start in range(0, num_volumes, step):
            stop = min(start + step, num_volumes)
            with reading(path):
                block = read(start, stop)
                scale = integer_scale if np.issubdtype(block.dtype, np.integer) else 1.0
                values[start:stop] = block / scale
    return values


@contextmanager
def _open_hdf5(path: Path, mask: np.ndarray) -> Iterator[tuple[tuple[int, ...], int, ReadBlock]]:
    with reading(path):
        file = h5py.File(path)
    with file:
        with reading(path):
            betas = file["betas"]
            volumes, *grid = betas.shape
        # Only the mask's bounding box is read, and voxels are picked from it without reordering the volume.
        x, y, z = np.nonzero(mask)
        first = [int(axis.min()) for axis in (z, y, x)]
        box = tuple(slice(low, int(axis.max()) + 1) for low, axis in zip(first, (z, y, x), strict=True))
        picked = (slice(None), z - first[0], y - first[1], x - first[2])
        step = _volumes_per_block([each.stop - each.start for each in box], betas.dtype)
        # A block that cuts chunks would have them unpacked again for the next block.
        chunk = betas.chunks[0] if betas.chunks else 1
        yield (*grid[::-1], volumes), -(-step // chunk) * chunk, lambda start, stop: betas[start:stop, *box][picked]


@contextmanager
def _open_nifti(path: Path, mask: np.ndarray) -> Iterator[tuple[tuple[int, ...], int, ReadBlock]]:
    with _reading_image(path):
        # Kept open: otherwise each block of a packed file unpacks everything before it again.
        image = nibabel.load(path, keep_file_open=True)
    step = _volumes_per_block(image.shape[:3], image.get_data_dtype())
    yield image.shape, step, lambda start, stop: np.asarray(image.dataobj[..., start:stop])[mask].T


def _volumes_per_block(grid: Sequence[int], dtype: np.dtype) -> int:
    return max(1, BLOCK_BYTES // (int(np.prod(grid)) * dtype.itemsize))


@contextmanager
def _reading_image(path: Path) -> Iterator[None]:
    with reading(path):
        try:
            yield
        except ImageFileError as error:
            raise ValueError(str(error)) from None
