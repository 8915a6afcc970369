"""Voxels of test trials to one embedding per image."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mindeye2.errors import UserError
from mindeye2.model.mindeye import Encoded, MindEye

IMAGES_AT_ONCE = 64


def encode_images(
    model: MindEye, voxels: Float[Tensor, "trials voxels"], rows: Sequence[Sequence[int]]
) -> Iterator[Encoded]:
    """Encodings of the images in chunks of 64, each the mean over its trials' own encodings.

    voxels: z-scored betas, one row per trial, of the one subject of the model. rows: the trials of each image.
    UserError where the model was trained with another number of voxels.
    """
    trained = model.sizes["voxels"][0]
    if voxels.shape[1] != trained:
        raise UserError(
            f"betas: {voxels.shape[1]} voxels, but the model was trained with {trained}; "
            "they come from different masks, so train the model on these betas"
        )
    device = next(model.parameters()).device
    for first in range(0, len(rows), IMAGES_AT_ONCE):
        groups = rows[first : first + IMAGES_AT_ONCE]
        picked = [row for group in groups for row in group]
        places = torch.arange(len(picked)).split([len(group) for group in groups])
        yield model.encode_repeats(voxels[picked].to(device), [place.tolist() for place in places])
