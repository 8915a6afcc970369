"""Attention, feed-forward and position terms of the diffusion prior's transformer."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

BUCKETS, MAX_DISTANCE = 32, 128
LOGIT_SCALE = 16.0

Sequences = Float[Tensor, "batch length dim"]


class GainNorm(nn.Module):
    """LayerNorm with a gain and no bias; ``stable`` divides by the token's largest channel first.

    That largest channel is detached: no output notices, the gradients do. ε is 1e-5 for float32 and 1e-3 for
    any other input, float64 too. Both kept for released weights; tests/parity/test_prior.py holds them.
    """

    def __init__(self, dim: int, *, stable: bool = False):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(dim))
        self.stable = stable

    def forward(self, x: Sequences) -> Sequences:
        if self.stable:
            x = x / x.amax(dim=-1, keepdim=True).detach()
        return F.layer_norm(x, x.shape[-1:], self.gain, None, 1e-5 if x.dtype == torch.float32 else 1e-3)


def rotary_frequencies(dims: int) -> Float[Tensor, "pairs"]:
    """``ω_k = 10^(-8k/dims)`` of the ``⌊dims / 2⌋`` pairs of channels."""
    return 1e4 ** (-torch.arange(0, dims - 1, 2, dtype=torch.float32, device="cpu") / dims)


def rotary_table(length: int, dims: int) -> Float[Tensor, "length pairs 2"]:
    """``(cos, sin)(p ω_k)`` for positions p and pairs k."""
    angles = torch.outer(torch.arange(length, dtype=torch.float32, device="cpu"), rotary_frequencies(dims))
    return torch.stack((angles.cos(), angles.sin()), dim=-1)


def rotate(
    x: Float[Tensor, "batch length heads dim_head"], table: Float[Tensor, "length pairs 2"]
) -> Float[Tensor, "batch length heads dim_head"]:
    """Turn neighbouring channels (2k, 2k+1) by the angle of their position; channels beyond the table stay."""
    dims = 2 * table.shape[1]
    turned, rest = x[..., :dims].float().contiguous(), x[..., dims:]
    pairs = torch.view_as_complex(turned.unflatten(-1, (-1, 2)))
    turned = torch.view_as_real(pairs * torch.view_as_complex(table)[:, None]).flatten(-2).to(x.dtype)
    return torch.cat((turned, rest), dim=-1) if rest.shape[-1] else turned


def relative_buckets(distance: Int[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
    """T5's causal buckets of ``distance = query - key``: exact below 16, then logarithmic up to 128.

    Every key that lies ahead (a negative distance) shares bucket 0.
    """
    exact = BUCKETS // 2
    distance = distance.clamp(min=0)
    logarithmic = torch.log(distance.clamp(min=1).float() / exact) / math.log(MAX_DISTANCE / exact)
    far = (exact + (logarithmic * (BUCKETS - exact)).long()).clamp(max=BUCKETS - 1)
    return torch.where(distance < exact, distance, far)


class RelativeBias(nn.Module):
    """A learned logit per head and bucket of the distance from query to key, shared by all layers.

    Keys are counted from the null key (null = 0, token j at j + 1), queries from 0, so that every distance is
    one too small. Kept for released weights; tests/parity/test_prior.py holds it.
    """

    def __init__(self, *, length: int, heads: int):
        super().__init__()
        self.table = nn.Embedding(BUCKETS, heads)
        position = torch.arange(length + 1, device="cpu")
        self.register_buffer("buckets", relative_buckets(position[:-1, None] - position), persistent=False)

    def forward(self) -> Float[Tensor, "queries heads keys"]:
        return self.table(self.buckets).transpose(1, 2).contiguous()


class Attention(nn.Module):
    """``GainNorm(W_o softmax(16 cos(q, k) + bias) v)`` with many query heads on one key and value head.

    q and k are turned by their position (rotary embedding on the first ``min(32, dim_head)`` channels) and
    l2-normalised. A learned null key and value come first; they are not turned.
    """

    def __init__(self, *, dim: int, heads: int, dim_head: int):
        super().__init__()
        self.heads, self.dim_head = heads, dim_head
        self.norm = GainNorm(dim)
        self.null_kv = nn.Parameter(torch.randn(2, dim_head))
        self.to_q = nn.Linear(dim, heads * dim_head, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim_head, bias=False)
        self.to_out = nn.Linear(heads * dim_head, dim, bias=False)
        self.norm_out = GainNorm(dim)

    def forward(
        self,
        x: Sequences,
        *,
        rotary: Float[Tensor, "length pairs 2"],
        bias: Float[Tensor, "length heads keys"],
        queries: int,
    ) -> Float[Tensor, "batch queries dim"]:
        """What the last ``queries`` positions of x read from all of them."""
        x = self.norm(x)
        q = rotate(self.to_q(x[:, -queries:]).unflatten(-1, (self.heads, self.dim_head)), rotary[-queries:])
        k, v = self.to_kv(x).chunk(2, dim=-1)
        k = rotate(k.unsqueeze(2), rotary).squeeze(2)
        null_k, null_v = self.null_kv.to(k.dtype).expand(len(x), 1, 2, -1).unbind(2)
        k = F.normalize(torch.cat((null_k, k), dim=1), dim=-1)
        v = torch.cat((null_v, v), dim=1)
        # All heads ask the same keys, so queries and heads are one axis and nothing is copied per head.
        q = F.normalize(q, dim=-1).flatten(1, 2)
        logits = torch.baddbmm(bias[-queries:].flatten(0, 1).to(q.dtype), q, k.mT, alpha=LOGIT_SCALE)
        mixed = torch.bmm(logits.softmax(dim=-1, dtype=torch.float32).to(v.dtype), v)
        return self.norm_out(self.to_out(mixed.unflatten(1, (queries, self.heads)).flatten(2)))


class FeedForward(nn.Module):
    """``W2 (a SiLU(g))`` with ``(a, g) = W1 GainNorm(x)``, no biases."""

    def __init__(self, *, dim: int, mult: int):
        super().__init__()
        self.norm = GainNorm(dim)
        self.expand = nn.Linear(dim, 2 * mult * dim, bias=False)
        self.contract = nn.Linear(mult * dim, dim, bias=False)

    def forward(self, x: Sequences) -> Sequences:
        value, gate = self.expand(self.norm(x)).chunk(2, dim=-1)
        return self.contract(value * F.silu(gate))
