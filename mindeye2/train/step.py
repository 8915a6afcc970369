"""One training step as pure functions: what an epoch asks for, and the losses of one forward pass."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mindeye2.model.mindeye import TrainingOutput
from mindeye2.train.losses import (
    MIXING_TEMPERATURE,
    bimixco,
    soft_contrastive,
    softclip,
    softclip_temperature,
    unit_rows,
)
from mindeye2.train.mixco import Mix, mix_rows, mixing_epochs

Gather = Callable[[Tensor], Tensor]


class Phase(NamedTuple):
    """What the contrastive loss of an epoch is: BiMixCo of mixed voxels, or SoftCLIP."""

    mixing: bool
    temperature: float


def phase(epoch: int, *, num_epochs: int, mixup_pct: float) -> Phase:
    """BiMixCo in the first ``mixup_pct`` of the epochs, then SoftCLIP with rising temperature."""
    first_soft = mixing_epochs(num_epochs, mixup_pct)
    if epoch < first_soft:
        return Phase(mixing=True, temperature=MIXING_TEMPERATURE)
    return Phase(mixing=False, temperature=softclip_temperature(epoch - first_soft, num_epochs - first_soft))


@dataclass(frozen=True)
class Scales:
    """Weights in L = prior · L_prior + clip · L_clip + lowlevel · (L_1 + contrastive · L_cont); 0 leaves a part out."""

    prior: float = 30.0
    clip: float = 1.0
    lowlevel: float = 0.5
    contrastive: float = 0.1


@dataclass(frozen=True)
class StepTargets:
    """What the outputs are compared with, row by row; None where that part is not trained."""

    tokens: Float[Tensor, "batch tokens clip_dim"]
    latents: Float[Tensor, "batch 4 lat_h lat_w"] | None = None
    features: Float[Tensor, "batch positions channels"] | None = None
    augmented: Float[Tensor, "batch positions channels"] | None = None


def mixed_latents(
    latents: Float[Tensor, "rows 4 lat_h lat_w"], mix: Mix | None, *, legacy: bool = False
) -> Float[Tensor, "rows 4 lat_h lat_w"]:
    """The low-level targets of mixed voxels: latents mixed by the same λ.

    Half of the mixed rows have a λ near 0, since Beta(0.15, 0.15) sits at its ends: their voxels are those of
    the partner, and asking for the row's own picture, whose trace they hardly carry, teaches the branch to
    blur. The original meant to mix them, but did so after the loss; ``legacy`` is what it computes, unmixed.
    The prior's tokens and the teacher's features stay unmixed, as in the original: the one is a denoising
    target whose mixture is no picture's embedding, the other is contrastive over positions.
    """
    return latents if mix is None or legacy else mix_rows(latents, mix)


def step_losses(
    output: TrainingOutput,
    targets: StepTargets,
    *,
    scales: Scales,
    temperature: float,
    mix: Mix | None = None,
    legacy: bool = False,
    gather: Gather = lambda rows: rows,
) -> dict[str, Tensor]:
    """All losses of one forward pass, unweighted, their weighted sum ``loss``, and top-1 retrieval in the batch.

    ``mix`` makes the contrastive loss BiMixCo, None SoftCLIP; ``legacy`` gives BiMixCo the original's targets.
    ``gather`` collects the rows of all processes, so that the contrastive losses always see the whole batch.
    ``brain_to_image`` is the share of rows whose own image is the most similar of the batch's images,
    ``image_to_brain`` the reverse; both reuse the loss's similarities and carry no gradient.
    """
    parts: dict[str, Tensor] = {}
    loss = output.tokens.new_zeros((), dtype=torch.float32)
    if scales.prior > 0:
        parts["prior"] = output.prior_loss
        loss = loss + scales.prior * parts["prior"]
    if output.retrieval is not None and scales.clip > 0:
        brain, image = gather(unit_rows(output.retrieval)), gather(unit_rows(targets.tokens))
        similarity = brain @ image.T
        parts["clip"] = (
            softclip(similarity, image @ image.T, temperature=temperature)
            if mix is None
            else bimixco(similarity, mix, temperature=temperature, legacy=legacy)
        )
        loss = loss + scales.clip * parts["clip"]
        parts["brain_to_image"], parts["image_to_brain"] = top1(similarity.detach())
    if output.lowlevel is not None and targets.latents is not None and scales.lowlevel > 0:
        parts["lowlevel"] = F.l1_loss(output.lowlevel.float(), targets.latents)
        lowlevel = parts["lowlevel"]
        if targets.features is not None and scales.contrastive > 0:
            parts["contrastive"] = soft_contrastive(
                gather(output.lowlevel_features), gather(targets.features), gather(targets.augmented)
            )
            lowlevel = lowlevel + scales.contrastive * parts["contrastive"]
        loss = loss + scales.lowlevel * lowlevel
    return {"loss": loss, **parts}


def top1(similarity: Float[Tensor, "batch batch"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Share of rows, and of columns, whose largest entry is on the diagonal."""
    own = torch.arange(len(similarity), device=similarity.device)
    return (similarity.argmax(1) == own).float().mean(), (similarity.argmax(0) == own).float().mean()
