"""Identification: is a decoded item closer to its own truth than to another's?"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mindeye2.metrics.arrays import Array, Features, mean_or_all, tensor
from mindeye2.metrics.similarity import correlations, cosine_similarity, pearson_rows

ROUNDING = 1e-12
"""Correlations that differ by no more are equal: the product of two matrices rounds equal rows differently."""


def two_way_identification(
    truth: Features, recon: Features, *, image: Int[Array, "n"] | None = None, per_image: bool = False
) -> float | Float[Tensor, "n"]:
    """Share of the other truths i with corr(truth_i, recon_j) < corr(truth_j, recon_j), mean over the recons j.

    The comparison is strict: one with an equal truth is lost, and so is one with NaN (a constant row). This is the
    direction of the original's code and of the published numbers; the paper's text describes the transpose, other
    recons for each truth. ``image`` says which picture each truth is, where one is the truth of several recons: it is
    no rival of itself. per_image: the value of each recon instead of the mean.
    """
    correlation = correlations(truth, recon)
    image = torch.arange(len(correlation)) if image is None else tensor(image)
    others = (image[:, None] != image).to(correlation.device)
    beaten = ((correlation < correlation.diagonal() - ROUNDING) & others).sum(dim=0)
    return mean_or_all(beaten.double() / others.sum(dim=0), per_image)


def correlation_distance(truth: Features, recon: Features, *, per_image: bool = False) -> float | Float[Tensor, "n"]:
    """1 − Pearson correlation of a recon with its own truth, mean over the recons; lower is better.

    per_image: the value of each recon instead of the mean; NaN for a constant row.
    """
    return mean_or_all(1.0 - pearson_rows(truth, recon), per_image)


def class_identification(
    decoded: Features, candidates: Float[Tensor, "classes features"], label: Int[Tensor, "n"]
) -> Bool[Tensor, "n"]:
    """True where the candidate of highest cosine is the item's own class."""
    return cosine_similarity(decoded, candidates).argmax(dim=1) == label
