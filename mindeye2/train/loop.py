"""The training loop: batches through the model, checkpoints on the way, one row of history per epoch.

Every draw of a step comes from a stream named after (stage, epoch, step), so a resumed run needs no state of any
generator and gives, on the same machine, the weights of an uninterrupted one.
"""

import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor

from mindeye2.data.batches import Batch, Batches
from mindeye2.errors import UserError
from mindeye2.model.diffusion import PriorDraws
from mindeye2.model.mindeye import MindEye
from mindeye2.progress import Progress
from mindeye2.seeds import numpy_generator, stream_seed
from mindeye2.settings import Training
from mindeye2.train import checkpoint
from mindeye2.train.history import Row, write_history
from mindeye2.train.interrupt import Interrupts
from mindeye2.train.mixco import Mix, draw_mix, join_mixes, mix_rows
from mindeye2.train.optim import AdamW, parameter_groups, schedule
from mindeye2.train.parallel import gather_rows
from mindeye2.train.precision import backward_precision, forward_precision
from mindeye2.train.step import Scales, StepTargets, mixed_latents, phase, step_losses

READ_EVERY = 25
NOTED = ("rows", "parts", "sums", "seconds")


@dataclass(frozen=True)
class Recipe:
    """What training needs to know beside the model and its data."""

    settings: Training
    stage: str
    """Names the random streams and the progress lines."""
    seed: int
    drop_brain: float
    drop_image: float


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


