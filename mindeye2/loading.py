"""Building a network whose weights are about to be read from a file."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

DRAWING = (nn.Linear, nn.modules.conv._ConvNd, nn.Embedding)
"""Layers whose constructor fills them with random numbers."""


@contextmanager
def uninitialised() -> Iterator[None]:
    """Inside, layers get memory but no random numbers, and the global generator does not move.

    ``torch.device("meta")`` would do it too, but its first use imports torch's compiler: 4 s of every small job.
    """
    kept = {kind: kind.reset_parameters for kind in DRAWING}
    try:
        for kind in DRAWING:
            kind.reset_parameters = lambda self: None
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for kind, reset in kept.items():
            kind.reset_parameters = reset
