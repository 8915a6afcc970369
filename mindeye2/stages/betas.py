"""betas: one subject's single-trial responses inside nsdgeneral, z-scored voxel by voxel (released ones are)."""

import json
import sys

import h5py
import numpy as np

from mindeye2.data.betas import Moments, usable_voxels, z_scores
from mindeye2.data.recordings import Recording, haxby_recording, nsd_recording
from mindeye2.data.released import released_recording
from mindeye2.data.shards import Trials, read_trials
from mindeye2.errors import UserError
from mindeye2.job import Job
from mindeye2.progress import track
from mindeye2.settings import Betas

OUTPUTS = ("betas.h5", "report.json")


def run(job: Job) -> None:
    settings = job.settings(Betas)
    subject, sessions = job.config["subject"], job.config["sessions"]
    train, test = (read_trials(job.input("behav"), split) for split in ("train", "test"))

    root, source = job.paths["dataset"], job.config["dataset"]["source"]
    if source == "haxby":
        recording = haxby_recording(root, subject=subject, sessions=sessions)
    elif source == "released":
        recording = released_recording(root, subject=subject, session=_session_of_row(train, test))
    else:
        recording = nsd_recording(root, subject=subject, version=settings.version, session=_session_of_row(train, test))
    rows = len(recording.session)
    counted = np.ones(rows, dtype=bool)
    if settings.statistics == "training":
        counted[:] = False
        counted[train.row] = True

    twice = settings.scope == "all" and not recording.normalised
    overall = _overall(recording, counted, f"statistics subj{subject:02d}") if twice else None
    unusable = []
    with h5py.File(job.work / "betas.h5", "w") as file:
        betas = file.create_dataset("betas", (rows, recording.voxels), settings.dtype)
        for name, region in recording.regions.items():
            file.create_dataset(f"regions/{name}", data=region)
        for session in track(range(1, sessions + 1), f"betas subj{subject:02d}", sessions):
            inside = recording.session == session
            values, usable = _read(recording, session, counted)
            if recording.normalised:
                scores = np.where(usable, values, np.float32(0))
            else:
                moments = overall or Moments(recording.voxels)
                if overall is None:
                    moments.add(values[counted[inside]], usable)
                scores = z_scores(values, moments, usable)
            betas[np.flatnonzero(inside)[0] : np.flatnonzero(inside)[-1] + 1] = scores
            unusable.append(int((~usable).sum()))
            if unusable[-1]:
                print(
                    f"betas subj{subject:02d}: session {session}: {unusable[-1]} of {recording.voxels} voxels constant "
                    "or not finite, set to 0",
                    file=sys.stderr,
                )

    report = {
        "rows": rows,
        "voxels": recording.voxels,
        "sessions": sessions,
        "counted_rows": int(counted.sum()),
        "constant_voxels_per_session": unusable,
        "regions": {name: int(region.sum()) for name, region in recording.regions.items()},
        "settings": job.config["betas"],
    }
    (job.work / "report.json").write_text(json.dumps(report, indent=1))


def _session_of_row(train: Trials, test: Trials) -> np.ndarray:
    """1-based session of every row of the betas: each one is a trial of either split."""
    session = np.empty(len(train) + len(test), np.int64)
    for trials in (train, test):
        session[trials.row] = trials.session
    return session


def _read(recording: Recording, session: int, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A session's betas and which voxels are usable; UserError where none is."""
    counted = counted[recording.session == session]
    path = recording.files[session - 1]
    if not counted.any():
        raise UserError(
            f"{path}: session {session} has no trial of a training image to take mean and deviation from; "
            "set betas.statistics: all"
        )
    values = recording.read(session)
    usable = usable_voxels(values, counted)
    if not usable.any():
        broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
        where = f" (first value that is not finite: trial {broken[0] + 1} of {len(values)})" if len(broken) else ""
        raise UserError(
            f"{path}: every voxel of session {session} is constant or not finite{where}; download it again, or lower "
            "dataset.sessions to the sessions before it"
        )
    return values, usable


def _overall(recording: Recording, counted: np.ndarray, label: str) -> Moments:
    """Moments over all sessions, which are read here once more rather than kept: they need not fit in memory."""
    moments = Moments(recording.voxels)
    sessions = len(recording.files)
    for session in track(range(1, sessions + 1), label, sessions):
        values, usable = _read(recording, session, counted)
        moments.add(values[counted[recording.session == session]], usable)
    return moments