class Trainer:
    """One model on its way through ``recipe.settings.num_epochs`` passes over ``batches``.

    ``work`` receives history.csv after every epoch and checkpoints below ``checkpoint/``.
    """

    def __init__(self, model: MindEye, batches: Batches, recipe: Recipe, accelerator: Accelerator, work: Path):
        settings = recipe.settings
        self.batches, self.recipe, self.settings = batches, recipe, settings
        self.accelerator, self.work = accelerator, work
        self.scales = Scales(
            prior=settings.prior_scale,
            clip=settings.clip_scale,
            lowlevel=settings.lowlevel_scale,
            contrastive=settings.contrastive_scale,
        )
        self.legacy_mixing = settings.mixing_targets == "legacy"
        self.model = model.train().to(accelerator.device)
        self.model.prior.network.recompute = settings.recompute
        self._freeze_untrained()
        # Alone there is nothing to prepare, and accelerate would import seconds' worth of torch to find that out.
        self.wrapped = self.model if accelerator.num_processes == 1 else accelerator.prepare_model(self.model)
        self.optimizer = AdamW(
            parameter_groups(
                self.model.named_parameters(),
                weight_decay=settings.weight_decay,
                legacy=settings.decay_groups == "legacy",
            )
        )
        self.schedule = schedule(
            settings.lr_schedule,
            max_lr=settings.max_lr,
            num_epochs=settings.num_epochs,
            steps_per_epoch=batches.steps,
            cycle_beta1=settings.cycle_beta1,
        )
        self.total_steps = settings.num_epochs * batches.steps
        self.step = 0
        self.rows: list[Row] = []
        self._parts: list[str] = []
        self._sums: list[float] = []
        self._seconds = 0.0
        self._unread: list[Float[Tensor, " parts"]] = []

    def _freeze_untrained(self) -> None:
        """Parts that no loss reaches: weight decay must not move them, nor DDP wait for their gradients."""
        scales, model, targets = self.scales, self.model, self.batches.targets
        lowlevel = scales.lowlevel > 0 and targets.latents is not None
        trained = {
            model.prior: scales.prior > 0,
            model.retrieval: scales.clip > 0,
            model.lowlevel: lowlevel,
            getattr(model.lowlevel, "projector", None): lowlevel
            and scales.contrastive > 0
            and targets.features is not None,
        }
        for part, reached in trained.items():
            if part is not None and not reached:
                part.requires_grad_(False)

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
        progress = Progress(self.recipe.stage, self.total_steps, done=self.step) if main else None
        saved, shown = time.monotonic(), {}
        with deterministic_algorithms(self.accelerator.device), Interrupts(active=main) as interrupts:
            started = time.monotonic()
            for epoch, index, batch in self._stream():
                self._unread.append(self._train_step(epoch, index, batch))
                self.step += 1
                last = index == self.batches.steps - 1
                if last or self.step % READ_EVERY == 0:
                    shown = {"loss": self._read_losses()}
                self._seconds += time.monotonic() - started
                started = time.monotonic()
                if last:
                    self._end_epoch(epoch)
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

    def _stream(self) -> Iterator[tuple[int, int, Batch]]:
        """(epoch, step of the epoch, batch on the device) from the present step on; a GPU finds the next one ready."""
        device = self.accelerator.device
        places = [divmod(step, self.batches.steps) for step in range(self.step, self.total_steps)]
        if device.type != "cuda":
            for place in places:
                yield *place, self.batches.load(*place).to(device)
            return
        with ThreadPoolExecutor(1) as reader:
            ahead = [reader.submit(lambda at=place: self.batches.load(*at).pinned()) for place in places[:1]]
            for place, after in zip(places, [*places[1:], None], strict=True):
                batch = ahead.pop().result()
                if after is not None:
                    ahead.append(reader.submit(lambda at=after: self.batches.load(*at).pinned()))
                yield *place, batch.to(device)

    def _train_step(self, epoch: int, index: int, batch: Batch) -> Float[Tensor, " parts"]:
        """Forward, backward, update; returns the losses without waiting for them."""
        current = phase(epoch, num_epochs=self.settings.num_epochs, mixup_pct=self.settings.mixup_pct)
        voxels, mix = self._mixed(epoch, index, batch) if current.mixing else (batch.voxels, None)
        latents = batch.latents
        if latents is not None:
            latents = self.batches.mine(mixed_latents(latents, mix, legacy=self.legacy_mixing))
        draws = self._prior_draws(epoch, index, batch.tokens.shape[1:]) if self.scales.prior > 0 else None
        torch.manual_seed(self._seed("dropout", epoch, index, self.accelerator.process_index))

        device, precision = batch.tokens.device, self.settings.precision
        with forward_precision(device, precision):
            output = self.wrapped(
                self.batches.my_voxels(voxels), clip_target=None if draws is None else batch.tokens, draws=draws
            )
        parts = step_losses(
            output,
            StepTargets(batch.tokens, latents, batch.features, batch.augmented),
            scales=self.scales,
            temperature=current.temperature,
            mix=mix,
            legacy=self.legacy_mixing,
            gather=gather_rows,
        )
        self.optimizer.zero_grad()
        with backward_precision(device, precision):
            parts["loss"].backward()
        if self.settings.grad_clip > 0:
            torch.nn.utils.clip_grad_norm_(self.optimizer.parameters, self.settings.grad_clip)
        self.optimizer.step(self.schedule(self.step))
        self._parts = list(parts)
        return torch.stack([value.detach() for value in parts.values()])

    def _seed(self, *names: str | int) -> int:
        return stream_seed(self.recipe.seed, self.recipe.stage, *names)

    def _mixed(self, epoch: int, index: int, batch: Batch) -> tuple[list[Tensor], Mix]:
        """Voxels after MixCo, subject by subject, and the mix of the whole batch."""
        mixes = []
        for subject, voxels in zip(self.batches.subjects, batch.voxels, strict=True):
            names = (self.recipe.stage, "mix", epoch, index, subject.subject)
            generator = numpy_generator(self.recipe.seed, *names)
            mixes.append(draw_mix(len(voxels), generator=generator).to(voxels.device))
        voxels = [mix_rows(*pair) for pair in zip(batch.voxels, mixes, strict=True)]
        return voxels, join_mixes(mixes, legacy=self.legacy_mixing)

    def _prior_draws(self, epoch: int, index: int, shape: Sequence[int]) -> PriorDraws:
        """The prior's draws of this process's rows: drawn for the whole batch, where the model computes.

        The noise of a full-size step would take a CPU longer than the step takes a GPU, so these streams are
        the device's own: a kind of device gives the same numbers every time, another kind others.
        """
        generator = torch.Generator(self.accelerator.device).manual_seed(self._seed("prior", epoch, index))
        draws = PriorDraws.draw(
            (self.batches.rows, *shape),
            timesteps=self.model.prior.timesteps,
            drop_brain=self.recipe.drop_brain,
            drop_image=self.recipe.drop_image,
            generator=generator,
        )
        return PriorDraws(**{name: self.batches.mine(value) for name, value in vars(draws).items()})

    def _read_losses(self) -> float:
        """Add the losses of the last steps to the epoch's sums; the only place that waits for the device.

        All processes come here after the same steps. Returns the loss of the last one.
        """
        steps = self.accelerator.reduce(torch.stack(self._unread), "mean").tolist()
        for position, values in enumerate(steps, start=1):
            if not math.isfinite(values[0]):
                step = self.step - len(steps) + position
                raise UserError(
                    f"{self.recipe.stage}: the loss is {values[0]} at step {step} of {self.total_steps}; lower "
                    f"{self.recipe.stage}.max_lr (now {self.settings.max_lr:g}) and run again"
                )
            self._sums = [total + value for total, value in zip(self._sums or [0.0] * len(values), values, strict=True)]
        self._unread.clear()
        return steps[-1][0]

    def _end_epoch(self, epoch: int) -> None:
        means = {name: total / self.batches.steps for name, total in zip(self._parts, self._sums, strict=True)}
        row = {"epoch": epoch + 1, "step": self.step, **means, "lr": self.schedule(self.step - 1).lr}
        self.rows.append({**row, "seconds": round(self._seconds, 3)})
        self._sums, self._seconds = [], 0.0
        if self.accelerator.is_main_process:
            write_history(self.work / "history.csv", self.rows)

    def _resume(self) -> None:
        found = checkpoint.resume(self.checkpoints, self.model, self.optimizer)
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
        tensors = (self.model.state_dict(), self.optimizer.state_dict())
        checkpoint.save(self.checkpoints, checkpoint.Checkpoint(self.step, *tensors, note))

    def _say(self, line: str) -> None:
        if self.accelerator.is_main_process:
            print(f"{self.recipe.stage}: {line}", file=sys.stderr, flush=True)
