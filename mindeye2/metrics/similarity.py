"""Pearson and cosine between rows of features."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mindeye2.metrics.arrays import Array, Features, tensor


def centred(
    rows: Float[Tensor, "n features"],
) -> tuple[Float[Tensor, "n features"], Float[Tensor, "n 1"]]:
    """Rows less their mean, and their lengths: NaN for a constant row, which has no correlation.

    A constant counts as one up to the rounding of its mean.
    """
    mean = rows.mean(dim=1, keepdim=True)
    rows = rows - mean
    length = rows.norm(dim=1, keepdim=True)
    rounding = 4 * torch.finfo(rows.dtype).eps * mean.abs() * rows.shape[1] ** 0.5
    return rows, torch.where(length > rounding, length, torch.nan)


def pearson_matrix(left: Features, right: Float[Array, "m features"]) -> Float[Tensor, "n m"]:
    """Pearson correlation of every row of ``left`` with every row of ``right``."""
    (left, long), (right, wide) = centred(tensor(left)), centred(tensor(right))
    return (left / long) @ (right / wide).T


def pearson_rows(left: Features, right: Features) -> Float[Tensor, "n"]:
    """Pearson correlation of row i with row i."""
    (left, long), (right, wide) = centred(tensor(left)), centred(tensor(right))
    return torch.linalg.vecdot(left, right) / (long * wide)[:, 0]


def cosine_similarity(left: Features, right: Float[Array, "m features"]) -> Float[Tensor, "n m"]:
    """Cosine of every row of ``left`` with every row of ``right`` (the original's helper gives the transpose)."""
    return F.normalize(tensor(left), dim=1) @ F.normalize(tensor(right), dim=1).T


def cosine_rows(left: Features, right: Features) -> Float[Tensor, "n"]:
    """Cosine of row i with row i."""
    return F.cosine_similarity(tensor(left), tensor(right), dim=1)
