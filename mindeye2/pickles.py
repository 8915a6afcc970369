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


class Description:
    """What stands for an object that only describes a training; nothing of it is kept."""

    def __init__(self, *arguments: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _dictionary(*default: Any) -> dict[Any, Any]:
    """What stands for a defaultdict; its default is not kept."""
    return {}


DESCRIPTIONS = (
    *(f"pathlib.{kind}" for kind in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *("argparse.Namespace", "typing.Any"),
    *(f"builtins.{kind}" for kind in ("dict", "list", "tuple", "int", "float", "bool", "str")),
    *(f"omegaconf.{kind}" for kind in ("dictconfig.DictConfig", "listconfig.ListConfig", "nodes.AnyNode")),
    *("omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata"),
)
"""Classes that Lightning's checkpoints hold beside the weights: paths, arguments and settings of the training."""


def read_pickle(path: Path, *, remedy: str, lightning: bool = False) -> Any:
    """Tensors, numpy arrays and scalars of numbers or texts, and plain containers; on the CPU.

    With ``lightning`` something empty stands for what is of a class in ``DESCRIPTIONS``.
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
    allowed = _arrays() + (_descriptions() if lightning else [])
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(allowed):
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


def _descriptions() -> list[Any]:
    return [(Description, name) for name in DESCRIPTIONS] + [(_dictionary, "collections.defaultdict")]
