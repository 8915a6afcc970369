"""The two heads on the latent: CLIP tokens and, from them, retrieval embeddings."""

from jaxtyping import Float
from torch import Tensor, nn

from mindeye2.shapes import Latent, Tokens


class TokenHead(nn.Linear):
    """``R = reshape(W x + b)``: the backbone's estimate of the CLIP tokens, at full size 78 % of all parameters."""

    def __init__(self, *, hidden_dim: int, tokens: int, clip_dim: int):
        super().__init__(hidden_dim, tokens * clip_dim)
        self.shape = (tokens, clip_dim)

    def forward(self, x: Latent) -> Tokens:
        return super().forward(x).unflatten(1, self.shape)


class RetrievalHead(nn.Sequential):
    """Three times LN -> GELU -> Linear on every token: embeddings for the contrastive loss and retrieval.

    Not normalised: losses and metrics flatten and normalise them.
    """

    def __init__(self, *, clip_dim: int):
        super().__init__(
            *(part for _ in range(3) for part in (nn.LayerNorm(clip_dim), nn.GELU(), nn.Linear(clip_dim, clip_dim)))
        )

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch tokens clip_dim"]:
        return super().forward(tokens)
