"""Training on several GPUs: one process each, rows of a batch shared out, contrastive losses over all rows.

Processes hold the same weights and split each batch by rows, so the number of GPUs changes a run's speed and the
last digits of its sums, not what is computed.
"""

import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mindeye2.errors import UserError

REFUSED = 3
GRACE_S = 5.0


def gather_rows(rows: Float[Tensor, "batch *rest"]) -> Float[Tensor, "all *rest"]:
    """Rows of all processes in the order of the whole batch, of which process p has every n-th one from p on.

    Whatever is computed of them must be the same on all processes; gradients then flow back to the process that
    each row came from without any exchange.
    """
    return _Gathered.apply(rows) if torch.distributed.is_initialized() else rows


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows):
        parts = [torch.empty_like(rows) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, rows.contiguous())
        return torch.stack(parts, dim=1).flatten(0, 1)

    @staticmethod
    def backward(ctx, gradient):
        # Each process holds the whole gradient of the one loss; DDP averages over processes what should add up.
        processes = torch.distributed.get_world_size()
        return processes * gradient[torch.distributed.get_rank() :: processes]


def usable_devices(rows: int) -> int:
    """The most visible GPUs among which the rows of a batch divide evenly; 1 without a GPU."""
    visible = torch.cuda.device_count()
    return max((count for count in range(1, visible + 1) if rows % count == 0), default=1)


def run_on(devices: int, train: Callable[..., None], *arguments: Any) -> None:
    """``train(*arguments)`` here, or in one process for each of several devices.

    ``train`` and its arguments must pickle. A UserError of any process is raised here. Ctrl-C and SIGTERM reach
    the first process, which writes its checkpoint; the others, which wait for it, are ended.
    """
    if devices == 1 or "WORLD_SIZE" in os.environ:
        train(*arguments)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    messages = torch.multiprocessing.get_context("spawn").SimpleQueue()
    workers = torch.multiprocessing.start_processes(
        _worker, (devices, port, messages, train, arguments), nprocs=devices, join=False, start_method="spawn"
    )
    try:
        while not workers.join(grace_period=GRACE_S):
            pass
    except torch.multiprocessing.ProcessExitedException:
        if not messages.empty():
            raise UserError(messages.get()) from None
        raise
    except (KeyboardInterrupt, SystemExit):
        first, *others = workers.processes
        if first.is_alive():
            os.kill(first.pid, signal.SIGTERM)
        first.join()
        for process in others:
            process.kill()
        raise


def _worker(
    process: int, devices: int, port: int, messages: Any, train: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    os.environ |= {
        "RANK": str(process),
        "LOCAL_RANK": str(process),
        "WORLD_SIZE": str(devices),
        "LOCAL_WORLD_SIZE": str(devices),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    if process > 0:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - the first process speaks for all
    parent = os.getppid()

    def leave(number: int, frame: FrameType | None) -> None:
        # The others must not leave while the first still needs them to finish its step.
        if process == 0 or os.getppid() != parent:
            os._exit(128 + number)

    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGTERM, leave)
    try:
        train(*arguments)
    except UserError as error:
        messages.put(str(error))
        sys.exit(REFUSED)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
