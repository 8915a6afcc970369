"""Subject alignment: from each subject's voxels to the shared latent space (paper §2.1)."""

from collections.abc import Sequence
from typing import Literal

from torch import nn

from mindeye2.errors import UserError
from mindeye2.shapes import Latent, Voxels

Alignment = Literal["ridge", "mlp"]
MLP_DROPOUT = 0.5
"""Of MindEye1's input layer."""


class Ridge(nn.Module):
    """``x_s = W_s v + b_s``, with ``W_s`` of shape (hidden_dim, voxels of subject s).

    "Ridge" because AdamW's weight decay plays the part of the l2 penalty. ``alignment="mlp"`` is MindEye1's input
    layer instead: ``x_s = drop(GELU(LN_s(W_s v + b_s)))``. Subjects are addressed by their position in the model's
    ascending list of subjects, not by their NSD number.
    """

    def __init__(self, *, voxels: Sequence[int], hidden_dim: int, alignment: Alignment = "ridge"):
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(count, hidden_dim) for count in voxels)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden_dim) for _ in voxels) if alignment == "mlp" else None
        self.activation = nn.Sequential(nn.GELU(), nn.Dropout(MLP_DROPOUT))

    def forward(self, voxels: Voxels, subject: int) -> Latent:
        """z-scored betas (batch, V) of the subject at that position -> (batch, hidden_dim).

        Raises UserError for a position that the model does not have and for another number of voxels.
        """
        if not 0 <= subject < len(self.linears):
            raise UserError(
                f"subject={subject}: the model has {len(self.linears)} subject(s); "
                f"give a position from 0 to {len(self.linears) - 1} in its ascending list of subjects"
            )
        linear = self.linears[subject]
        if voxels.shape[1] != linear.in_features:
            raise UserError(
                f"voxels: {voxels.shape[1]} per row, but the subject at position {subject} has {linear.in_features}; "
                "give the voxels of the mask that the model was trained on, or another subject position"
            )
        latent = linear(voxels.to(linear.weight.dtype))
        return latent if self.norms is None else self.activation(self.norms[subject](latent))
