"""The tables of the official NSD tree: experiment design, stimulus information, responses.

Sizes come from the files. Ids are 1-based there and 0-based here.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from mindeye2.data.layout import reading
from mindeye2.data.shards import COLUMNS, NOT_AVAILABLE
from mindeye2.errors import UserError

# Column of responses.tsv -> column of a sample; the 0-based image, the global trial and is_shared are computed.
_FROM_TABLE = {
    "73KID": "image",
    "SUBJECT": "subject",
    "SESSION": "session",
    "RUN": "run",
    "TRIAL": "trial",
    "TIME": "time",
    "ISOLD": "is_old",
    "ISCORRECT": "is_correct",
    "RT": "reaction_time",
    "CHANGEMIND": "change_mind",
    "ISOLDCURRENT": "is_old_current",
    "ISCORRECTCURRENT": "is_correct_current",
    "TOTAL1": "total1",
    "TOTAL2": "total2",
    "BUTTON": "button",
}
_ALWAYS_KNOWN = ("73KID", "SUBJECT", "SESSION", "RUN", "TRIAL", "TIME", "ISOLD")


@dataclass(frozen=True)
class Design:
    """``nsd_expdesign.mat``: which images are shared, and which ones each subject was to see."""

    path: Path
    shared: Int64[np.ndarray, " shared"]
    """0-based."""
    subject_images: Int64[np.ndarray, "subjects images_per_subject"]
    """0-based, row of subject 1 first."""

    def images_of(self, subject: int) -> Int64[np.ndarray, " images_per_subject"]:
        if subject > len(self.subject_images):
            raise UserError(
                f"{self.path}: subjectim has {len(self.subject_images)} subjects, dataset.sessions asks for subject "
                f"{subject}; remove it there"
            )
        return self.subject_images[subject - 1]

    def shared_mask(self, num_images: int) -> np.ndarray:
        """Boolean over the stimulus set, True for shared images; UserError where an id is beyond it."""
        for name, ids in (("sharedix", self.shared), ("subjectim", self.subject_images)):
            if ids.max(initial=0) >= num_images:
                raise UserError(
                    f"{self.path}: {name} names image {ids.max() + 1}, but the stimulus brick has {num_images} images; "
                    "the two files belong to different datasets, download both again"
                )
        mask = np.zeros(num_images, dtype=bool)
        mask[self.shared] = True
        return mask


def read_design(path: Path) -> Design:
    with reading(path):
        try:
            content = loadmat(path, variable_names=["sharedix", "subjectim"])
        except MatReadError as error:
            raise ValueError(str(error)) from None
        shared = np.asarray(content["sharedix"]).ravel().astype(np.int64) - 1
        subject_images = np.asarray(content["subjectim"]).astype(np.int64) - 1
    if not len(shared) or shared.min() < 0 or subject_images.ndim != 2:
        raise UserError(
            f"{path}: sharedix of {len(shared)} ids from {shared.min(initial=0) + 1}, subjectim of shape "
            f"{subject_images.shape}; 1-based ids and a row per subject are needed, download it again"
        )
    return Design(path, shared, subject_images)


def read_stimulus_info(path: Path) -> list[tuple[str, int]]:
    """(COCO split, COCO id) of every image, in the order of the stimulus brick."""
    with reading(path):
        table = pd.read_csv(path)
        _need_columns(path, table, ("nsdId", "cocoId", "cocoSplit"))
        table = table.sort_values("nsdId", kind="stable")
        if table["nsdId"].tolist() != list(range(len(table))):
            raise ValueError(f"nsdId does not count 0 to {len(table) - 1}")
        return list(zip(table["cocoSplit"].astype(str), table["cocoId"].astype(int).tolist(), strict=True))


def read_responses(path: Path, *, subject: int, sessions: int, design: Design) -> Float64[np.ndarray, "trials 17"]:
    """Every trial of the first ``sessions`` sessions in the 17 columns of a sample.

    Global trial = (session - 1) * trials per session + position in the session, both counted in the table; time
    loses its fraction; missing values are -1. Raises UserError naming the first value that cannot be right.
    """
    with reading(path):
        # Read as text first: how exactly read_csv parses a decimal depends on the version of pandas.
        table = pd.read_csv(path, sep="\t", dtype=str)
        _need_columns(path, table, tuple(_FROM_TABLE))
        table = table[list(_FROM_TABLE)].astype(np.float64)
    lines = np.arange(len(table)) + 2
    _need_known(path, table, lines)
    used = (table["SESSION"] <= sessions).to_numpy()
    table, lines = table[used], lines[used]
    per_session = _trials_per_session(path, table, subject=subject, sessions=sessions)
    _need_order(path, table, lines)
    _need_images(path, table, lines, subject=subject, design=design)

    table = table.fillna(NOT_AVAILABLE)
    trials = np.zeros((len(table), len(COLUMNS)))
    for name, column in _FROM_TABLE.items():
        trials[:, COLUMNS.index(column)] = table[name]
    position = np.arange(len(table)) % per_session
    trials[:, COLUMNS.index("row")] = (table["SESSION"].to_numpy() - 1) * per_session + position
    trials[:, COLUMNS.index("image")] -= 1
    trials[:, COLUMNS.index("time")] = np.trunc(table["TIME"])
    trials[:, COLUMNS.index("is_shared")] = np.isin(table["73KID"].to_numpy() - 1, design.shared)
    return trials


def _need_columns(path: Path, table: pd.DataFrame, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; columns go by NSD's names, download it again")


def _need_known(path: Path, table: pd.DataFrame, lines: np.ndarray) -> None:
    for name in _ALWAYS_KNOWN:
        wrong = ~np.isfinite(table[name].to_numpy())
        if name != "TIME":
            wrong |= table[name].to_numpy() % 1 != 0
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            raise UserError(
                f"{path}, line {lines[first]}: {name} is {table[name].iloc[first]}, a whole number is needed; "
                "download it again"
            )


def _trials_per_session(path: Path, table: pd.DataFrame, *, subject: int, sessions: int) -> int:
    others = sorted(set(table["SUBJECT"].astype(int)) - {subject})
    if others:
        raise UserError(f"{path}: trials of subject {others[0]}, subject {subject} expected; download it again")
    counts = table["SESSION"].astype(int).value_counts()
    for session in range(1, sessions + 1):
        if session not in counts:
            raise UserError(
                f"{path}: no trials of session {session}, dataset.sessions asks for {sessions} of subject {subject}; "
                "lower it there, or download the newest table"
            )
        if counts[session] != counts[1]:
            raise UserError(
                f"{path}: {counts[session]} trials in session {session}, {counts[1]} in session 1; every session needs "
                f"as many, so lower dataset.sessions of subject {subject} to {session - 1} or download the table again"
            )
    beyond = sorted(set(counts.index) - set(range(1, sessions + 1)))
    if beyond:
        raise UserError(f"{path}: trials of session {beyond[0]}; sessions count from 1, download it again")
    return int(counts[1])


def _need_order(path: Path, table: pd.DataFrame, lines: np.ndarray) -> None:
    place = list(zip(*(table[name].astype(int) for name in ("SESSION", "RUN", "TRIAL")), strict=True))
    for before, after, line in zip(place, place[1:], lines[1:], strict=False):
        if before >= after:
            raise UserError(
                f"{path}, line {line}: session, run, trial {after} after {before}; rows must be in the order of "
                "presentation, which is the order of the betas, so download it again"
            )


def _need_images(path: Path, table: pd.DataFrame, lines: np.ndarray, *, subject: int, design: Design) -> None:
    ids = table["73KID"].to_numpy().astype(np.int64)
    foreign = np.flatnonzero(~np.isin(ids - 1, design.images_of(subject)))
    if len(foreign):
        raise UserError(
            f"{path}, line {lines[foreign[0]]}: 73KID {ids[foreign[0]]} is not among the images of subject {subject} "
            f"in {design.path.name}; the two files belong to different datasets, download both again"
        )
