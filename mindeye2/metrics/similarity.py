"""Pearson and cosine between rows of features."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mindeye2.metrics.arrays import Features, tensor


def centred(rows: Float[Tensor, "n features"]) -> Float[Tensor, "n features"]:
    """Rows less their mean, at unit length; a constant row gives NaN, for its correlation is not defined."""
    rows = rows - rows.mean(dim=1, keepdim=True)
    return rows / rows.norm(dim=1, keepdim=True)


def pearson_matrix(left: Features, right: Float[Tensor, "m features"]) -> Float[Tensor, "n m"]:
    """Pearson correlation of every row of ``left`` with every row of ``right``."""
    return centred(tensor(left)) @ centred(tensor(right)).T


def pearson_rows(left: Features, right: Features) -> Float[Tensor, "n"]:
    """Pearson correlation of row i with row i."""
    return (centred(tensor(left)) * centred(tensor(right))).sum(dim=1)


def cosine_similarity(left: Features, right: Float[Tensor, "m features"]) -> Float[Tensor, "n m"]:
    """Cosine of every row of ``left`` with every row of ``right`` (the original's helper gives the transpose)."""
    return F.normalize(tensor(left), dim=1) @ F.normalize(tensor(right), dim=1).T
