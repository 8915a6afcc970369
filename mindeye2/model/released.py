"""Reading and writing a released ``last.pth``, with an unpickler that builds tensors and plain values only."""

import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mindeye2.errors import UserError

STATE = "model_state_dict"
_NUMBERS: list[Any] = [
    (getattr(np._core.multiarray, name), f"numpy.{core}.multiarray.{name}")
    for core in ("core", "_core")
    for name in ("scalar", "_reconstruct")
]
_NUMBERS += [np.ndarray, np.dtype, *(type(np.dtype(name)) for name in ("float32", "float64", "int64"))]
"""What NumPy's numbers unpickle through: a history of losses may hold some."""
_GIVE = "give the last.pth of a released MindEye2 model"


def read_released(path: str | Path) -> dict[str, Tensor]:
    """``model_state_dict`` of a released file, or the file itself where it holds nothing but tensors; on the CPU.

    Nothing in the file is executed: UserError names a function or class that it would call. UserError too where
    it is missing, truncated or no such file. Tensors are memory-mapped, so that 9 GB are read when they are used,
    once; other entries (an optimiser's state) are passed over.
    """
    path = Path(path)
    content = _unpickle(path)
    state = content.get(STATE, content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping):
        raise UserError(f"{path}: holds a {type(state).__name__} instead of tensors by name; {_GIVE}")
    if not state:
        raise UserError(f"{path}: holds no tensor; {_GIVE}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(f"{path}: holds a {type(value).__name__} under {name!r} where tensors are; {_GIVE}")
    return dict(state)


def write_released(path: str | Path, state: Mapping[str, Tensor]) -> None:
    """The layout of a released file, which the original opens: float32 tensors, in the order given."""
    tensors = {name: value.detach().to("cpu", torch.float32) for name, value in state.items()}
    torch.save({STATE: tensors}, path)


def _unpickle(path: Path) -> Any:
    """Content of the file by torch's restricted unpickler."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        archive = zipfile.is_zipfile(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {_GIVE}") from None
    if not start or (start.startswith(b"PK") and not archive):
        raise UserError(f"{path}: truncated; fetch the file again")
    try:
        # Files from before torch 1.6 are no archives and cannot be mapped.
        with warnings.catch_warnings(), torch.serialization.safe_globals(_NUMBERS):
            # A word on the pickle's protocol, printed before the refusal that says it all.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except (UnpicklingError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split()).rpartition("WeightsUnpickler error: ")[2]
        if called := re.search(r"(?:GLOBAL|class|function) ([\w.]+)", said):
            raise UserError(
                f"{path}: would run {called[1]} when it is read, which is no part of a model, so nothing was read; "
                "do not trust this file"
            ) from None
        raise UserError(
            f"{path}: damaged, or not to be read without running code ({type(error).__name__}: {said[:120]}); "
            "fetch the file again from where it was released"
        ) from None
