"""Files of ``torch.save`` from elsewhere, read without running what they hold."""

import codecs
import re
import warnings
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from safetensors import SafetensorError

from mindeye2.errors import UserError


def read_pickle(path: Path, *, remedy: str) -> Any:
    """Tensors, numpy arrays and scalars of numbers or texts, and plain containers; on the CPU.

    Nothing in the file is executed: UserError names a function or class that it would call. UserError, with the
    ``remedy``, too where it is missing, truncated or damaged. Tensors are memory-mapped where the format allows,
    so that 9 GB are read when they are used, once.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        archive = zipfile.is_zipfile(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {remedy}") from None
    if not start or (start.startswith(b"PK") and not archive):
        raise UserError(f"{path}: truncated; {remedy}")
    # torch.load would go by that name, whatever the content is.
    if archive and path.suffix == ".safetensors":
        raise UserError(f"{path}: is a pickle under the name of a safetensors file; rename it to {path.stem}.ckpt")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_arrays()):
            # A word on the pickle's protocol, printed before the refusal that says it all.
            warnings.simplefilter("ignore", UserWarning)
            # Files from before torch 1.6 are no archives and cannot be mapped.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except (
        *(UnpicklingError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError),
        SafetensorError,
    ) as error:
        said = " ".join(str(error).split()).rpartition("WeightsUnpickler error: ")[2]
        if called := re.search(r"(?:GLOBAL|class|function) ([\w.]+)", said):
            raise UserError(
                f"{path}: would run {called[1]} when it is read, which is no part of its content, so nothing was read; "
                "do not trust this file"
            ) from None
        raise UserError(
            f"{path}: damaged, or not to be read without running code ({type(error).__name__}: {said[:120]}); {remedy}"
        ) from None


def check_archive(path: Path, *, remedy: str) -> None:
    """UserError where a part of an archive is not what its checksum says: a file whose bits changed on the way.

    Reads the whole file. What torch wrote before 1.6 is no archive and has no checksums, and torch can be told to
    write none, which are zeros then.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip() if any(part.CRC for part in archive.infolist()) else None
    if damaged is not None:
        raise UserError(f"{path}: damaged, the checksum of {damaged} in it differs; {remedy}")


def _arrays() -> list[Any]:
    """What a pickled numpy array of numbers or texts is made of, under its names before and since numpy 2."""
    kinds = [type(np.dtype(code)) for code in "?bBhHiIlLqQefdSU"]
    makers = [
        (getattr(multiarray, name), f"{module}.{name}")
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "scalar")
    ]
    # Bytes of an array come as text in the oldest protocol that Python 3 writes.
    return [np.ndarray, np.dtype, *kinds, *makers, (codecs.encode, "_codecs.encode")]
