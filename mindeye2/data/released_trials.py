"""The released shards of a subject as a table of its trials in the order of presentation.

Only the ``behav.npy`` of each sample is read: the neighbours of each trial are gathered anew from the table, so that
the shards we write are those of the official tree. The test set is the complete one (``new_test``).
"""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Bool, Float64, Int64

from mindeye2.data import layout
from mindeye2.data.layout import reading
from mindeye2.data.shards import COLUMNS, IMAGE, NOT_AVAILABLE, ROW, SESSION, SHARED
from mindeye2.errors import UserError

SUBJECT = COLUMNS.index("subject")


def read_shared(path: Path) -> Bool[np.ndarray, " images"]:
    """``shared1000.npy``: True for the images that every subject saw."""
    with reading(path):
        shared = np.load(path, allow_pickle=False)
    if shared.ndim != 1 or shared.dtype != bool or not shared.any():
        raise UserError(
            f"{path}: {shared.dtype} of shape {shared.shape}; one bool per image, true for the shared ones, is needed, "
            "so download it again"
        )
    return shared


def read_trials(root: Path, *, subject: int, sessions: int) -> Float64[np.ndarray, "trials 17"]:
    """Every trial of the first ``sessions`` sessions.

    UserError names the first thing that cannot be right: a sample without its 17 columns, another subject, a
    trial in the wrong shard, twice or not at all, an image beyond the stimulus set, or one that
    ``COCO_73k_subj_indices.hdf5``, where it is there, says was not shown in that trial.
    """
    shared = read_shared(root / layout.RELEASED_SHARED)
    parts = []
    for number, name in enumerate(layout.released_shards(subject, sessions), start=1):
        rows = np.concatenate([np.empty((0, len(COLUMNS))), *_behav_rows(root / name)])
        session = number if number <= sessions else None
        _check_shard(root / name, rows, subject=subject, shared=shared, session=session)
        parts.append(rows[rows[:, SESSION] <= sessions])
    trials = np.concatenate(parts)
    trials = trials[np.argsort(trials[:, ROW], kind="stable")]
    folder = root / f"wds/subj{subject:02d}"
    _check_order(folder, trials, sessions)
    shown = root / layout.RELEASED_TRIAL_IMAGES
    if shown.is_file():
        _check_shown(shown, folder, trials[:, IMAGE].astype(np.int64), subject)
    return trials


def _behav_rows(path: Path) -> Iterator[Float64[np.ndarray, "1 17"]]:
    with reading(path):
        try:
            with tarfile.open(path) as shard:
                for member in shard:
                    if member.name.endswith(".behav.npy"):
                        row = np.load(io.BytesIO(shard.extractfile(member).read()), allow_pickle=False)
                        if row.shape != (1, len(COLUMNS)):
                            raise ValueError(f"{member.name} has shape {row.shape}, not {(1, len(COLUMNS))}")
                        yield np.where(np.isnan(row), NOT_AVAILABLE, row).astype(np.float64)
        except tarfile.TarError as error:
            raise ValueError(str(error)) from None


def _check_shard(
    path: Path,
    rows: Float64[np.ndarray, "trials 17"],
    *,
    subject: int,
    shared: Bool[np.ndarray, " images"],
    session: int | None,
) -> None:
    """``session`` is the one that a training shard holds, None for the test shard."""

    def refuse(wrong: np.ndarray, said: str) -> None:
        if wrong.any():
            values = dict(zip(COLUMNS, rows[int(wrong.argmax())].tolist(), strict=True))
            raise UserError(
                f"{path}: global trial {values['row']:g}: {said.format(**values)}; download the shard again"
            )

    counted = rows[:, [IMAGE, SESSION, ROW]]
    wrong = ((counted % 1 != 0) | (counted < 0)).any(axis=1)
    refuse(wrong, "image {image:g}, session {session:g}, where whole numbers from 0 are needed")
    refuse(rows[:, SUBJECT] != subject, f"subject {{subject:g}}, subject {subject} expected")
    refuse(rows[:, IMAGE] >= len(shared), f"image {{image:g}}, but {layout.RELEASED_SHARED} has {len(shared)} images")
    is_shared = shared[rows[:, IMAGE].astype(np.int64)]
    refuse(rows[:, SHARED] != is_shared, f"is_shared {{is_shared:g}}, but {layout.RELEASED_SHARED} says otherwise")
    if session is None:
        refuse(~is_shared, "image {image:g} is not shared and does not belong into the test shard")
    else:
        refuse(is_shared, "image {image:g} is shared and does not belong into a training shard")
        refuse(rows[:, SESSION] != session, f"session {{session:g}} in the shard of session {session}")


def _check_order(folder: Path, trials: Float64[np.ndarray, "trials 17"], sessions: int) -> None:
    """Rows count 0, 1, 2 … without a gap, and every session has as many."""
    row = trials[:, ROW].astype(np.int64)
    per_session = max(1, len(row) // sessions)
    gap, moved = row != np.arange(len(row)), trials[:, SESSION] != row // per_session + 1
    if gap.any():
        first = int(gap.argmax())
        problem = f"global trial {row[first]} is there twice" if row[first] < first else f"no global trial {first}"
    elif len(row) % sessions or not len(row):
        problem = f"{len(row)} trials do not divide among {sessions} sessions"
    elif moved.any():
        first = int(moved.argmax())
        problem = f"global trial {first} in session {trials[first, SESSION]:g}, with {per_session} trials in each"
    else:
        return
    raise UserError(f"{folder}: {problem}; download its shards again, or correct dataset.sessions")


def _check_shown(path: Path, folder: Path, images: Int64[np.ndarray, " trials"], subject: int) -> None:
    with reading(path), h5py.File(path) as file:
        shown = np.asarray(file[f"subj{subject:02d}"]).ravel()[: len(images)]
    if len(shown) < len(images):
        raise UserError(
            f"{path}: {len(shown)} trials of subject {subject}, {folder} has {len(images)}; download both again"
        )
    other = shown != images
    if other.any():
        first = int(other.argmax())
        raise UserError(
            f"{folder}: global trial {first} shows image {images[first]}, but {shown[first]} according to {path.name}; "
            "the two belong to different datasets, download both again"
        )
