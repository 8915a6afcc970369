"""What every training does: steps from the newest checkpoint on, a row of history per round, a way out on a signal.

Every draw of a step comes from a stream named after its place, so a resumed run needs no state of any generator
and gives, on the same machine, the weights of an uninterrupted one.
"""

import math
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor, nn

from mindeye2.errors import UserError
from mindeye2.progress import Progress
from mindeye2.seeds import stream_seed
from mindeye2.settings import Training, Unclip
from mindeye2.train import checkpoint
from mindeye2.train.checkpoint import Stateful
from mindeye2.train.history import Row, write_history
from mindeye2.train.interrupt import Interrupts
from mindeye2.train.optim import AdamW, Schedule
from mindeye2.train.precision import backward_precision

READ_EVERY = 25
NOTED = ("rows", "parts", "sums", "seconds")


@contextmanager
def deterministic_algorithms(device: torch.device) -> Iterator[None]:
    """On a GPU, torch's deterministic kernels where they exist, and a warning where they do not.

    CPU kernels are deterministic as they are, and the switch imports torch's compiler, which takes seconds.
    """
    if device.type == "cpu":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads memory before writing it.
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = fill


class Loop(ABC):
    """One network on its way through ``total_steps`` steps, in rounds of ``round_steps``; the last may be short.

    A kind of training says what a step is: ``_load`` reads its batch on the CPU (with ``pinned`` and ``to``), and
    ``_train_step`` takes it. ``work`` receives history.csv after every round and checkpoints below ``checkpoint/``.
    """

    columns: Sequence[str]
    """Of history.csv."""

    def __init__(
        self,
        model: nn.Module,
        settings: Training | Unclip,
        groups: Sequence[dict[str, Any]],
        schedule: Schedule,
        accelerator: Accelerator,
        work: Path,
        *,
        stage: str,
        seed: int,
        total_steps: int,
        round_steps: int,
    ):
        """``model`` is on its device; ``groups`` are its trainable parameters, and ``stage`` names the streams."""
        self.model, self.settings, self.schedule = model.train(), settings, schedule
        self.accelerator, self.work, self.stage, self.seed = accelerator, work, stage, seed
        self.total_steps, self.round_steps = total_steps, round_steps
        # Alone there is nothing to prepare, and accelerate would import seconds' worth of torch to find that out.
        self.wrapped = self.model if accelerator.num_processes == 1 else accelerator.prepare_model(self.model)
        self.optimizer = AdamW(list(groups))
        self.step = 0
        self.rows: list[Row] = []
        self._parts: list[str] = []
        self._sums: list[float] = []
        self._seconds = 0.0
        self._unread: list[Float[Tensor, " parts"]] = []

    @abstractmethod
    def _load(self, step: int) -> Any:
        """The batch of one step, on the CPU."""

    @abstractmethod
    def _train_step(self, batch: Any) -> dict[str, Tensor]:
        """Forward, backward, update at ``self.step``; the losses, ``loss`` first, not waited for."""

    @property
    def kept(self) -> Stateful:
        """What a checkpoint holds beside the model."""
        return self.optimizer

    @property
    def checkpoints(self) -> Path:
        return self.work / "checkpoint"

    def fit(self) -> list[Row]:
        """Train from the newest checkpoint, or the beginning, to the end; returns the history.

        UserError when the loss stops being a number. On Ctrl-C or SIGTERM the step is finished, a checkpoint
        written and the signal let through.
        """
        self._resume()
        main = self.accelerator.is_main_process
        progress = Progress(self.stage, self.total_steps, done=self.step) if main else None
        saved, shown = time.monotonic(), {}
        with deterministic_algorithms(self.accelerator.device), Interrupts(active=main) as interrupts:
            started = time.monotonic()
            for batch in self._stream():
                parts = self._train_step(batch)
                self._parts = list(parts)
                self._unread.append(torch.stack([value.detach() for value in parts.values()]))
                self.step += 1
                last = self.step % self.round_steps == 0 or self.step == self.total_steps
                if last or self.step % READ_EVERY == 0:
                    shown = {"loss": self._read_losses()}
                self._seconds += time.monotonic() - started
                started = time.monotonic()
                if last:
                    self._end_round()
                if progress is not None:
                    progress.advance(**shown)
                if interrupts.pending or started - saved > 60 * self.settings.checkpoint_minutes:
                    self._save()
                    saved = time.monotonic()
                if interrupts.pending:
                    self._say(f"stopped after step {self.step}; run the same command again to go on from there")
                    break
        if progress is not None:
            progress.close()
        return self.rows

    def _stream(self) -> Iterator[Any]:
        """The batch of each step on the device, from the present one on; a GPU finds the next one ready."""
        device = self.accelerator.device
        steps = range(self.step, self.total_steps)
        if device.type != "cuda":
            for step in steps:
                yield self._load(step).to(device)
            return
        with ThreadPoolExecutor(1) as reader:

            def read(step: int) -> Future:
                return reader.submit(lambda: self._load(step).pinned())

            ahead = None
            for step in steps:
                batch = (ahead or read(step)).result()
                # None is read beside the first step, which may record a CUDA graph: pinning memory would break that.
                ahead = read(step + 1) if step > steps[0] and step < steps[-1] else None
                yield batch.to(device)

    def _update(self, loss: Float[Tensor, ""]) -> None:
        """Gradients of ``loss``, clipped, and one step of the optimiser."""
        self._backward(loss)
        self._apply_gradients()

    def _backward(self, loss: Float[Tensor, ""]) -> None:
        """Leave the gradients of ``loss``, and only those."""
        self.optimizer.zero_grad()
        with backward_precision(self.accelerator.device, self.settings.precision):
            loss.backward()

    def _apply_gradients(self) -> None:
        if self.settings.grad_clip > 0:
            torch.nn.utils.clip_grad_norm_(self.optimizer.parameters, self.settings.grad_clip)
        self.optimizer.step(self.schedule(self.step))

    def _seed(self, *names: str | int) -> int:
        return stream_seed(self.seed, self.stage, *names)

    def _read_losses(self) -> float:
        """Add the losses of the last steps to the round's sums; the only place that waits for the device.

        All processes come here after the same steps. Returns the loss of the last one.
        """
        steps = self.accelerator.reduce(torch.stack(self._unread), "mean").tolist()
        for position, values in enumerate(steps, start=1):
            if not math.isfinite(values[0]):
                step = self.step - len(steps) + position
                raise UserError(
                    f"{self.stage}: the loss is {values[0]} at step {step} of {self.total_steps}; lower "
                    f"{self.stage}.max_lr (now {self.settings.max_lr:g}) and run again"
                )
            self._sums = [total + value for total, value in zip(self._sums or [0.0] * len(values), values, strict=True)]
        self._unread.clear()
        return steps[-1][0]

    def _end_round(self) -> None:
        taken = (self.step - 1) % self.round_steps + 1
        means = {name: total / taken for name, total in zip(self._parts, self._sums, strict=True)}
        row = {"epoch": len(self.rows) + 1, "step": self.step, **means, "lr": self.schedule(self.step - 1).lr}
        self.rows.append({**row, "seconds": round(self._seconds, 3)})
        self._sums, self._seconds = [], 0.0
        if self.accelerator.is_main_process:
            write_history(self.work / "history.csv", self.rows, self.columns)

    def _resume(self) -> None:
        found = checkpoint.resume(self.checkpoints, self.model, self.kept)
        if found is not None:
            self.step = found.step
            note = found.note
            self.rows, self._parts, self._sums, self._seconds = (note[name] for name in NOTED)
            self._unread = list(torch.tensor(note["unread"], device=self.accelerator.device))
            self._say(f"going on after step {self.step} of {self.total_steps}")

    def _save(self) -> None:
        """A checkpoint of the present step, written by the first process; all hold the same weights."""
        if not self.accelerator.is_main_process:
            return
        unread = [losses.tolist() for losses in self._unread]
        if not all(math.isfinite(losses[0]) for losses in unread):
            return  # The next reading of the losses stops the run; what is on the disk is sound.
        noted = dict(zip(NOTED, (self.rows, self._parts, self._sums, self._seconds), strict=True))
        note = noted | {"unread": unread}
        tensors = (self.model.state_dict(), self.kept.state_dict())
        checkpoint.save(self.checkpoints, checkpoint.Checkpoint(self.step, *tensors, note))

    def _say(self, line: str) -> None:
        if self.accelerator.is_main_process:
            print(f"{self.stage}: {line}", file=sys.stderr, flush=True)
