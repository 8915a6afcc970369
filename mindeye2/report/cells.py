"""The finished objects behind each cell of the matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mindeye2.errors import UserError
from mindeye2.objects import open_images, read_json


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
    unclip: Path | None = None
    """Where it was trained here."""


def read_cells(cells: Sequence[Mapping[str, Any]], inputs: Mapping[str, Sequence[Path]]) -> list[Cell]:
    """Cells of the spec with the folders that their indices point at.

    ``sessions`` is the number of sessions trained on: with one session left out in turn, the folds less one.
    """
    found = []
    for cell in cells:
        evaluate = inputs["evaluate"][cell["evaluate"]]
        pretrain, unclip, folds = cell["pretrain"], cell.get("unclip"), len(cell["finetune"])
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
                unclip=None if unclip is None else inputs["unclip"][unclip],
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


def read_stimuli(folder: Path, rows: Sequence[int]) -> np.ndarray:
    """Pictures (k, 3, height, width) in [0, 1] of the image set, in the order of ``rows``."""
    with open_images(folder) as pictures:
        return np.stack([pictures[row] for row in rows])
