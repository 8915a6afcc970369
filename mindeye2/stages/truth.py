"""What the decoded test images are held against: true pictures, true captions, measured responses."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mindeye2.data.batches import read_rows
from mindeye2.data.shards import read_trials
from mindeye2.metrics.brain import mean_per_group
from mindeye2.objects import damaged, open_images, read_json
from mindeye2.shapes import Images


def true_pictures(stimuli: Path, images: np.ndarray) -> Images:
    """Pictures of the 0-based indices ``images``, which may repeat."""
    unique, place = np.unique(images, return_inverse=True)
    with open_images(stimuli) as pictures:
        if unique[-1] >= len(pictures):
            raise damaged(stimuli / "images.h5", f"{len(pictures)} images, test image {unique[-1]}")
        return torch.from_numpy(pictures[unique][place].astype(np.float32))


def true_captions(stimuli: Path, images: np.ndarray) -> list[str]:
    """COCO's first wording that is not empty, of each image."""
    path = stimuli / "captions.json"
    wordings, captions = read_json(path), []
    for image in images.tolist():
        first = next((wording for wording in wordings[image] if wording.strip()), None)
        if first is None:
            raise damaged(path, f"image {image} has no caption")
        captions.append(first)
    return captions


def measured_betas(behav: Path, betas: Path, images: np.ndarray, *, legacy: bool) -> Float[Tensor, "n voxels"]:
    """Mean over the test trials of each image, which come in ascending order; ``legacy`` as in ``mean_per_group``."""
    trials = read_trials(behav, "test")
    inside = np.isin(trials.image, images)
    rows = read_rows(betas / "betas.h5", trials.row[inside]).astype(np.float32)
    return mean_per_group(rows, trials.image[inside], legacy=legacy)
