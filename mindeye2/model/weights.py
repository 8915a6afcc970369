"""A model on disk: float32 tensors in one safetensors file, and beside it the JSON note that rebuilds it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mindeye2.errors import UserError

TENSORS, NOTE = "model.safetensors", "model.json"


def write_weights(folder: str | Path, state: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """Write both files into ``folder``, which is made if need be."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.detach().float().cpu().contiguous() for name, value in state.items()}, folder / TENSORS)
    (folder / NOTE).write_text(json.dumps(note, indent=2) + "\n")


def read_note(folder: str | Path) -> dict[str, Any]:
    """The JSON note; UserError where it is missing or damaged."""
    path = Path(folder) / NOTE
    try:
        note = json.loads(path.read_text())
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; give a folder with {TENSORS} and {NOTE}, as pretrain and finetune write them"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); the file is damaged, build the model again") from None
    if not isinstance(note, dict) or not isinstance(note.get("sizes"), dict):
        raise UserError(f"{path}: has no 'sizes', from which the model is built; give a folder that save() wrote")
    return note


def read_tensors(folder: str | Path) -> dict[str, Tensor]:
    """All tensors, float32 on the CPU; UserError where the file is missing, truncated or not safetensors."""
    path = Path(folder) / TENSORS
    try:
        state = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; give a folder with {TENSORS} and {NOTE}") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read ({error}); the file is damaged, build the model again") from None
    return {name: value.to(torch.float32) for name, value in state.items()}


def check_state(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, origin: str | Path) -> None:
    """UserError that names the first tensor which is missing, unexpected or of another shape in ``origin``."""
    for name, value in expected.items():
        if name not in state:
            raise UserError(f"{origin}: lacks the tensor {name}; it belongs to a model of other sizes or is damaged")
        if state[name].shape != value.shape:
            raise UserError(
                f"{origin}: {name} has shape {tuple(state[name].shape)} where the model has {tuple(value.shape)}; "
                "give weights of a model of the same sizes"
            )
    for name in state:
        if name not in expected:
            raise UserError(f"{origin}: has a tensor {name} that the model does not; give weights of the same model")
