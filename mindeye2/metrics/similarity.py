"""Pearson and cosine between rows of features."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mindeye2.metrics.arrays import Array, Features, tensor

BLOCK = 1 << 14
"""Columns in float64 at once."""


def pearson_matrix(left: Features, right: Float[Array, "m features"]) -> Float[Tensor, "n m"]:
    """Pearson correlation of every row of ``left`` with every row of ``right``, as exact as the type of ``left``."""
    return correlations(left, right).to(tensor(left).dtype)


def correlations(left: Features, right: Float[Array, "m features"]) -> Float[Tensor, "n m"]:
    """The same in float64; NaN for a constant row."""
    sides = tensor(left), tensor(right)
    means = [side.mean(dim=1, keepdim=True, dtype=torch.float64) for side in sides]
    squares = [torch.zeros_like(mean) for mean in means]
    products = torch.zeros(len(means[0]), len(means[1]), dtype=torch.float64, device=means[0].device)
    # Whole feature maps in float64 would be twice their size, a few columns at a time are not.
    for blocks in zip(*(side.split(BLOCK, dim=1) for side in sides), strict=True):
        one, other = (block.double() - mean for block, mean in zip(blocks, means, strict=True))
        products += one @ other.T
        for square, block in zip(squares, (one, other), strict=True):
            square += block.square().sum(dim=1, keepdim=True)
    long, wide = (_or_nan(square.sqrt(), mean, side) for square, mean, side in zip(squares, means, sides, strict=True))
    return products / (long * wide.T)


def pearson_rows(left: Features, right: Features) -> Float[Tensor, "n"]:
    """Pearson correlation of row i with row i, float64; NaN for a constant row."""
    (left, long), (right, wide) = _centred(tensor(left)), _centred(tensor(right))
    return torch.linalg.vecdot(left, right) / (long * wide)[:, 0]


def _centred(rows: Float[Tensor, "n features"]) -> tuple[Float[Tensor, "n features"], Float[Tensor, "n 1"]]:
    """Rows less their mean, and their lengths, float64."""
    mean = rows.mean(dim=1, keepdim=True, dtype=torch.float64)
    centred = rows.double() - mean
    return centred, _or_nan(centred.norm(dim=1, keepdim=True), mean, rows)


def _or_nan(
    length: Float[Tensor, "n 1"], mean: Float[Tensor, "n 1"], rows: Float[Tensor, "n features"]
) -> Float[Tensor, "n 1"]:
    """Lengths of the centred ``rows``: NaN for a constant row, which has no correlation.

    A constant counts as one up to the rounding of its values.
    """
    rounding = 4 * torch.finfo(rows.dtype).eps * mean.abs() * rows.shape[1] ** 0.5
    return torch.where(length > rounding, length, torch.nan)


def cosine_similarity(left: Features, right: Float[Array, "m features"]) -> Float[Tensor, "n m"]:
    """Cosine of every row of ``left`` with every row of ``right`` (the original's helper gives the transpose)."""
    return F.normalize(tensor(left), dim=1) @ F.normalize(tensor(right), dim=1).T


def cosine_rows(left: Features, right: Features) -> Float[Tensor, "n"]:
    """Cosine of row i with row i."""
    return F.cosine_similarity(tensor(left), tensor(right), dim=1)
