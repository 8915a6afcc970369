"""The diffusion prior's network: brain tokens and noisy image tokens in, clean image tokens out (paper §2.2)."""

import math
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mindeye2.model.attention import Attention, FeedForward, GainNorm, RelativeBias, Sequences, rotary_table
from mindeye2.shapes import Keep, Timesteps, Tokens


def rotary_dims(dim_head: int) -> int:
    """Channels of a head whose pairs turn with the position: 32, or all of a narrower head."""
    return min(32, dim_head)


def sinusoidal(timesteps: Timesteps, dim: int) -> Float[Tensor, "batch dim"]:
    """``[sin(t ω_k), cos(t ω_k)]`` with ``ω_k = exp(-k ln 10^4 / (dim/2 - 1))``."""
    half = dim // 2
    k = torch.arange(half, device=timesteps.device, dtype=torch.float32)
    angles = timesteps.float()[:, None] * torch.exp(-math.log(1e4) / (half - 1) * k)
    return torch.cat((angles.sin(), angles.cos()), dim=-1)


class TimeToken(nn.Sequential):
    """Timestep -> one token: sinusoids, then three linear maps with SiLU between."""

    def __init__(self, dim: int):
        super().__init__(
            nn.Linear(dim, 2 * dim), nn.SiLU(), nn.Linear(2 * dim, 2 * dim), nn.SiLU(), nn.Linear(2 * dim, dim)
        )

    def forward(self, timesteps: Timesteps) -> Float[Tensor, "batch 1 dim"]:
        return super().forward(sinusoidal(timesteps, self[0].in_features)).unsqueeze(1)


class Layer(nn.Module):
    """``x <- x + Attn(x)``, ``x <- x + FF(x)``."""

    def __init__(self, *, dim: int, heads: int, dim_head: int, ff_mult: int):
        super().__init__()
        self.attention = Attention(dim=dim, heads=heads, dim_head=dim_head)
        self.feed_forward = FeedForward(dim=dim, mult=ff_mult)

    def forward(
        self,
        x: Sequences,
        *,
        rotary: Float[Tensor, "length pairs 2"],
        bias: Float[Tensor, "length heads keys"],
        queries: int,
    ) -> Float[Tensor, "batch queries dim"]:
        """The last ``queries`` positions of the sequence after this layer."""
        x = x[:, -queries:] + self.attention(x, rotary=rotary, bias=bias, queries=queries)
        return x + self.feed_forward(x)


class PriorNetwork(nn.Module):
    """A transformer over ``[brain tokens | time | noisy image tokens]`` that sees all of them; returns the last part.

    Predicts x0, the clean tokens. Nothing is masked. The learned positions are added to the image tokens only,
    after a dropped image was replaced by its null tokens; rotary embedding and relative bias act on all.

    With ``recompute`` set, training keeps each layer's input alone and computes the layer again in the backward
    pass: the same gradients for a quarter of the memory and a third more time.
    """

    recompute = False

    def __init__(self, *, tokens: int, clip_dim: int, depth: int, heads: int, dim_head: int, ff_mult: int):
        super().__init__()
        self.tokens = tokens
        length = 2 * tokens + 1
        self.position = nn.Parameter(torch.randn(tokens, clip_dim) * clip_dim**-0.5)
        self.null_brain = nn.Parameter(torch.randn(tokens, clip_dim))
        self.null_image = nn.Parameter(torch.randn(tokens, clip_dim))
        self.time = TimeToken(clip_dim)
        self.relative_bias = RelativeBias(length=length, heads=heads)
        self.layers = nn.ModuleList(
            Layer(dim=clip_dim, heads=heads, dim_head=dim_head, ff_mult=ff_mult) for _ in range(depth)
        )
        self.norm = GainNorm(clip_dim, stable=True)
        self.project_out = nn.Linear(clip_dim, clip_dim, bias=False)
        self.register_buffer("rotary", rotary_table(length, rotary_dims(dim_head)), persistent=False)

    def forward(
        self,
        noisy: Tokens,
        timesteps: Timesteps,
        brain: Tokens,
        *,
        brain_keep: Keep | None = None,
        image_keep: Keep | None = None,
    ) -> Tokens:
        """x0 estimate; where a keep mask is False, that sample's brain or image tokens become the null tokens."""
        if brain_keep is not None:
            brain = torch.where(brain_keep[:, None, None], brain, self.null_brain)
        if image_keep is not None:
            noisy = torch.where(image_keep[:, None, None], noisy, self.null_image)
        x = torch.cat((brain, self.time(timesteps), noisy + self.position), dim=1)
        bias = self.relative_bias()
        again = self.recompute and torch.is_grad_enabled()
        for depth, layer in enumerate(self.layers, start=1):
            # Nobody reads the brain and time positions of the last layer, so it leaves them out.
            queries = self.tokens if depth == len(self.layers) else x.shape[1]
            call = partial(checkpoint, layer, use_reentrant=False) if again else layer
            x = call(x, rotary=self.rotary, bias=bias, queries=queries)
        return self.project_out(self.norm(x))
