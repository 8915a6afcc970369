"""All metrics of decoded pictures: low level, and by the features of the judging networks."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mindeye2.frozen.clip import Clip
from mindeye2.metrics.arrays import Array
from mindeye2.metrics.features import Judge, clip_features, layer_features
from mindeye2.metrics.identification import correlation_distance, two_way_identification
from mindeye2.metrics.pixel import BATCH, PUBLISHED_PX, pixel_correlation, ssim
from mindeye2.metrics.resizing import resize
from mindeye2.shapes import Images

LOW_LEVEL = {"pixel_correlation": pixel_correlation, "ssim": ssim}
METRICS = (*LOW_LEVEL, "alexnet2", "alexnet5", "inception", "clip", "efficientnet", "swav")
"""In the order of the published table."""

DISTANCES = ("efficientnet", "swav")
"""Metrics that are a correlation distance; the other networks' are two-way identifications."""

Values = dict[str, dict[str, Float[Tensor, "n"]]]
"""Metric -> kind of picture -> one value per picture."""


def low_level(
    truth: Images, pictures: Mapping[str, Images], *, px: int = PUBLISHED_PX, antialias: bool = False
) -> Values:
    """Pixel correlation and SSIM at ``px``; every picture is resized once."""
    values: dict[str, dict[str, list[Tensor]]] = {metric: {kind: [] for kind in pictures} for metric in LOW_LEVEL}
    for first in range(0, len(truth), BATCH):
        batch = slice(first, first + BATCH)
        own = resize(truth[batch], px, antialias=antialias)
        for kind, made in pictures.items():
            other = resize(made[batch], px, antialias=antialias)
            for metric, compute in LOW_LEVEL.items():
                values[metric][kind].append(compute(own, other, px=px, per_image=True))
    return {metric: {kind: torch.cat(parts) for kind, parts in kinds.items()} for metric, kinds in values.items()}


def judged(
    judge: Judge,
    network: nn.Module,
    truth: Images,
    pictures: Mapping[str, Images],
    *,
    batch_size: int,
    antialias: bool = False,
    image: Int[Array, "n"] | None = None,
) -> Values:
    """The metrics of one network; the truth passes it once. ``image`` as in ``two_way_identification``."""
    layers = list(judge.layers.values())
    passing = {"px": judge.px, "batch_size": batch_size, "antialias": antialias}
    own = layer_features(network, layers, truth, **passing)
    values: Values = {metric: {} for metric in judge.layers}
    for kind, made in pictures.items():
        other = layer_features(network, layers, made, **passing)
        for metric, true, recon in zip(judge.layers, own, other, strict=True):
            values[metric][kind] = (
                correlation_distance(true, recon, per_image=True)
                if metric in DISTANCES
                else two_way_identification(true, recon, image=image, per_image=True)
            )
    return values


def judged_by_clip(
    clip: Clip,
    truth: Images,
    pictures: Mapping[str, Images],
    *,
    batch_size: int,
    antialias: bool = False,
    image: Int[Array, "n"] | None = None,
) -> Values:
    """Two-way identification by CLIP's projected image embeddings."""
    own = clip_features(clip, truth, batch_size=batch_size, antialias=antialias)
    values = {}
    for kind, made in pictures.items():
        other = clip_features(clip, made, batch_size=batch_size, antialias=antialias)
        values[kind] = two_way_identification(own, other, image=image, per_image=True)
    return {"clip": values}
