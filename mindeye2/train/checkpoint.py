"""Checkpoints that survive a kill at any moment: weights, optimiser state and a JSON note, in one folder per step.

A checkpoint is written under another name, flushed to the disk, and renamed; the one before it stays until the
next. What cannot be read is passed over, so the worst case is the previous checkpoint, or the beginning.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mindeye2.errors import UserError

MODEL, OPTIMIZER, NOTE = "model.safetensors", "optimizer.safetensors", "note.json"
KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """The state after ``step`` steps."""

    step: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    note: Mapping[str, Any]
    """JSON values that the loop wants back."""


@runtime_checkable
class Stateful(Protocol):
    """A model or an optimiser: tensors by name."""

    def state_dict(self) -> Mapping[str, Tensor]: ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> object: ...


def restore(checkpoint: Checkpoint, model: Stateful, optimizer: Stateful) -> None:
    """Put a checkpoint's tensors into a model and its optimiser; ValueError, nothing touched, where they do not fit."""
    pairs = ((model, checkpoint.model), (optimizer, checkpoint.optimizer))
    for owner, state in pairs:
        if _shapes(owner.state_dict()) != _shapes(state):
            raise ValueError("it is of another model")
    for owner, state in pairs:
        owner.load_state_dict(state)


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint below ``folder`` and keep one more, the newest before it; UserError where there is no room.

    Those of later steps go too: training had to pass them over.
    """
    final = folder / f"{checkpoint.step:09d}"
    draft = final.with_suffix(".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        save_file({name: value.contiguous() for name, value in checkpoint.model.items()}, draft / MODEL)
        save_file({name: value.contiguous() for name, value in checkpoint.optimizer.items()}, draft / OPTIMIZER)
    except SafetensorError as error:
        raise UserError(f"{draft}: cannot be written ({error}); make room and run the same command again") from None
    (draft / NOTE).write_text(json.dumps({"step": checkpoint.step, "note": checkpoint.note}))
    for name in (MODEL, OPTIMIZER):
        # safetensors closes its files to all but their owner; in a shared store another member goes on from them.
        (draft / name).chmod((draft / NOTE).stat().st_mode)
    for path in (*draft.iterdir(), draft):
        _flush(path)
    if final.exists():
        shutil.rmtree(final)
    draft.replace(final)
    _flush(folder)
    useful = [step for step in steps(folder) if step <= checkpoint.step][:KEPT]
    for other in steps(folder):
        if other not in useful:
            shutil.rmtree(folder / f"{other:09d}")


def _flush(path: Path) -> None:
    """Ask the disk to hold the file, or the folder's entries, before anything relies on them."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def steps(folder: Path) -> list[int]:
    """Steps of the checkpoints below ``folder``, newest first; drafts do not count."""
    if not folder.is_dir():
        return []
    return sorted((int(path.name) for path in folder.iterdir() if re.fullmatch(r"\d{9}", path.name)), reverse=True)


def load(folder: Path, step: int) -> Checkpoint:
    """One checkpoint, on the CPU; OSError, ValueError, KeyError or SafetensorError where it is damaged."""
    path = folder / f"{step:09d}"
    content = json.loads((path / NOTE).read_text())
    if content["step"] != step:
        raise ValueError(f"the note is of step {content['step']}")
    return Checkpoint(step, load_file(path / MODEL), load_file(path / OPTIMIZER), content["note"])


def resume(folder: Path, model: Stateful, optimizer: Stateful) -> Checkpoint | None:
    """Restore the newest checkpoint that is whole and fits; None where there is none.

    A line on standard error says which ones were passed over. OSError where the file system does not answer or grants
    no access: the next attempt may find what this one would lose.
    """
    for step in steps(folder):
        try:
            checkpoint = load(folder, step)
            restore(checkpoint, model, optimizer)
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            print(f"checkpoint {folder / f'{step:09d}'}: passed over ({reason})", file=sys.stderr, flush=True)
            continue
        return checkpoint
    return None
