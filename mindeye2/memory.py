"""What is said when a GPU's memory is too small."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mindeye2.errors import UserError
from mindeye2.units import show_bytes


@contextmanager
def enough_memory(section: str, batch_size: int, *, remedy: str = "") -> Iterator[None]:
    """UserError that names the setting to lower where the GPU's memory is too small for what runs inside.

    ``remedy`` is a setting of the section that takes less, where it is not on already: ``offload: true``.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        remedies = [f"lower it to {batch_size // 2}"] if batch_size > 1 else []
        if remedy:
            remedies.append(f"set {section}.{remedy}")
        size = f" of {show_bytes(torch.cuda.mem_get_info()[1])}" if torch.cuda.is_available() else ""
        raise UserError(
            f"{section}.batch_size: {batch_size} at a time need more memory than this GPU{size} has free; "
            f"{' or '.join(remedies) or 'use a GPU with more'}, or end what else runs on it"
        ) from None
