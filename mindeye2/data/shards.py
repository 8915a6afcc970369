"""WebDataset shards of a subject's trials: written reproducibly, and the columns that training needs read back.

Written with ``tarfile``, since importing ``webdataset`` imports torch; that library reads them (a test holds it).
Each sample has four float64 members of 17 columns: ``behav.npy`` (1, 17), ``past_behav.npy`` and
``future_behav.npy`` (window, 17), ``olds_behav.npy`` (3, 17); -1 stands for "not available".
"""

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

COLUMNS = (
    "image",  # 0-based row of the stimulus set
    "subject",
    "session",
    "run",
    "trial",
    "row",  # global trial: the row of the betas
    "time",
    "is_old",
    "is_correct",
    "reaction_time",
    "change_mind",
    "is_old_current",
    "is_correct_current",
    "total1",
    "total2",
    "button",
    "is_shared",
)
IMAGE, SESSION, ROW, SHARED = (COLUMNS.index(name) for name in ("image", "session", "row", "is_shared"))
NOT_AVAILABLE = -1.0

_BLOCK = 512


@dataclass(frozen=True)
class Sample:
    """One trial: its number within its split, and its arrays by member name."""

    number: int
    arrays: dict[str, Float64[np.ndarray, "_ 17"]]


@dataclass(frozen=True)
class Trials:
    """Trials of one split in the order of presentation, one entry each."""

    image: Int64[np.ndarray, " trials"]
    """0-based row of the stimulus set."""
    row: Int64[np.ndarray, " trials"]
    """Global trial: the row of the betas."""
    session: Int64[np.ndarray, " trials"]
    """1-based."""

    def __len__(self) -> int:
        return len(self.image)


def shard_path(folder: Path, split: Literal["train", "test"], number: int) -> Path:
    return folder / "wds" / split / f"{number}.tar"


def write_shard(path: Path, samples: Iterable[Sample]) -> None:
    """Write ``samples`` as one tar whose bytes depend on nothing but them (no clock, no user)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as shard:
        for sample in samples:
            for name, array in sorted(sample.arrays.items()):
                content = io.BytesIO()
                np.lib.format.write_array(content, np.ascontiguousarray(array, np.float64), version=(1, 0))
                member = tarfile.TarInfo(f"sample{sample.number:09d}.{name}.npy")
                member.size, member.mode = content.tell(), 0o644
                content.seek(0)
                shard.addfile(member, content)


def read_trials(folder: Path, split: Literal["train", "test"] = "train") -> Trials:
    """All trials of one split of a behav object, shard by shard.

    ``train`` holds the trials of images that are not shared, ``test`` those of shared ones.
    """
    shards = sorted((folder / "wds" / split).glob("*.tar"), key=lambda path: int(path.stem))
    rows = np.concatenate([np.empty((0, len(COLUMNS))), *(_behav_rows(path) for path in shards)])
    image, row, session = (rows[:, column].astype(np.int64) for column in (IMAGE, ROW, SESSION))
    return Trials(image=image, row=row, session=session)


def _behav_rows(path: Path) -> Float64[np.ndarray, "trials 17"]:
    """The ``behav.npy`` members of a shard that ``write_shard`` made.

    Walks the 512-byte headers itself: tarfile takes seconds over a subject's hundred thousand members.
    """
    shard, found, at = path.read_bytes(), [], 0
    length = len(COLUMNS) * np.dtype(np.float64).itemsize
    while at < len(shard) and shard[at]:
        name = shard[at : at + 100].rstrip(b"\0")
        size = int(shard[at + 124 : at + 135], 8)
        at += _BLOCK
        if name.endswith(b".behav.npy"):
            found.append(shard[at + size - length : at + size])
        at += -(-size // _BLOCK) * _BLOCK
    return np.frombuffer(b"".join(found), np.dtype("<f8")).reshape(-1, len(COLUMNS))
