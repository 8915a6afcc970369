"""stimuli: pictures as float16 in [0, 1], their captions, and which of them are shared."""

import json
from pathlib import Path

import numpy as np

from mindeye2.data import layout
from mindeye2.data.drawings import category_pictures
from mindeye2.data.nsd import read_design, read_stimulus_info
from mindeye2.data.pictures import PictureFolder
from mindeye2.data.released import check_images, read_test_captions
from mindeye2.data.released_trials import read_shared
from mindeye2.data.stimuli import brick_pictures, brick_size, read_captions, write_images
from mindeye2.errors import UserError
from mindeye2.job import Job
from mindeye2.objects import adopt
from mindeye2.settings import Stimuli

OUTPUTS = ("images.h5", "captions.json", "shared.npy")
# Of pictures that were not square before.
OPTIONAL = ("sizes.npy",)


def run(job: Job) -> None:
    """Write the pictures of a dataset, or (source ``folder``) all of paths.pictures, of which none is shared.

    A folder's pictures have sizes.npy beside them: original height and width, and the crop's top and left.
    """
    px, source = job.settings(Stimuli).image_px, job.config["dataset"]["source"]
    if source == "folder":
        _folder(job, px)
        return
    layout.found(job.paths.__getitem__, layout.stimuli_needs(source, job.paths["dataset"]))
    images = job.work / "images.h5"

    if source == "haxby":
        pictures, captions = category_pictures(px)
        shared = np.zeros(len(pictures), dtype=bool)
        write_images(images, iter([pictures]), num_images=len(pictures), px=px)
    elif source == "released":
        shared, captions = _released(job.paths["dataset"], job.paths["captions"], images, px)
    else:
        shared, captions = _official(job.paths["dataset"], job.paths["captions"], images, px)

    np.save(job.work / "shared.npy", shared)
    (job.work / "captions.json").write_text(json.dumps(captions))


def _folder(job: Job, px: int) -> None:
    folder = PictureFolder(job.paths["pictures"], px)
    count = len(folder)
    write_images(job.work / "images.h5", folder.blocks(), num_images=count, px=px)
    np.save(job.work / "sizes.npy", np.array(folder.sizes))
    np.save(job.work / "shared.npy", np.zeros(count, dtype=bool))
    (job.work / "captions.json").write_text(json.dumps([[]] * count))


def _official(root: Path, captions: Path, images: Path, px: int) -> tuple[np.ndarray, list[list[str]]]:
    brick, info = root / layout.STIMULUS_BRICK, root / layout.STIMULUS_INFO
    identities, num_images = read_stimulus_info(info), brick_size(brick)
    _need_as_many(info, len(identities), brick, num_images)
    shared = read_design(root / layout.EXPERIMENT_DESIGN).shared_mask(num_images)
    wordings = read_captions(captions, identities, info=info)
    write_images(images, brick_pictures(brick, px), num_images=num_images, px=px)
    return shared, wordings


def _released(root: Path, captions: Path, images: Path, px: int) -> tuple[np.ndarray, list[list[str]]]:
    released, info = root / layout.RELEASED_IMAGES, root / layout.STIMULUS_INFO
    shared = read_shared(root / layout.RELEASED_SHARED)
    if info.is_file():
        identities = read_stimulus_info(info)
        _need_as_many(info, len(identities), root / layout.RELEASED_SHARED, len(shared))
        wordings = read_captions(captions, identities, info=info)
    else:
        wordings = read_test_captions(root / layout.RELEASED_CAPTIONS, shared)
    check_images(released, num_images=len(shared), px=px)
    adopt(released, images)
    return shared, wordings


def _need_as_many(info: Path, listed: int, other: Path, num_images: int) -> None:
    if listed != num_images:
        raise UserError(
            f"{info}: {listed} images, {other.name} has {num_images}; the two files belong to different datasets, "
            "download both again"
        )
