"""The shared trunk between ridge and heads: three named variants of what the paper draws as residual MLP blocks."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mindeye2.shapes import Latent

BackboneKind = Literal["linear", "residual_mlp", "legacy_mixer"]


class Block(nn.Module):
    """``M(u) = W2 drop(GELU(W1 LN(u) + b1)) + b2``, all of one width."""

    def __init__(self, width: int, *, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(width, width)

    def forward(self, u: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        return self.fc2(self.dropout(F.gelu(self.fc1(self.norm(u)))))


class ResidualMLP(nn.Module):
    """``x <- x + M_b(x)`` for every block b: what the paper describes (§2.2)."""

    def __init__(self, *, hidden_dim: int, num_blocks: int, dropout: float):
        super().__init__()
        self.blocks = nn.ModuleList(Block(hidden_dim, dropout=dropout) for _ in range(num_blocks))

    def forward(self, x: Latent) -> Latent:
        for block in self.blocks:
            x = x + block(x)
        return x


class LegacyMixer(nn.Module):
    """``x + sum_b κ_b`` with ``κ_b = w2 GELU(w1 β_b + b1) + b2``: what the released models compute.

    The original alternates a mixer over the width with one over a sequence axis of length 1. The norm of a
    single value is its own bias β_b, so the sequence mixers are constants, and their residual chain goes past
    the width mixers. In training the dropout inside a sequence mixer still acts on every element by itself:
    its constant is scaled by 1 / (1 - dropout) or absent.

    Kept for released weights; tests/parity/test_model.py holds it. The width mixers and the gains of the
    sequence mixers' norms have no influence on any output: they are stored so that a released file
    goes in and out unchanged, and frozen so that neither an optimiser nor DDP waits for their gradients.
    """

    def __init__(self, *, hidden_dim: int, num_blocks: int, dropout: float):
        super().__init__()
        self.width = nn.ModuleList(Block(hidden_dim, dropout=dropout) for _ in range(num_blocks))
        self.sequence = nn.ModuleList(Block(1, dropout=dropout) for _ in range(num_blocks))
        self.width.requires_grad_(False)
        for block in self.sequence:
            block.norm.weight.requires_grad_(False)

    def forward(self, x: Latent) -> Latent:
        for block in self.sequence:
            active = F.gelu(block.fc1(block.norm.bias)).expand_as(x)
            x = x + block.fc2.weight[0] * block.dropout(active) + block.fc2.bias
        return x


def build_backbone(kind: BackboneKind, *, hidden_dim: int, num_blocks: int, dropout: float) -> nn.Module:
    """The trunk of that name; ``linear`` is the identity, so that voxels -> tokens is one affine map."""
    if kind == "linear":
        return nn.Identity()
    variants = {"residual_mlp": ResidualMLP, "legacy_mixer": LegacyMixer}
    return variants[kind](hidden_dim=hidden_dim, num_blocks=num_blocks, dropout=dropout)
