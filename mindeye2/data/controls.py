"""Test responses that say nothing of the pictures: what a decoder makes of them must be at chance."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int64

from mindeye2.errors import UserError


def control_responses(
    kind: Literal["measured", "noise", "shuffled"],
    voxels: Float[np.ndarray, "trials voxels"],
    rows: list[list[int]],
    generator: np.random.Generator,
) -> tuple[Float[np.ndarray, "trials voxels"], list[list[int]]]:
    """The z-scored responses of the trials, and the trials of each image, that are decoded.

    ``rows`` holds the trials of each image. ``noise`` draws every voxel of every trial from N(0, 1); the
    images keep their number of trials. ``shuffled`` gives each image all trials of another one: a permutation
    that leaves no image its own, so a perfect decoder then finds none at all.
    """
    if kind == "noise":
        return generator.standard_normal(voxels.shape, dtype=np.float32), rows
    if kind == "shuffled":
        return voxels, [rows[other] for other in derangement(len(rows), generator)]
    return voxels, rows


def derangement(count: int, generator: np.random.Generator) -> Int64[np.ndarray, " count"]:
    """A permutation without fixed points, all of them equally likely; UserError where there is none."""
    if count < 2:
        raise UserError("reconstruct.voxels: shuffled needs two test images; use measured, or a dataset with more")
    places = np.arange(count)
    while ((order := generator.permutation(count)) == places).any():
        pass
    return order
