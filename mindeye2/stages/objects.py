"""Files of store objects: reading finished ones with errors that name the file, filling new ones row by row."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from mindeye2.errors import UserError

REBUILD = "remove the object and build it again"


def damaged(path: Path, problem: object) -> UserError:
    return UserError(f"{path}: cannot be read ({problem}); {REBUILD}")


def read_array(path: Path) -> np.ndarray:
    """A .npy file, memory-mapped."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, error) from None


def read_pictures(path: Path) -> np.ndarray:
    """Pictures (n, 3, px, px) in [0, 1] of a .npy file; UserError names the first one that is none."""
    pictures = read_array(path)
    if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.shape[2] != pictures.shape[3]:
        raise damaged(path, f"shape {pictures.shape}, not (pictures, 3, px, px)")
    inside = ((pictures >= 0) & (pictures <= 1)).all(axis=(1, 2, 3))
    if not inside.all():
        raise damaged(path, f"picture {int(inside.argmin())} has values that are not in [0, 1]")
    return pictures


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None


def read_test_images(folder: Path) -> np.ndarray:
    """0-based indices of the test images of a reconstruct object, in the order of its arrays."""
    try:
        with np.load(folder / "test.npz", allow_pickle=False) as file:
            return file["image"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise damaged(folder / "test.npz", error) from None


@contextmanager
def open_images(stimuli: Path) -> Iterator[h5py.Dataset]:
    """The pictures of a stimuli object: float16 (images, 3, px, px) in [0, 1]."""
    path = stimuli / "images.h5"
    try:
        with h5py.File(path) as file:
            yield file["images"]
    except (OSError, KeyError) as error:
        raise damaged(path, error) from None


def as_half(values: Tensor, name: str) -> np.ndarray:
    """float16 on the CPU; UserError where a value is not finite there."""
    half = values.to(torch.float16).cpu()
    if not half.isfinite().all():
        worst = values.abs().max().item()
        raise UserError(
            f"{name}: a value is not finite in float16 (largest {worst:.3g}), so a network is damaged or its input is; "
            "check the folder paths.weights and the object's inputs"
        )
    return half.numpy()


class Rows:
    """``.npy`` arrays with one row per item, written chunk after chunk and found again after a kill.

    ``done`` counts the rows that are safe. A note beside the arrays holds it; the note is replaced only after
    the rows are on the disk, so that a kill at any moment costs at most one chunk. Rows are written, not
    memory-mapped: a full disk is then an error instead of a signal.
    """

    def __init__(self, folder: Path, count: int, *, note: str = "rows.json"):
        self.folder, self.count = folder, count
        self._note = folder / note
        self.done = self._found()

    def write(self, **chunks: np.ndarray) -> None:
        """Append one chunk: for each array its next rows, the same number of each."""
        (size,) = {len(chunk) for chunk in chunks.values()}
        for name, chunk in chunks.items():
            path = self.folder / f"{name}.npy"
            if self.done == 0:
                with path.open("wb") as file:
                    header = {"descr": npy.dtype_to_descr(chunk.dtype), "fortran_order": False}
                    npy.write_array_header_1_0(file, {**header, "shape": (self.count, *chunk.shape[1:])})
            with path.open("r+b") as file:
                shape, dtype = _header(file)
                if shape[1:] != chunk.shape[1:] or dtype != chunk.dtype:
                    raise ValueError(f"{path}: rows of {shape[1:]} {dtype}, got {chunk.shape[1:]} {chunk.dtype}")
                file.seek(self.done * chunk[0].nbytes, os.SEEK_CUR)
                file.write(np.ascontiguousarray(chunk).data)
                file.flush()
                os.fsync(file.fileno())
        self.done += size
        draft = self._note.with_suffix(".tmp")
        draft.write_text(json.dumps({"done": self.done, "names": list(chunks)}))
        draft.replace(self._note)

    def _found(self) -> int:
        """Rows of an earlier attempt; 0 where the files do not hold what the note says."""
        try:
            note = json.loads(self._note.read_text())
            for name in note["names"]:
                with (self.folder / f"{name}.npy").open("rb") as file:
                    shape, dtype = _header(file)
                    needed = file.tell() + note["done"] * dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
                    if shape[0] != self.count or file.seek(0, os.SEEK_END) < needed:
                        return 0
            return note["done"]
        except (OSError, ValueError, KeyError, EOFError):
            return 0


def _header(file) -> tuple[tuple[int, ...], np.dtype]:
    npy.read_magic(file)
    shape, _, dtype = npy.read_array_header_1_0(file)
    return shape, dtype
