"""Which raw files each stage reads, where they lie, and a first look at a file.

Paths are relative to ``paths.dataset`` or ``paths.captions``. No numeric library is imported here: planning
a run reads nothing but this, the configuration and what the file system says.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mindeye2.errors import UserError

STIMULUS_BRICK = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
EXPERIMENT_DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
STIMULUS_INFO = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"
CAPTIONS = {"train2017": "captions_train2017.json", "val2017": "captions_val2017.json"}
"""COCO split, as nsd_stim_info_merged.csv names it -> its caption file."""

HAXBY_BOLD, HAXBY_MASK, HAXBY_LABELS = "bold.nii.gz", "mask.nii.gz", "attributes_literal.txt"

WHOLLY_UNPACKED_BELOW_BYTES = 64 << 20
_NEVER_EMPTY = (".hdf5", ".h5", ".gz", ".safetensors", ".mat", ".csv", ".tsv", ".json", ".txt")

Files = list[tuple[str, str]]
"""(``dataset`` or ``captions``, path below that root)."""


def responses(subject: int) -> str:
    return f"nsddata/ppdata/subj{subject:02d}/behav/responses.tsv"


def region_mask(subject: int, name: str) -> str:
    return f"nsddata/ppdata/subj{subject:02d}/func1pt8mm/roi/{name}.nii.gz"


def stimuli_files(source: str) -> Files:
    """What the stimuli stage reads; Haxby's pictures are drawn, from nothing."""
    if source == "haxby":
        return []
    tables = [("dataset", path) for path in (STIMULUS_BRICK, EXPERIMENT_DESIGN, STIMULUS_INFO)]
    return tables + [("captions", path) for path in CAPTIONS.values()]


def behav_files(source: str, subject: int) -> Files:
    if source == "haxby":
        return [("dataset", HAXBY_LABELS)]
    return [("dataset", responses(subject)), ("dataset", EXPERIMENT_DESIGN)]


def betas_files(dataset_root: Path, source: str, subject: int, sessions: int, version: str) -> Files:
    """Masks and session files of one subject, those that are there.

    Raises UserError naming the first file that is missing. The visual areas' mask may be missing: the regions
    of the brain metrics are then fewer.
    """
    if source == "haxby":
        files = [HAXBY_BOLD, HAXBY_MASK, HAXBY_LABELS]
        for path in files:
            require(dataset_root, path, f"betas of subject {subject}")
        return [("dataset", path) for path in files]
    masks = [require(dataset_root, region_mask(subject, "nsdgeneral"), f"betas of subject {subject}")]
    areas = region_mask(subject, "prf-visualrois")
    if (dataset_root / areas).is_file():
        masks.append(areas)
    return [("dataset", path) for path in (*masks, *session_files(dataset_root, subject, sessions, version))]


def session_files(dataset_root: Path, subject: int, sessions: int, version: str) -> list[str]:
    """The file of each of the first ``sessions`` sessions: HDF5 (random access), or NIfTI if only that is there."""
    folder = f"nsddata_betas/ppdata/subj{subject:02d}/func1pt8mm/{version}"
    found, missing = [], []
    for session in range(1, sessions + 1):
        names = [f"{folder}/betas_session{session:02d}.{suffix}" for suffix in ("hdf5", "nii.gz")]
        there = [name for name in names if (dataset_root / name).is_file()]
        found += there[:1]
        if not there:
            missing.append(session)
    if missing:
        raise UserError(
            f"{dataset_root / folder}/betas_session{missing[0]:02d}.hdf5 (or .nii.gz): no such file, needed by betas "
            f"of subject {subject}, {len(missing)} of whose {sessions} sessions are missing; download them, lower "
            "dataset.sessions, or correct paths.dataset (or MINDEYE2_DATASET)"
        )
    return found


def require(root: Path, path: str, needed_by: str, *, setting: str = "dataset") -> str:
    """``path`` again if that file is there; UserError says who needs it and what to do if not."""
    if not (root / path).is_file():
        raise UserError(
            f"{root / path}: no such file, needed by {needed_by}; download it, or correct paths.{setting} "
            f"(or MINDEYE2_{setting.upper()})"
        )
    return path


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a library says about a damaged file into one line that names the file."""
    try:
        yield
    except PermissionError as error:
        raise UserError(f"{path}: {error.strerror}; grant yourself read access to it") from error
    except (OSError, EOFError, ValueError, TypeError, LookupError, NotImplementedError, zlib.error) as error:
        said = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: truncated or damaged ({type(error).__name__}: {said}); download it again") from error


def check_file(path: Path) -> None:
    """A cheap look at a raw file when it is first hashed: UserError where it is visibly truncated.

    HDF5 opens (the library compares its length with the one it notes), gzip has its magic and, below 64 MiB,
    unpacks to the end, safetensors is as long as its header says, tables and JSON are not empty.
    """
    size = path.stat().st_size
    with reading(path):
        if size == 0 and path.suffix in _NEVER_EMPTY:
            raise EOFError("the file is empty")
        if path.suffix in (".hdf5", ".h5"):
            import h5py

            h5py.File(path).close()
        elif path.suffix == ".gz":
            _check_gzip(path, size)
        elif path.suffix == ".safetensors":
            _check_safetensors(path, size)


def _check_gzip(path: Path, size: int) -> None:
    with gzip.open(path) as packed:
        packed.read(1)
        while size < WHOLLY_UNPACKED_BELOW_BYTES and packed.read(1 << 20):
            pass


def _check_safetensors(path: Path, size: int) -> None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size:
            raise ValueError("no safetensors header")
        header = json.loads(file.read(length))
    end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    if size != 8 + length + end:
        raise EOFError(f"{size} bytes, {8 + length + end} expected")
