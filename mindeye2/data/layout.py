"""Which raw files each stage reads, where they lie, and a first look at a file.

Paths are relative to ``paths.dataset`` or ``paths.captions``. No numeric library is imported here: planning
a run reads nothing but this, the configuration and what the file system says.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mindeye2.errors import UserError

STIMULUS_BRICK = "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"
EXPERIMENT_DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
STIMULUS_INFO = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"
CAPTIONS = {"train2017": "captions_train2017.json", "val2017": "captions_val2017.json"}
"""COCO split, as nsd_stim_info_merged.csv names it -> its caption file."""

RELEASED_IMAGES = "coco_images_224_float16.hdf5"
RELEASED_SHARED = "shared1000.npy"
RELEASED_TRIAL_IMAGES = "COCO_73k_subj_indices.hdf5"
RELEASED_REGIONS = "brain_region_masks.hdf5"
RELEASED_CAPTIONS = "evals/all_captions.pt"

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

HAXBY_BOLD, HAXBY_MASK, HAXBY_LABELS = "bold.nii.gz", "mask.nii.gz", "attributes_literal.txt"

WHOLLY_UNPACKED_BELOW_BYTES = 64 << 20
_NEVER_EMPTY = (".hdf5", ".h5", ".gz", ".safetensors", ".mat", ".csv", ".tsv", ".json", ".txt", ".tar", ".npy", ".pt")
_BRACKETS = {b"{": b"}", b"[": b"]"}


@dataclass(frozen=True)
class Need:
    """A raw file that a stage reads: the first of ``paths`` that is there, below the folder of ``paths.<root>``."""

    used_by: str
    """Stage and subject, as errors and ``mindeye2 check-data`` name them."""
    root: str
    paths: tuple[str, ...]
    optional: bool = False

    def __str__(self) -> str:
        """``betas_session01.hdf5 (or .nii.gz)``."""
        first, *others = self.paths
        stem = first.removesuffix("".join(Path(first).suffixes))
        return first + "".join(f" (or {other.removeprefix(stem)})" for other in others)


Files = list[tuple[str, str]]
"""(``dataset`` or ``captions``, path below that root)."""


def responses(subject: int) -> str:
    return f"nsddata/ppdata/subj{subject:02d}/behav/responses.tsv"


def region_mask(subject: int, name: str) -> str:
    return f"nsddata/ppdata/subj{subject:02d}/func1pt8mm/roi/{name}.nii.gz"


def released_betas(subject: int) -> str:
    return f"betas_all_subj{subject:02d}_fp32_renorm.hdf5"


def released_shards(subject: int, sessions: int) -> list[str]:
    """The training shard of each session, then the test shard of the complete data ("new")."""
    folder = f"wds/subj{subject:02d}"
    return [*(f"{folder}/train/{number}.tar" for number in range(sessions)), f"{folder}/new_test/0.tar"]


def stimuli_needs(source: str, dataset: Path) -> list[Need]:
    """What the stimuli stage reads; Haxby's pictures are drawn, from nothing.

    The released files hold captions of the test images alone. Where ``dataset`` has NSD's stimulus information
    at its official place too, COCO's captions of every image are joined by it instead.
    """
    if source == "haxby":
        return []
    captions = [Need("stimuli", "captions", (name,)) for name in CAPTIONS.values()]
    if source == "released":
        wording = Need("stimuli", "dataset", (STIMULUS_INFO, RELEASED_CAPTIONS))
        joined = captions if (dataset / STIMULUS_INFO).is_file() else []
        return [*_needs("stimuli", RELEASED_IMAGES, RELEASED_SHARED), wording, *joined]
    return [*_needs("stimuli", STIMULUS_BRICK, EXPERIMENT_DESIGN, STIMULUS_INFO), *captions]


def picture_files(folder: Path) -> list[Path]:
    """Pictures and shards (.tar) below a folder, by path; UserError where there are none."""
    wanted = (*PICTURE_SUFFIXES, ".tar")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in wanted and path.is_file())
    if not files:
        raise UserError(
            f"{folder}: no pictures ({', '.join(wanted)}); put them there, or correct paths.pictures (or "
            "MINDEYE2_PICTURES)"
        )
    return files


def behav_needs(source: str, subject: int, sessions: int) -> list[Need]:
    user = f"behav of subject {subject} ({sessions} sessions)"
    if source == "haxby":
        return _needs(user, HAXBY_LABELS)
    if source == "released":
        shown = Need(user, "dataset", (RELEASED_TRIAL_IMAGES,), optional=True)
        return [*_needs(user, *released_shards(subject, sessions), RELEASED_SHARED), shown]
    return _needs(user, responses(subject), EXPERIMENT_DESIGN)


def betas_needs(source: str, subject: int, sessions: int, version: str) -> list[Need]:
    """Masks and betas of one subject. The masks of visual areas may be missing: the regions are then fewer."""
    user = _betas_user(subject, sessions)
    if source == "haxby":
        return _needs(user, HAXBY_BOLD, HAXBY_MASK, HAXBY_LABELS)
    if source == "released":
        regions = Need(user, "dataset", (RELEASED_REGIONS,), optional=True)
        return [*_needs(user, released_betas(subject)), regions]
    areas = Need(user, "dataset", (region_mask(subject, "prf-visualrois"),), optional=True)
    mask = _needs(user, region_mask(subject, "nsdgeneral"))
    return [*mask, areas, *session_needs(subject, sessions, version)]


def session_needs(subject: int, sessions: int, version: str) -> list[Need]:
    """The file of each of the first ``sessions`` sessions: HDF5 (random access), or NIfTI if only that is there."""
    folder = f"nsddata_betas/ppdata/subj{subject:02d}/func1pt8mm/{version}"
    names = (f"{folder}/betas_session{session:02d}" for session in range(1, sessions + 1))
    user = _betas_user(subject, sessions)
    return [Need(user, "dataset", (f"{name}.hdf5", f"{name}.nii.gz")) for name in names]


def _betas_user(subject: int, sessions: int) -> str:
    return f"betas of subject {subject} ({sessions} sessions)"


def _needs(user: str, *paths: str) -> list[Need]:
    return [Need(user, "dataset", (path,)) for path in paths]


def find(folder: Path, need: Need) -> str | None:
    """Which of a need's paths is there."""
    return next((path for path in need.paths if (folder / path).is_file()), None)


