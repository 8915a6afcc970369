"""Resizing of pictures before a metric, as the published numbers had it."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mindeye2.metrics.arrays import Pictures, tensor


def resize(pictures: Pictures, px: int, *, antialias: bool = False) -> Float[Tensor, "batch 3 new_height new_width"]:
    """Bilinear, shorter side to ``px``, no crop; float32, range kept.

    Without anti-aliasing by default: torchvision's default of the time, behind the published numbers. It matters
    only where a picture shrinks.
    """
    pictures = tensor(pictures).to(torch.float32)
    height, width = pictures.shape[-2:]
    short = min(height, width)
    size = (int(px * height / short), int(px * width / short))
    if size == (height, width):
        return pictures
    return F.interpolate(pictures, size=size, mode="bilinear", align_corners=False, antialias=antialias)
