"""What may befall a stage: a kill in the middle of its training, a GPU without memory."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import torch

from mindeye2.job import Job


def kill_in_training(run: Callable[[Job], None], job: Job, *, checkpoints: int = 1) -> None:
    """``run(job)`` until so many checkpoints are there, then kill -9.

    The process is forked, so that it need not import torch and what rests on it once more.
    """
    process = multiprocessing.get_context("fork").Process(target=run, args=(job,))
    process.start()
    until = time.monotonic() + 60
    while len(list(job.work.glob("checkpoint/*"))) < checkpoints and process.is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def out_of_memory(*arguments: Any, **more: Any) -> None:
    """Stands in the place of what is too large for a GPU."""
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
