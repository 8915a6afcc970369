"""Training batches: which trials form step k of epoch e, and their voxels and targets.

Everything is a function of (seed, epoch, step): nothing is lost between two runs of a process, so training can
resume anywhere. A batch holds the same number of trials of every subject, one subject after the other.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np
import torch
from jaxtyping import Float, Float16, Int64
from torch import Tensor

from mindeye2.errors import UserError
from mindeye2.seeds import numpy_generator

READ_ROWS = 4096
Rows = TypeVar("Rows", np.ndarray, Tensor)


@dataclass(frozen=True)
class SubjectTrials:
    """The training trials of one subject, in memory."""

    subject: int
    """Number in the dataset; names the subject's random stream."""
    voxels: np.ndarray
    """(trials, voxels): z-scored betas, in the dtype of their file."""
    image: np.ndarray
    """(trials,): 0-based image of each trial."""


@dataclass(frozen=True)
class Targets:
    """What the network is to predict: one row per image, memory-mapped; teachers that are not used are None."""

    tokens: Float16[np.ndarray, "images tokens clip_dim"]
    latents: Float16[np.ndarray, "images 4 lat_h lat_w"] | None = None
    features: Float16[np.ndarray, "images positions channels"] | None = None
    augmented: Float16[np.ndarray, "images views positions channels"] | None = None


