"""The public MindEye2 dataset: released pictures, captions and betas as what the official tree of NSD gives.

The betas are z-scored already and are taken as they are.
"""

from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Bool, Float32, Int64

from mindeye2.data import layout
from mindeye2.data.layout import reading
from mindeye2.data.recordings import Recording
from mindeye2.data.sizes import VOXELS
from mindeye2.data.volumes import REGIONS
from mindeye2.errors import UserError
from mindeye2.progress import track

PICTURES = 256
"""In memory at a time."""


def check_images(path: Path, *, num_images: int, px: int) -> None:
    """UserError unless ``images`` is float16 (num_images, 3, px, px) with every value in [0, 1]."""
    with reading(path):
        file = h5py.File(path)
    with file:
        with reading(path):
            images = file["images"]
            shape, dtype = images.shape, images.dtype
        if shape[-1:] not in ((), (px,)):
            raise UserError(f"{path}: pictures of {shape[-1]} pixels, not {px}; set stimuli.image_px: {shape[-1]}")
        if shape != (num_images, 3, px, px) or dtype != np.float16:
            raise UserError(
                f"{path}: images is {dtype} of shape {shape}, float16 of shape {(num_images, 3, px, px)} is needed; "
                "download it again"
            )
        starts = range(0, num_images, PICTURES)
        for start in track(starts, "stimuli: range of values", len(starts)):
            with reading(path):
                block = images[start : start + PICTURES]
            inside = ((block >= 0) & (block <= 1)).all(axis=(1, 2, 3))
            if not inside.all():
                raise UserError(
                    f"{path}: image {start + int(inside.argmin())} has values that are not in [0, 1]; download it again"
                )


def read_test_captions(path: Path, shared: Bool[np.ndarray, " images"]) -> list[list[str]]:
    """The one released caption of each shared image, which come in ascending order of image; none for any other.

    UserError where there are more or fewer, or the file would run code.
    """
    # Imported here, so that jobs on betas and trials start without torch.
    from mindeye2.pickles import read_pickle

    content = read_pickle(path, remedy="download it again")
    with reading(path):
        wordings = [" ".join(str(wording).split()) for wording in content]
    if len(wordings) != shared.sum() or not all(wordings):
        raise UserError(
            f"{path}: {sum(map(bool, wordings))} captions for {shared.sum()} shared images ({layout.RELEASED_SHARED}); "
            "download both again"
        )
    captions: list[list[str]] = [[] for _ in shared]
    for image, wording in zip(np.flatnonzero(shared).tolist(), wordings, strict=True):
        captions[image] = [wording]
    return captions


def released_recording(root: Path, *, subject: int, session: Int64[np.ndarray, " rows"]) -> Recording:
    """The released betas of a subject; ``session`` is what its shards say of each row.

    UserError where they are damaged, in another number format, another subject's, fewer than the trials, not finite
    or not z-scores.
    """
    sessions = int(session.max())
    layout.found(lambda _: root, layout.betas_needs("released", subject, sessions, ""))
    path = root / layout.released_betas(subject)
    with reading(path), h5py.File(path) as file:
        shape, dtype = file["betas"].shape, file["betas"].dtype
    if len(shape) != 2 or dtype != np.float32:
        raise UserError(
            f"{path}: betas is {dtype} of shape {shape}, float32 (trials, voxels) is needed; download it again"
        )
    if shape[0] < len(session):
        raise UserError(
            f"{path}: {shape[0]} rows, but {len(session)} trials in the shards of subject {subject}; "
            "download both again"
        )
    regions = _regions(root / layout.RELEASED_REGIONS, path, subject=subject, voxels=shape[1])

    def read(number: int) -> Float32[np.ndarray, "trials voxels"]:
        rows = np.flatnonzero(session == number)
        with reading(path), h5py.File(path) as file:
            values = file["betas"][rows[0] : rows[-1] + 1]
        _check_z_scores(path, values, number, first=int(rows[0]))
        return values

    return Recording((path,) * sessions, session, regions, read, normalised=True)


def _check_z_scores(path: Path, values: Float32[np.ndarray, "trials voxels"], session: int, *, first: int) -> None:
    """Over one session; statistics of all sessions leave its mean and deviation within these wide limits too."""
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise UserError(f"{path}: row {first + int(finite.argmin())} has values that are not finite; download it again")
    mean, deviation = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    if abs(mean) > 0.5 or not 0.5 < deviation < 2:
        raise UserError(
            f"{path}: session {session} has mean {mean:.3g} and standard deviation {deviation:.3g}, z-scores have "
            "about 0 and 1; these are other betas, download the released ones"
        )


def _regions(path: Path, betas: Path, *, subject: int, voxels: int) -> dict[str, Bool[np.ndarray, " voxels"]]:
    """Regions over the voxels of ``betas``; UserError where so many voxels cannot be this subject's."""
    owner = next((other for other, count in VOXELS.items() if count == voxels), subject)
    known = {"nsd_general": np.ones(VOXELS.get(subject, voxels) if owner != subject else voxels, dtype=bool)}
    if path.is_file():
        with reading(path), h5py.File(path) as file:
            group = file[f"subj{subject:02d}"]
            known |= {name: np.asarray(group[name]).astype(bool) for name in REGIONS if name in group}
    for name, region in known.items():
        if region.shape != (voxels,):
            of = f" (those of subject {owner})" if owner != subject else ""
            raise UserError(
                f"{betas}: {voxels} voxels{of}, but {name} of subject {subject} has {len(region)}; download the "
                f"betas of subject {subject} again"
            )
    return known | {"nsd_general": np.ones(voxels, dtype=bool)}
