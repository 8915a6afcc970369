"""Tokens and latents to pictures at the side that they are stored at."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mindeye2.errors import UserError
from mindeye2.frozen.unclip import cells_per_side, size_vector
from mindeye2.frozen.vae import Vae
from mindeye2.generate.unclip import (
    PixelRange,
    Sampler,
    Unconditional,
    decoded_to_pictures,
    draw_noise,
    unclip_latents,
)
from mindeye2.shapes import Images, Latents, Tokens

STORED_PX = 256
"""Larger pictures are stored at this side, as the published ones were; smaller ones at their own."""

PIXELS_AT_ONCE = 768**2
"""A VAE decodes one picture of the full size at a time, many small ones."""


class Decoder:
    """CLIP tokens to pictures, by an unCLIP network and its VAE; UserError where they have not SDXL's latents."""

    def __init__(
        self,
        unet,
        vae: Vae,
        *,
        pixel_range: PixelRange,
        steps: int,
        guidance: float,
        unconditional: Unconditional = "legacy",
        sampler: Sampler = "euler",
    ):
        channels = unet.config.in_channels, vae.network.config.latent_channels
        if channels != (4, 4):
            raise UserError(
                f"unclip/config.json: latents of {channels[0]} channels, and the autoencoder's have {channels[1]}, "
                "where SDXL's have 4; put the UNet and the VAE of one unCLIP checkpoint into paths.weights"
            )
        self.unet, self.vae = unet, vae
        self.pixel_range, self.unconditional = pixel_range, unconditional
        self.sampling = {"steps": steps, "guidance": guidance, "sampler": sampler}
        self.side = cells_per_side(unet) * vae.factor

    @property
    def stored_px(self) -> int:
        return min(self.side, STORED_PX)

    def __call__(
        self, tokens: Tokens, generators: Sequence[torch.Generator]
    ) -> Float[Tensor, "batch 3 stored_px stored_px"]:
        """Pictures in [0, 1]; generators: one per picture, on the CPU."""
        cells = self.unet.config.sample_size
        noise = draw_noise(
            generators,
            latent_shape=(4, cells, cells),
            token_shape=tuple(tokens.shape[1:]),
            unconditional=self.unconditional,
        )
        latents = unclip_latents(
            self.unet,
            tokens=tokens,
            vector=size_vector(self.unet, self.side, self.side, len(tokens)).to(tokens.device),
            **self.sampling,
            **{name: draw.to(tokens.device) for name, draw in noise._asdict().items()},
        )
        decoded = torch.cat([self.vae.decode(part) for part in latents.split(max(1, PIXELS_AT_ONCE // self.side**2))])
        return at_side(decoded_to_pictures(decoded, pixel_range=self.pixel_range), self.stored_px)


def blurry_pictures(vae: Vae, latents: Latents, side: int) -> Float[Tensor, "batch 3 {side} {side}"]:
    """Low-level pictures in [0, 1] of scaled latents: clamp(decoded/2 + 0.5), at ``side``."""
    return at_side(decoded_to_pictures(vae.decode(latents), pixel_range="pm1"), side)


def at_side(pictures: Images, side: int) -> Float[Tensor, "batch 3 {side} {side}"]:
    """Square pictures resized bilinearly, without anti-aliasing, as the original resized what it stored."""
    return F.interpolate(pictures.float(), size=(side, side), mode="bilinear", align_corners=False)
