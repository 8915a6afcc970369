"""Brain correlation: betas that an encoding model predicts from a decoded picture, against the measured ones."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mindeye2.metrics.arrays import Array, mean_or_all, tensor
from mindeye2.metrics.similarity import pearson_rows


def brain_correlation(
    measured: Float[Array, "n voxels"],
    predicted: Float[Array, "n voxels"],
    mask: Bool[Array, "voxels"],
    *,
    per_image: bool = False,
) -> float | Float[Tensor, "n"]:
    """Pearson correlation over the voxels of a region, image by image; mean over the images.

    per_image: the value of each image instead of the mean.
    """
    inside = tensor(mask)
    return mean_or_all(pearson_rows(tensor(measured)[:, inside], tensor(predicted)[:, inside]), per_image)


def mean_per_group(
    rows: Float[Array, "n voxels"], group: Int[Array, "n"], *, legacy: bool = False
) -> Float[Tensor, "groups voxels"]:
    """Mean of the rows of each group, groups ascending; every repeat has the same weight.

    ``legacy`` weights two repeats 2:1, as the original does, which repeats the first to make three.
    """
    rows = tensor(rows)
    names, index = torch.unique(tensor(group), return_inverse=True)
    weight = torch.ones(len(rows), dtype=rows.dtype)
    if legacy:
        first = torch.full((len(names),), len(rows)).scatter_reduce_(0, index, torch.arange(len(rows)), "amin")
        weight[first[torch.bincount(index) == 2]] = 2.0
    sums = torch.zeros(len(names), rows.shape[1], dtype=rows.dtype).index_add_(0, index, weight[:, None] * rows)
    return sums / torch.zeros(len(names), dtype=rows.dtype).index_add_(0, index, weight)[:, None]
