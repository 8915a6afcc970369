"""The finished objects behind each cell of the matrix, and their files."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mindeye2.errors import UserError


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix; each path is a finished object, several where sessions are left out in turn."""

    variant: str
    subject: int
    sessions: int
    seed: int
    evaluate: Path
    finetune: tuple[Path, ...]
    reconstruct: tuple[Path, ...]
    refine: tuple[Path, ...]
    pretrain: Path | None
    stimuli: Path


def read_cells(cells: Sequence[Mapping[str, Any]], inputs: Mapping[str, Sequence[Path]]) -> list[Cell]:
    """Cells of the spec with the folders that their indices point at.

    ``sessions`` is the number of sessions trained on: with one session left out in turn, the folds less one.
    """
    found = []
    for cell in cells:
        evaluate = inputs["evaluate"][cell["evaluate"]]
        pretrain, folds = cell["pretrain"], len(cell["finetune"])
        found.append(
            Cell(
                variant=cell["variant"],
                subject=cell["subject"],
                sessions=folds - 1 if folds > 1 else cell["sessions"],
                seed=cell["seed"],
                evaluate=evaluate,
                finetune=tuple(inputs["finetune"][i] for i in cell["finetune"]),
                reconstruct=tuple(inputs["reconstruct"][i] for i in cell["reconstruct"]),
                refine=tuple(inputs["refine"][i] for i in cell["refine"]),
                pretrain=None if pretrain is None else inputs["pretrain"][pretrain],
                stimuli=_stimuli_of(evaluate, inputs["stimuli"]),
            )
        )
    return found


def _stimuli_of(evaluate: Path, stimuli: Sequence[Path]) -> Path:
    """The picture set that an evaluation used: variants may differ in the size of their pictures."""
    used = {name.rpartition("/")[2] for name in read_manifest(evaluate)["spec"]["inputs"]["stimuli"]}
    for folder in stimuli:
        if folder.name in used:
            return folder
    raise UserError(f"{evaluate / 'manifest.json'}: names stimuli that are not among the inputs; plan and run again")


def read_manifest(folder: Path) -> dict[str, Any]:
    return read_json(folder / "manifest.json")


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


def image_indices(reconstruct: Path) -> np.ndarray:
    """73K indices (0-based, ascending) of the test images of a reconstruction, int64 (n,)."""
    path = reconstruct / "test.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["image"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise damaged(path, error) from None


def read_stimuli(folder: Path, rows: Sequence[int]) -> np.ndarray:
    """Pictures (k, 3, height, width) in [0, 1] of the image set, in the order of ``rows``."""
    import h5py

    path = folder / "images.h5"
    try:
        with h5py.File(path, "r") as file:
            return np.stack([file["images"][row] for row in rows])
    except (OSError, KeyError, ValueError) as error:
        raise damaged(path, error) from None


def damaged(path: Path, problem: object) -> UserError:
    return UserError(f"{path}: cannot be read ({problem}); remove the object and build it again")
