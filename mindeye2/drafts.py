"""Files and folders that appear under their name when they are whole, or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from mindeye2.errors import UserError


def refuse_content(final: Path) -> None:
    """UserError where something would be overwritten; an empty folder is taken for the place that is meant."""
    if final.exists() and not (final.is_dir() and not any(final.iterdir())):
        raise UserError(f"{final}: exists already; choose another --out, or remove it first")


@contextmanager
def draft(final: Path) -> Iterator[Path]:
    """A name beside ``final`` to write to; it gets its real name when everything is written, or goes.

    UserError where it cannot be written.
    """
    path = final.with_name(f".{final.name}.{os.getpid()}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield path
        path.rename(final)
    except (OSError, RuntimeError, SafetensorError) as error:
        said = " ".join(str(error).split())[:160]
        raise UserError(f"{final}: cannot be written ({said}); make room or choose another --out") from None
    finally:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
