"""The losses of MindEye2 as pure functions: similarities, targets and temperatures in, one number out.

The contrastive ones share a form: with logits S and target masses P (rows) and P' (columns),
L = ½ ( mean_i −Σ_j P_ij logsoftmax_j(S_ij) + mean_j −Σ_i P'_ij logsoftmax_i(S_ij) ).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mindeye2.train.mixco import Mix

MIXING_TEMPERATURE = 0.006
FIRST_TEMPERATURE, LAST_TEMPERATURE = 0.004, 0.0075
TEACHER_TEMPERATURE = 0.2

Square = Float[Tensor, "batch batch"]
Scalar = Float[Tensor, ""]


def unit_rows(tokens: Float[Tensor, "batch *rest"]) -> Float[Tensor, "batch features"]:
    """Each sample as one vector of length 1, in float32.

    Logits are cosines over temperatures near 0.005: the three digits of bfloat16 would not do.
    """
    return F.normalize(tokens.flatten(1).float(), dim=-1)


def bidirectional_cross_entropy(logits: Square, row_targets: Square, column_targets: Square) -> Scalar:
    """The form of all contrastive losses here; rows of ``row_targets`` and columns of ``column_targets`` sum to 1."""
    rows = -(row_targets * logits.log_softmax(1)).sum(1).mean()
    columns = -(column_targets * logits.log_softmax(0)).sum(0).mean()
    return (rows + columns) / 2


def bimixco_targets(mix: Mix, *, legacy: bool = False) -> Square:
    """P_ij = λ_i [i = j] + (1 − λ_i) [j = π(i)].

    ``legacy`` overwrites the diagonal where a row is its own partner, as the original does: such a row then
    asks for a mass of 1 − λ_i in all instead of 1.
    """
    own = torch.diag(mix.weight)
    partner = F.one_hot(mix.partner, len(mix.partner)).bool()
    rest = (1 - mix.weight)[:, None]
    return torch.where(partner, rest, own) if legacy else own + partner * rest


def bimixco(similarity: Square, mix: Mix, *, temperature: float = MIXING_TEMPERATURE, legacy: bool = False) -> Scalar:
    """Contrastive loss of mixed voxels (rows) against unmixed pictures (columns); ``similarity`` holds cosines.

    ``mix`` indexes rows of the whole batch (``join_mixes``).
    """
    targets = bimixco_targets(mix, legacy=legacy)
    return bidirectional_cross_entropy(similarity / temperature, targets, targets)


def hard_clip(similarity: Square, *, temperature: float = MIXING_TEMPERATURE) -> Scalar:
    """CLIP's loss, Radford et al. 2021: each row's one true column; BiMixCo with nothing mixed."""
    targets = torch.eye(len(similarity), dtype=similarity.dtype, device=similarity.device)
    return bidirectional_cross_entropy(similarity / temperature, targets, targets)


def softclip(similarity: Square, image_similarity: Square, *, temperature: float) -> Scalar:
    """CLIP's loss with soft targets Q = softmax_rows(Ẑ Ẑᵀ / τ): similar pictures share the mass.

    Both arguments hold cosines: brain x image, and image x image.
    """
    targets = (image_similarity / temperature).softmax(1)
    return bidirectional_cross_entropy(similarity / temperature, targets, targets.T)


def softclip_temperature(epoch: int, num_epochs: int) -> float:
    """τ of the ``epoch``-th (0-based) of ``num_epochs`` SoftCLIP epochs: half a cosine from 0.004 up to 0.0075.

    A single epoch takes the first value, where the original divides 0 by 0.
    """
    share = epoch / (num_epochs - 1) if num_epochs > 1 else 0.0
    return LAST_TEMPERATURE + (FIRST_TEMPERATURE - LAST_TEMPERATURE) / 2 * (1 + math.cos(math.pi * share))


def soft_contrastive(
    student: Float[Tensor, "batch positions channels"],
    teacher: Float[Tensor, "batch positions channels"],
    augmented: Float[Tensor, "batch positions channels"],
    *,
    temperature: float = TEACHER_TEMPERATURE,
) -> Scalar:
    """Contrastive loss of the low-level branch: each position of each picture is an item of its own.

    The student's features F should resemble the teacher's features A of the augmented picture as those of the
    clean picture G do: logits F Aᵀ/τ, targets softmax_rows(G Aᵀ/τ) and softmax_rows(A Gᵀ/τ).
    """
    student, teacher, augmented = (unit_rows(features.flatten(0, 1)) for features in (student, teacher, augmented))
    wanted = teacher @ augmented.T / temperature
    # Rows of A Fᵀ and A Gᵀ are columns of F Aᵀ and G Aᵀ.
    return bidirectional_cross_entropy(student @ augmented.T / temperature, wanted.softmax(1), wanted.softmax(0))
