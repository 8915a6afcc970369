"""Independent random streams from one root seed and the names of what is drawn."""

import hashlib


def stream_seed(root: int, *names: str | int) -> int:
    """63-bit seed of the stream called ``names`` under ``root``.

    Streams of different names are independent for all practical purposes (SHA-256), so adding a draw
    to one purpose never shifts another.
    """
    label = "/".join(str(part) for part in (root, *names))
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "big") >> 1


def torch_generator(root: int, *names: str | int):
    """CPU ``torch.Generator`` of that stream: the draws depend on neither batch size, order nor device."""
    import torch

    return torch.Generator("cpu").manual_seed(stream_seed(root, *names))


def numpy_generator(root: int, *names: str | int):
    """``numpy.random.Generator`` of that stream."""
    import numpy

    return numpy.random.default_rng(stream_seed(root, *names))
