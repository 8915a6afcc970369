"""Reading and writing a released ``last.pth``."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mindeye2.errors import UserError
from mindeye2.pickles import read_pickle

STATE = "model_state_dict"
_GIVE = "give the last.pth of a released MindEye2 model"


def read_released(path: str | Path) -> dict[str, Tensor]:
    """``model_state_dict`` of a released file, or the file itself where it holds nothing but tensors; on the CPU.

    Other entries (an optimiser's state) are passed over. UserError where the file is missing, truncated, would run
    code, or is no such file.
    """
    path = Path(path)
    content = read_pickle(path, remedy=_GIVE)
    state = content.get(STATE, content) if isinstance(content, Mapping) else content
    if not isinstance(state, Mapping):
        raise UserError(f"{path}: holds a {type(state).__name__} instead of tensors by name; {_GIVE}")
    if not state:
        raise UserError(f"{path}: holds no tensor; {_GIVE}")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise UserError(f"{path}: holds a {type(value).__name__} under {name!r} where tensors are; {_GIVE}")
        if value.is_meta or value.layout != torch.strided:
            kind = "without values" if value.is_meta else "that is sparse"
            raise UserError(f"{path}: {name} is a tensor {kind}, as in no released MindEye2 model; {_GIVE}")
    return dict(state)


def write_released(path: str | Path, state: Mapping[str, Tensor]) -> None:
    """The layout of a released file, which the original opens: float32 tensors, in the order given."""
    tensors = {name: value.detach().to("cpu", torch.float32) for name, value in state.items()}
    torch.save({STATE: tensors}, path)
