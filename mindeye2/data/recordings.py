"""One subject's sessions as (trials, voxels), read one at a time, whatever dataset they come from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Bool, Float32, Int64

from mindeye2.data import haxby, layout
from mindeye2.data.volumes import read_mask, read_regions, read_volumes
from mindeye2.errors import UserError

NSD_INTEGER_SCALE = 300.0
"""NSD's integers are percent signal change times this."""


@dataclass(frozen=True)
class Recording:
    files: tuple[Path, ...]
    """Where each session comes from."""
    session: Int64[np.ndarray, " rows"]
    """1-based session of each row, ascending."""
    regions: dict[str, Bool[np.ndarray, " voxels"]]
    """Regions of the brain metrics; nsd_general is all voxels."""
    read: Callable[[int], Float32[np.ndarray, "trials voxels"]]
    """Betas of a session (1-based)."""
    normalised: bool = False
    """Whether they are z-scores already."""

    @property
    def voxels(self) -> int:
        return len(self.regions["nsd_general"])


def nsd_recording(root: Path, *, subject: int, version: str, session: Int64[np.ndarray, " rows"]) -> Recording:
    """The official betas of a subject; ``session`` is what its behaviour says of each row.

    Raises UserError where a file is missing, damaged, or of another size than the masks and the behaviour.
    """
    sessions = int(session.max())
    layout.found(lambda _: root, layout.betas_needs("nsd", subject, sessions, version))
    needs = layout.session_needs(subject, sessions, version)
    files = tuple(root / path for _, path in layout.found(lambda _: root, needs))
    areas = root / layout.region_mask(subject, "prf-visualrois")
    mask, regions = read_regions(root / layout.region_mask(subject, "nsdgeneral"), areas if areas.is_file() else None)

    def read(number: int) -> np.ndarray:
        return read_volumes(
            files[number - 1],
            mask,
            num_volumes=int((session == number).sum()),
            named=f"trials of session {number} in responses.tsv",
            integer_scale=NSD_INTEGER_SCALE,
        )

    return Recording(files, session, regions, read)


def haxby_recording(root: Path, *, subject: int, sessions: int) -> Recording:
    """Every volume of the first runs, rest included, in scanner units; the slice's mask is the only region."""
    layout.found(lambda _: root, layout.betas_needs("haxby", subject, sessions, ""))
    bold, labels_file = root / layout.HAXBY_BOLD, root / layout.HAXBY_LABELS
    labels = haxby.read_labels(labels_file, subject=subject, sessions=sessions)
    mask = read_mask(root / layout.HAXBY_MASK) > 0
    if not mask.any():
        raise UserError(f"{root / layout.HAXBY_MASK}: no voxel above 0, so nothing to decode from; download it again")
    values = read_volumes(
        bold, mask, num_volumes=len(labels.session), named=f"lines in {labels_file.name}", integer_scale=1.0
    )
    session = labels.session[labels.session <= sessions]
    regions = {"nsd_general": np.ones(values.shape[1], dtype=bool)}
    return Recording((bold,) * sessions, session, regions, lambda number: values[labels.session == number])


def count_voxels(root: Path, source: str, subject: int) -> tuple[Path, int]:
    """Voxels of a subject's betas, without reading any, and the file that says so: the dataset's own mask.

    Of released files it is the betas themselves.
    """
    names = {"haxby": layout.HAXBY_MASK, "released": layout.released_betas(subject)}
    name = names.get(source, layout.region_mask(subject, "nsdgeneral"))
    layout.found(lambda _: root, [layout.Need(f"the number of voxels of subject {subject}", "dataset", (name,))])
    path = root / name
    if source == "released":
        with layout.reading(path), h5py.File(path) as file:
            return path, int(file["betas"].shape[1])
    return path, int((read_mask(path) > 0).sum())
