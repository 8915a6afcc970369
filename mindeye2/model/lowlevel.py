"""The low-level branch: latents of a blurry picture, and features for a teacher's contrastive loss (paper §2.2)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from mindeye2.errors import UserError
from mindeye2.model.decoder import LatentDecoder
from mindeye2.shapes import Latent, Latents


class LowLevelBranch(nn.Module):
    """Latent vector -> small maps m -> VAE latents (decoder), and m -> teacher-like features (1x1 convolutions).

    ``latents`` is the shape (4, h, w) of one VAE latent. The maps have 1/2^(len(widths) - 1) of its sides, a
    quarter with the usual three ``widths``, and the features come one per position of the maps:
    (4, 28, 28) at full size gives 7 x 7 maps and 49 feature vectors of width ``feature_dim``.
    """

    def __init__(
        self,
        *,
        hidden_dim: int,
        latents: tuple[int, int, int],
        widths: Sequence[int] = (32, 64, 128),
        groups: int = 32,
        map_dim: int = 64,
        feature_dim: int = 512,
        dropout: float = 0.3,
    ):
        super().__init__()
        channels, height, width = latents
        scale = 2 ** (len(widths) - 1)
        if height % scale or width % scale:
            raise UserError(
                f"low-level latents {height}x{width}: the decoder enlarges {scale} times, so both sides must be "
                f"multiples of {scale}; choose stimuli.image_px accordingly or set model.lowlevel: false"
            )
        if any(width % groups for width in widths):
            raise UserError(
                f"lowlevel_widths={list(widths)}: each must be a multiple of lowlevel_groups={groups}; change either"
            )
        self.map_shape = (map_dim, height // scale, width // scale)
        self.to_maps = nn.Linear(hidden_dim, map_dim * (height // scale) * (width // scale))
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.GroupNorm(1, map_dim)
        self.decoder = LatentDecoder(width_in=map_dim, channels=channels, widths=widths, groups=groups)
        self.projector = nn.Sequential(
            nn.Conv2d(map_dim, feature_dim, 1, bias=False),
            nn.GroupNorm(1, feature_dim),
            nn.ReLU(),
            nn.Conv2d(feature_dim, feature_dim, 1, bias=False),
            nn.GroupNorm(1, feature_dim),
            nn.ReLU(),
            nn.Conv2d(feature_dim, feature_dim, 1),
        )

    def forward(self, x: Latent) -> tuple[Latents, Float[Tensor, "batch positions feature_dim"]]:
        """(batch, hidden_dim) -> latents, already scaled like the VAE's, and features, not normalised."""
        maps = self.norm(self.dropout(self.to_maps(x)).unflatten(1, self.map_shape))
        return self.decoder(maps), self.projector(maps).flatten(2).mT
