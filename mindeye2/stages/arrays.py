"""Arrays of new objects: checked for half precision, and written row by row so that a kill costs one chunk."""

import json
import os
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from mindeye2.errors import UserError


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
