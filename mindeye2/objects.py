"""Files of finished objects: read, with errors of one line that name the file, and taken over from elsewhere."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mindeye2.errors import UserError
from mindeye2.progress import track

COPY_BYTES = 64 << 20


def damaged(path: Path, problem: object) -> UserError:
    return UserError(f"{path}: cannot be read ({problem}); remove the object and build it again")


def read_json(path: Path) -> Any:
    """Content of a JSON file; UserError naming it when it is missing or cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None


def read_csv(path: Path, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """Rows of a CSV file by column name; UserError when it cannot be read or one of ``columns`` is missing."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names, rows = reader.fieldnames or [], list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise damaged(path, error) from None
    missing = [name for name in columns if name not in names]
    if missing:
        raise damaged(path, f"no column {', '.join(missing)}")
    if any(None in row or None in row.values() for row in rows):
        raise damaged(path, "a row has more or fewer values than the header")
    return rows


def read_array(path: Path) -> np.ndarray:
    """A .npy file, memory-mapped; UserError naming it when it cannot be read."""
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


def read_test_images(folder: Path) -> np.ndarray:
    """0-based indices of the test images of a reconstruct object, in the order of its arrays."""
    try:
        with np.load(folder / "test.npz", allow_pickle=False) as file:
            return file["image"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise damaged(folder / "test.npz", error) from None


def read_regions(betas: Path) -> dict[str, np.ndarray]:
    """The brain regions of a betas object: name -> bool over its voxels."""
    path = betas / "betas.h5"
    try:
        with h5py.File(path) as file:
            return {name: region[:] for name, region in file["regions"].items()}
    except (OSError, KeyError, ValueError) as error:
        raise damaged(path, error) from None


@contextmanager
def open_images(stimuli: Path) -> Iterator[h5py.Dataset]:
    """The pictures of a stimuli object: float16 (images, 3, px, px) in [0, 1]."""
    path = stimuli / "images.h5"
    try:
        with h5py.File(path) as file:
            yield file["images"]
    except (OSError, KeyError, ValueError) as error:
        raise damaged(path, error) from None


def adopt(path: Path, place: Path) -> None:
    """Give ``place`` the content of ``path``: by hard link, or by copy where that cannot be.

    A finished object is read-only, and a hard link is the file itself: so only a file of one's own is linked, and
    it becomes read-only with the object.
    """
    place.unlink(missing_ok=True)
    source = path.resolve()
    if source.stat().st_uid == os.geteuid():
        with suppress(OSError):
            os.link(source, place)
            return
    blocks = -(-source.stat().st_size // COPY_BYTES)
    with source.open("rb") as file, place.open("wb") as copy:
        for _ in track(range(blocks), f"copying {path.name}", blocks):
            copy.write(file.read(COPY_BYTES))
