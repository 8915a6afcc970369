"""What the metrics take: tensors, or numpy arrays from a notebook."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Array = Tensor | np.ndarray
Pictures = Float[Array, "batch 3 height width"]
"""Pictures in [0, 1]."""
Features = Float[Array, "n features"]


def tensor(values: Array) -> Tensor:
    return torch.as_tensor(values)


def mean_or_all(values: Float[Tensor, "n"], per_image: bool) -> float | Float[Tensor, "n"]:
    return values if per_image else values.double().mean().item()
