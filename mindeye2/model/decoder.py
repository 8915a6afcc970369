"""The small VAE-style decoder of the low-level branch (the decoder of Rombach et al., with a narrow trunk)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from mindeye2.shapes import Latents

Maps = Float[Tensor, "batch _ rows columns"]
EPS = 1e-6


class ResnetBlock(nn.Module):
    """``x + conv(SiLU(GN(conv(SiLU(GN(x))))))``, with a 1x1 convolution on x where the width changes."""

    def __init__(self, width_in: int, width_out: int, *, groups: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, width_in, eps=EPS)
        self.conv1 = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, width_out, eps=EPS)
        self.conv2 = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, x: Maps) -> Maps:
        inner = self.conv1(F.silu(self.norm1(x)))
        inner = self.conv2(F.silu(self.norm2(inner)))
        return self.conv_shortcut(x) + inner


class MapAttention(nn.Module):
    """``x + W_o softmax(q k^T / sqrt(width)) v`` over the positions of a map, one head."""

    def __init__(self, width: int, *, groups: int):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, eps=EPS)
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.Linear(width, width)

    def forward(self, x: Maps) -> Maps:
        positions = self.group_norm(x).flatten(2).mT
        mixed = F.scaled_dot_product_attention(self.to_q(positions), self.to_k(positions), self.to_v(positions))
        return x + self.to_out(mixed).mT.unflatten(2, x.shape[2:])


class UpBlock(nn.Module):
    """Two resnet blocks, then, unless it is the last, nearest-neighbour doubling and a convolution."""

    def __init__(self, width_in: int, width_out: int, *, groups: int, upsample: bool):
        super().__init__()
        self.resnets = nn.Sequential(
            ResnetBlock(width_in, width_out, groups=groups), ResnetBlock(width_out, width_out, groups=groups)
        )
        self.upsampler = nn.Conv2d(width_out, width_out, 3, padding=1) if upsample else None

    def forward(self, x: Float[Tensor, "batch width_in rows columns"]) -> Float[Tensor, "batch width_out _ _"]:
        x = self.resnets(x)
        return x if self.upsampler is None else self.upsampler(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class LatentDecoder(nn.Module):
    """Maps (batch, width_in, rows, columns) -> latents, doubled ``len(widths) - 1`` times.

    ``widths`` go from fine to coarse, as in the autoencoders' configurations; each must be a multiple of ``groups``.
    """

    def __init__(self, *, width_in: int, channels: int, widths: Sequence[int], groups: int):
        super().__init__()
        coarse_to_fine = tuple(reversed(widths))
        coarsest, finest = coarse_to_fine[0], coarse_to_fine[-1]
        self.conv_in = nn.Conv2d(width_in, coarsest, 3, padding=1)
        self.middle = nn.Sequential(
            ResnetBlock(coarsest, coarsest, groups=groups),
            MapAttention(coarsest, groups=groups),
            ResnetBlock(coarsest, coarsest, groups=groups),
        )
        pairs = zip((coarsest, *coarse_to_fine), coarse_to_fine, strict=False)
        self.up_blocks = nn.Sequential(
            *(
                UpBlock(before, after, groups=groups, upsample=level < len(widths) - 1)
                for level, (before, after) in enumerate(pairs)
            )
        )
        self.norm_out = nn.GroupNorm(groups, finest, eps=EPS)
        self.conv_out = nn.Conv2d(finest, channels, 3, padding=1)

    def forward(self, maps: Float[Tensor, "batch width_in rows columns"]) -> Latents:
        maps = self.up_blocks(self.middle(self.conv_in(maps)))
        return self.conv_out(F.silu(self.norm_out(maps)))
