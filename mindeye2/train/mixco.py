"""MixCo of voxels: v_i <- λ_i v_i + (1 - λ_i) v_π(i), λ ~ Beta(0.15, 0.15), for half of the rows of a subject.

Kim et al. 2020, as used in the first third of MindEye2's training, where it meets the BiMixCo loss.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


class Mix(NamedTuple):
    """Which row each row is mixed with and how much of the row itself is kept."""

    partner: Int[Tensor, "batch"]
    """π: row of the batch; a row may be its own partner."""
    weight: Float[Tensor, "batch"]
    """λ in [0, 1]; exactly 1 for rows that are left as they are."""

    def to(self, device: torch.device) -> "Mix":
        return Mix(self.partner.to(device, non_blocking=True), self.weight.to(device, non_blocking=True))


def draw_mix(batch: int, *, generator: np.random.Generator, concentration: float = 0.15, share: float = 0.5) -> Mix:
    """Draw partners, weights and the rows that are mixed at all, for the rows of one subject."""
    partner = generator.permutation(batch)
    weight = generator.beta(concentration, concentration, size=batch)
    mixed = generator.random(batch) < share
    return Mix(torch.from_numpy(partner), torch.from_numpy(np.where(mixed, weight, 1.0).astype(np.float32)))


def mix_rows(rows: Float[Tensor, "batch *rest"], mix: Mix) -> Float[Tensor, "batch *rest"]:
    """λ_i rows_i + (1 - λ_i) rows_π(i), partners taken from the unmixed rows."""
    weight = mix.weight.to(rows.dtype).view(-1, *[1] * (rows.ndim - 1))
    return weight * rows + (1 - weight) * rows[mix.partner]


def join_mixes(mixes: Sequence[Mix], *, legacy: bool = False) -> Mix:
    """The mixes of several subjects as one of the batch in which their rows follow each other.

    Partners become rows of the whole batch. ``legacy`` keeps them as they are, as the original does, so that
    rows of the second subject on name an image of the first one as partner.
    """
    starts = [0, *np.cumsum([len(mix.partner) for mix in mixes]).tolist()]
    partner = [mix.partner + (0 if legacy else start) for mix, start in zip(mixes, starts, strict=False)]
    return Mix(torch.cat(partner), torch.cat([mix.weight for mix in mixes]))


def mixing_epochs(num_epochs: int, mixup_pct: float) -> int:
    """E_mix = floor(mixup_pct · num_epochs): the number of epochs with MixCo, and the first one without."""
    return math.floor(mixup_pct * num_epochs)
