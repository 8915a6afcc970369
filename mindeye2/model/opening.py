"""One way to open a trained model, whoever trained it."""

from pathlib import Path

from mindeye2.model.mindeye import MindEye
from mindeye2.model.released import read_released
from mindeye2.model.upstream import from_released


def load(path: str | Path) -> MindEye:
    """The model in a folder that this project wrote, or in a released MindEye2 ``last.pth``.

    On the CPU, in evaluation mode. UserError names what is missing, damaged, of another architecture, or would
    run code.
    """
    if Path(path).is_dir():
        return MindEye.load(path)
    return from_released(read_released(path), origin=path)
