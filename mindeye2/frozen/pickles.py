"""Files of ``torch.save`` read without running what they hold."""

import codecs
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mindeye2.errors import UserError


def read_pickle(path: Path) -> Any:
    """Tensors, numpy arrays of numbers or texts and plain containers, on the CPU.

    UserError where the file is missing or damaged, or holds an object of any other kind: such a file could
    run code.
    """
    try:
        with torch.serialization.safe_globals(_arrays()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; put it there, or correct paths.weights") from None
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: cannot be read as tensors alone ({reason}); fetch the file again") from None


def _arrays() -> list:
    """What a pickled numpy array of numbers or texts is made of, under its names before and since numpy 2."""
    from numpy._core import multiarray

    kinds = [type(np.dtype(code)) for code in "?bBhHiIlLqQefdSU"]
    makers = [
        (getattr(multiarray, name), f"{module}.{name}")
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    ]
    # Bytes of an array come as text in the oldest protocol that Python 3 writes.
    return [np.ndarray, np.dtype, *kinds, *makers, (codecs.encode, "_codecs.encode")]