@dataclass(frozen=True)
class Batch:
    """One step's data. Voxels and latents of every row, since rows may be mixed with any other of their subject;
    tokens and features of this process's own rows only (``Batches.mine``)."""

    voxels: tuple[Float[Tensor, "_ _"], ...]
    tokens: Float[Tensor, "batch tokens clip_dim"]
    latents: Float[Tensor, "rows 4 lat_h lat_w"] | None
    features: Float[Tensor, "batch positions channels"] | None
    augmented: Float[Tensor, "batch positions channels"] | None

    def _each(self, change) -> "Batch":
        done = {name: None if (value := getattr(self, name)) is None else change(value) for name in _SINGLE}
        return replace(self, voxels=tuple(change(voxels) for voxels in self.voxels), **done)

    def pinned(self) -> "Batch":
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> "Batch":
        """On ``device`` and in float32; small half-precision rows travel, not their float32 copies."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True).float())


_SINGLE = ("tokens", "latents", "features", "augmented")


def load_subject(
    path: Path, *, subject: int, image: Int64[np.ndarray, "trials"], row: Int64[np.ndarray, "trials"]
) -> SubjectTrials:
    """Read the given rows of a betas file.

    ``image`` and ``row`` run in parallel over the training trials. UserError when there are none or when the
    file is damaged or shorter than they say.
    """
    if not len(row):
        raise UserError(f"subject {subject}: no training trials in the chosen sessions; choose sessions that have some")
    return SubjectTrials(subject, read_rows(path, row), image)


def read_rows(path: Path, rows: Int64[np.ndarray, "trials"]) -> np.ndarray:
    """``betas[rows]`` of an HDF5 file, rows in any order, read in contiguous blocks (h5py is slow at picking)."""
    try:
        with h5py.File(path) as file:
            betas = file["betas"]
            if betas.ndim != 2 or rows.max() >= len(betas):
                raise UserError(
                    f"{path}: betas of shape {betas.shape}, but the trials name row {rows.max()}; "
                    "remove the object and build it again"
                )
            picked = np.empty((len(rows), betas.shape[1]), betas.dtype)
            block_of = rows // READ_ROWS
            for block in np.unique(block_of):
                here = np.flatnonzero(block_of == block)
                first, last = rows[here].min(), rows[here].max()
                picked[here] = betas[first : last + 1][rows[here] - first]
    except (OSError, KeyError) as error:
        raise UserError(f"{path}: not readable as betas ({error}); remove the object and build it again") from None
    return picked


def open_targets(path: Path, axes: int) -> np.ndarray:
    """Memory-map one target file of so many axes, images first."""
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: not readable as targets ({error}); remove the object and build it again") from None
    if array.ndim != axes or not len(array):
        raise UserError(
            f"{path}: targets of shape {array.shape}, expected {axes} axes with images first; "
            "remove the object and build it again"
        )
    return array


def epoch_order(
    image: Int64[np.ndarray, "trials"], *, batch: int, steps: int, generator: np.random.Generator
) -> Int64[np.ndarray, "steps batch"]:
    """Positions of the trials of every step: a permutation, with no image twice in a batch.

    A trial whose image is in the batch already waits for the next batch that lacks it. A subject with too few
    trials goes on with a fresh permutation. Needs at least ``batch`` different images.
    """
    images = image.tolist()
    chosen: list[list[int]] = []
    waiting: list[int] = []
    fresh = iter(())

    for _ in range(steps):
        rows: list[int] = []
        seen: set[int] = set()
        candidates, waiting = waiting, []
        for position in candidates:
            if len(rows) < batch and images[position] not in seen:
                rows.append(position)
                seen.add(images[position])
            else:
                waiting.append(position)
        while len(rows) < batch:
            position = next(fresh, None)
            if position is None:
                fresh = iter(generator.permutation(len(images)).tolist())
            elif images[position] in seen:
                waiting.append(position)
            else:
                rows.append(position)
                seen.add(images[position])
        chosen.append(rows)
    return np.array(chosen, dtype=np.int64).reshape(steps, batch)


class Batches:
    """The batches of a run: ``steps`` per epoch, ``rows`` trials each, ``per_subject`` of every subject.

    An epoch is ``epoch_trials`` trials of all subjects together, or one pass over the trials of the subject that has
    most of them, less the rest that fills no batch. Of the rows, this process computes its own: every
    ``processes``-th one, from ``process`` on.
    """

    def __init__(
        self,
        subjects: Sequence[SubjectTrials],
        targets: Targets,
        *,
        batch_size: int,
        seed: int,
        stage: str,
        epoch_trials: int | None = None,
        process: int = 0,
        processes: int = 1,
    ):
        self.subjects, self.targets, self.seed, self.stage = tuple(subjects), targets, seed, stage
        _check_images(self.subjects, targets)
        self.per_subject = self._per_subject(batch_size)
        self.rows = self.per_subject * len(self.subjects)
        one_pass = max(len(each.image) for each in self.subjects) // self.per_subject
        self.steps = max(1, one_pass if epoch_trials is None else epoch_trials // self.rows)
        if self.rows % processes:
            raise UserError(
                f"batch_size: {self.rows} trials of a batch do not divide among {processes} devices; "
                "choose a multiple, or make fewer devices visible (CUDA_VISIBLE_DEVICES)"
            )
        self.process, self.processes = process, processes
        self._order: tuple[int, list[np.ndarray]] = (-1, [])

    def _per_subject(self, batch_size: int) -> int:
        wanted = batch_size // len(self.subjects)
        if wanted < 1:
            raise UserError(
                f"batch_size: {batch_size} is less than one trial of each of the {len(self.subjects)} subjects; "
                f"use at least {len(self.subjects)}"
            )
        fewest = min(self.subjects, key=lambda each: len(np.unique(each.image)))
        unique = len(np.unique(fewest.image))
        if wanted > unique:
            print(
                f"{self.stage}: batches of {unique} instead of {wanted} trials per subject, since subject "
                f"{fewest.subject} has seen {unique} different images",
                file=sys.stderr,
            )
        return min(wanted, unique)

    def order(self, epoch: int) -> list[Int64[np.ndarray, "steps per_subject"]]:
        """Trial positions of every step of an epoch, per subject."""
        if self._order[0] != epoch:
            orders = [
                epoch_order(
                    each.image,
                    batch=self.per_subject,
                    steps=self.steps,
                    generator=numpy_generator(self.seed, self.stage, "order", epoch, each.subject),
                )
                for each in self.subjects
            ]
            self._order = (epoch, orders)
        return self._order[1]

    def mine(self, rows: Rows) -> Rows:
        """This process's own rows of something that has a row for each of the batch's."""
        return rows if self.processes == 1 else rows[self.process :: self.processes]

    def my_voxels(self, voxels: Sequence[Float[Tensor, "_ _"]]) -> list[tuple[int, Float[Tensor, "_ _"]]]:
        """(position of the subject, its voxels), own rows only; a subject without any keeps an empty part."""
        starts = [(self.process - position * self.per_subject) % self.processes for position in range(len(voxels))]
        return [(position, part[starts[position] :: self.processes]) for position, part in enumerate(voxels)]

    def load(self, epoch: int, step: int) -> Batch:
        """The batch of one step, on the CPU, in the dtypes of the files."""
        positions = [order[step] for order in self.order(epoch)]
        image = np.concatenate([each.image[rows] for each, rows in zip(self.subjects, positions, strict=True)])
        targets, mine = self.targets, self.mine(image)
        augmented = None
        if targets.augmented is not None:
            views = numpy_generator(self.seed, self.stage, "views", epoch, step)
            view = views.integers(targets.augmented.shape[1], size=self.rows)
            augmented = torch.from_numpy(targets.augmented[mine, self.mine(view)])
        return Batch(
            voxels=tuple(
                torch.from_numpy(each.voxels[rows]) for each, rows in zip(self.subjects, positions, strict=True)
            ),
            tokens=torch.from_numpy(targets.tokens[mine]),
            latents=None if targets.latents is None else torch.from_numpy(targets.latents[image]),
            features=None if targets.features is None else torch.from_numpy(targets.features[mine]),
            augmented=augmented,
        )


def _check_images(subjects: Sequence[SubjectTrials], targets: Targets) -> None:
    needed = 1 + max(int(each.image.max()) for each in subjects)
    for name in _SINGLE:
        array = getattr(targets, name)
        if array is not None and len(array) < needed:
            raise UserError(
                f"targets {name}: {len(array)} images, but the trials show image {needed - 1} (0-based); "
                "targets and trials come from different datasets, build the targets again"
            )
