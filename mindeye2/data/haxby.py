"""One slice of one subject of Haxby et al. 2001: labels of the volumes, and trials in NSD's columns.

Every volume is a row of the betas and every labelled one (not rest) a trial; sessions are the twelve runs. The
photographs that were seen are not distributed: all that is known of a volume is its category, so one drawn
picture stands for each. Several of a category would ask the decoder to tell apart what no label tells apart.
Averaging a session's trials of an image is averaging a category within its run, as the reference decoders of
this dataset do.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from mindeye2.data.layout import reading
from mindeye2.data.shards import COLUMNS, NOT_AVAILABLE
from mindeye2.errors import UserError

CATEGORIES = ("face", "house", "cat", "shoe", "scissors", "bottle", "chair", "scrambled")
"""In the order of their pictures: image = index of the category."""
REST = -1

_LABELS = {"rest": REST, "scrambledpix": CATEGORIES.index("scrambled")} | {
    name: index for index, name in enumerate(CATEGORIES[:-1])
}


@dataclass(frozen=True)
class Labels:
    """What each volume shows, and in which run."""

    category: Int64[np.ndarray, " volumes"]
    """Index into ``CATEGORIES``, or ``REST``."""
    session: Int64[np.ndarray, " volumes"]
    """1-based: run + 1."""


def read_labels(path: Path, *, subject: int, sessions: int) -> Labels:
    """All volumes; lines of the file are ``label run``, one per volume. There must be ``sessions`` runs or more."""
    if subject != 1:
        raise UserError(f"dataset.sessions: subject {subject}, but Haxby's data here has subject 1 only; set {{1: 12}}")
    categories, runs = [], []
    with reading(path):
        lines = path.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        label, _, run = line.partition(" ")
        if label not in _LABELS or not run.strip().isdigit():
            raise UserError(f"{path}, line {number}: {line!r} is not one of {', '.join(_LABELS)} and a run; correct it")
        categories.append(_LABELS[label])
        runs.append(int(run))
    session = np.array(runs, np.int64) + 1
    if (
        not len(session)
        or not np.array_equal(np.unique(session), np.arange(session[-1]) + 1)
        or np.any(np.diff(session) < 0)
    ):
        raise UserError(f"{path}: runs must count 0, 1, 2 ... in the order of the volumes; download it again")
    if session[-1] < sessions:
        raise UserError(
            f"{path}: {session[-1]} runs, dataset.sessions asks for {sessions}; set {{1: {session[-1]}}} there"
        )
    return Labels(np.array(categories, np.int64), session)


def trials(labels: Labels, *, sessions: int) -> Float64[np.ndarray, "trials 17"]:
    """The labelled volumes of the first ``sessions`` runs; what this dataset does not say is -1, no image is shared."""
    (volumes,) = np.nonzero((labels.category != REST) & (labels.session <= sessions))
    session, category = labels.session[volumes], labels.category[volumes]
    columns = {
        "image": category,
        "subject": 1,
        "session": session,
        "run": 1,
        "trial": 1 + np.arange(len(volumes)) - np.searchsorted(session, session),
        "row": volumes,
        "is_shared": 0,
    }
    table = np.full((len(volumes), len(COLUMNS)), NOT_AVAILABLE)
    for name, values in columns.items():
        table[:, COLUMNS.index(name)] = values
    return table
