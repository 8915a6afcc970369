"""stimuli: pictures as float16 in [0, 1], their captions, and which of them are shared."""

import json

import numpy as np

from mindeye2.data import layout
from mindeye2.data.drawings import exemplars
from mindeye2.data.nsd import read_design, read_stimulus_info
from mindeye2.data.stimuli import brick_pictures, brick_size, read_captions, write_images
from mindeye2.errors import UserError
from mindeye2.job import Job
from mindeye2.settings import Stimuli

OUTPUTS = ("images.h5", "captions.json", "shared.npy")


def run(job: Job) -> None:
    px = job.settings(Stimuli).image_px

    if job.config["dataset"]["source"] == "haxby":
        pictures, captions = exemplars(px)
        blocks, shared = iter([pictures]), np.zeros(len(pictures), dtype=bool)
    else:
        root, folder = job.paths["dataset"], job.paths["captions"]
        for kind, path in layout.stimuli_files("nsd"):
            layout.require(job.paths[kind], path, "stimuli", setting=kind)
        brick, info = root / layout.STIMULUS_BRICK, root / layout.STIMULUS_INFO
        images = read_stimulus_info(info)
        if len(images) != brick_size(brick):
            raise UserError(
                f"{info}: {len(images)} images, {brick.name} has {brick_size(brick)}; the two files belong to "
                "different datasets, download both again"
            )
        shared = read_design(root / layout.EXPERIMENT_DESIGN).shared_mask(len(images))
        captions = read_captions(folder, images, info=info)
        blocks = brick_pictures(brick, px)

    write_images(job.work / "images.h5", blocks, num_images=len(shared), px=px)
    np.save(job.work / "shared.npy", shared)
    (job.work / "captions.json").write_text(json.dumps(captions))