def found(folder: Callable[[str], Path], needs: Sequence[Need]) -> Files:
    """The files behind ``needs``, those that are there; ``folder`` tells where a root lies.

    Raises UserError naming the first one that is missing and not optional, who needs it and what to do.
    """
    there = [find(folder(need.root), need) for need in needs]
    missing = [need for need, path in zip(needs, there, strict=True) if path is None and not need.optional]
    if missing:
        need = missing[0]
        others = f", {len(missing)} of whose {len(needs)} files are missing" if len(missing) > 1 else ""
        raise UserError(
            f"{folder(need.root)}/{need}: no such file, needed by {need.used_by}{others}; "
            f"download it, or correct paths.{need.root} (or MINDEYE2_{need.root.upper()}); mindeye2 check-data lists "
            "what is missing and how large it is"
        )
    return [(need.root, path) for need, path in zip(needs, there, strict=True) if path is not None]


DAMAGES = (OSError, EOFError, ValueError, TypeError, AttributeError, LookupError, NotImplementedError, zlib.error)
"""What reading something else than was meant ends in."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a library says about a damaged file into one line that names the file."""
    try:
        yield
    except PermissionError as error:
        raise UserError(f"{path}: {error.strerror}; grant yourself read access to it") from error
    except DAMAGES as error:
        said = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: truncated or damaged ({type(error).__name__}: {said}); download it again") from error


def check_file(path: Path) -> None:
    """A cheap look at a raw file when it is first hashed: UserError where it is visibly truncated.

    HDF5 opens (the library compares its length with the one it notes), gzip has its magic and, below 64 MiB,
    unpacks to the end, safetensors is as long as its header says, a tar ends in its two empty blocks, JSON as
    it began, tables are not empty.
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
        elif path.suffix == ".tar":
            if _last_bytes(path, 1024) != bytes(1024):
                raise EOFError("the two empty blocks that end a tar are missing")
        elif path.suffix == ".json":
            _check_json(path)


def _check_json(path: Path) -> None:
    with path.open("rb") as file:
        first = file.read(64).lstrip()[:1]
    if first not in _BRACKETS:
        raise ValueError("no opening bracket")
    if _last_bytes(path, 64).rstrip()[-1:] != _BRACKETS[first]:
        raise EOFError("no closing bracket at the end")


def _last_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - count))
        return file.read(count)


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
