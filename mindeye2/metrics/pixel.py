"""Low-level similarity of pictures: pixel correlation and SSIM."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mindeye2.metrics.arrays import Pictures, mean_or_all, tensor
from mindeye2.metrics.resizing import resize
from mindeye2.metrics.similarity import pearson_rows

PUBLISHED_PX = 425
"""Native side of NSD's stimuli, at which the published values are taken."""

BATCH = 2
"""Pictures resized at once: two of 425 px in float64 stay in the cache, which halves the time."""


def pixel_correlation(
    truth: Pictures, picture: Pictures, *, px: int = PUBLISHED_PX, antialias: bool = False, per_image: bool = False
) -> float | Float[Tensor, "batch"]:
    """Pearson correlation over the 3·px² values of a picture and the truth, float64; mean over the pictures.

    Pictures are resized to ``px`` first. per_image: the value of each instead of the mean. A constant picture
    gives NaN.
    """
    values = [
        pearson_rows(left.double().flatten(1), right.double().flatten(1))
        for left, right in _resized(truth, picture, px, antialias)
    ]
    return mean_or_all(torch.cat(values), per_image)


def ssim(
    truth: Pictures, picture: Pictures, *, px: int = PUBLISHED_PX, antialias: bool = False, per_image: bool = False
) -> float | Float[Tensor, "batch"]:
    """Structural similarity of the luminance at ``px``, mean over the pictures (Wang et al. 2004).

    Gaussian window σ = 1.5 with 11 taps, population covariance, data range 1, K1 = 0.01, K2 = 0.03, windows
    inside the picture only. per_image: the value of each instead of the mean.
    """
    from skimage.color import rgb2gray
    from skimage.metrics import structural_similarity

    values = []
    for pair in _resized(truth, picture, px, antialias):
        left, right = (rgb2gray(side.permute(0, 2, 3, 1).cpu().numpy()) for side in pair)
        values.extend(
            structural_similarity(
                one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0
            )
            for one, other in zip(left, right, strict=True)
        )
    return mean_or_all(torch.from_numpy(np.array(values, dtype=np.float64)), per_image)


def _resized(truth: Pictures, picture: Pictures, px: int, antialias: bool):
    """Pairs of batches, both at ``px``."""
    for pair in zip(tensor(truth).split(BATCH), tensor(picture).split(BATCH), strict=True):
        yield tuple(resize(side, px, antialias=antialias) for side in pair)
