"""Tokens to pictures with an unCLIP network: Euler steps under classifier-free guidance."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mindeye2.generate.sigmas import sampling_schedule
from mindeye2.shapes import Images, Latents, Tokens

OFFSET_NOISE = 0.04
"""Scale of the per-picture constant in the start noise; the network was trained with it."""

PixelRange = Literal["legacy01", "pm1"]


class UnclipNoise(NamedTuple):
    """Everything random in one decoding; each N(0, 1), one row per picture."""

    z: Latents
    uncond_tokens: Tokens
    noise: Latents
    offset: Float[Tensor, "batch"]


def draw_noise(
    generators: Sequence[torch.Generator], *, latent_shape: tuple[int, int, int], token_shape: tuple[int, int]
) -> UnclipNoise:
    """Draw z, unconditional tokens, noise and offset, in that order, from one CPU generator per picture.

    A picture's draws depend on its own generator alone: on neither batch size, order nor device.
    """

    def draw(*shape: int) -> Tensor:
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

    return UnclipNoise(draw(*latent_shape), draw(*token_shape), draw(*latent_shape), draw())


def unclip_latents(
    unet,
    *,
    tokens: Tokens,
    uncond_tokens: Tokens,
    vector: Float[Tensor, "batch vector"],
    z: Latents,
    noise: Latents,
    offset: Float[Tensor, "batch"],
    steps: int = 38,
    guidance: float = 5.0,
) -> Latents:
    """x ← x + (σ_{i+1} − σ_i)·(ε_u + guidance·(ε_c − ε_u)), from x = z + σ_0·(noise + 0.04·offset) to σ = 0.

    The network sees x/√(σ²+1) and the integer timestep. Two quirks of the original are kept, since the network
    was used with them (tests/parity/test_sampler.py): the unconditional tokens are noise, drawn once per picture
    and held for all steps, for the network was trained without dropping its condition; and z adds a second, unit
    noise to the start.

    tokens, uncond_tokens: CLIP tokens as the network gives them, neither normalised nor scaled.
    vector: size embedding of the picture (``frozen.unclip.size_vector``), the same for both branches.
    Returns scaled VAE latents in float32: ``Vae.decode`` takes them as they are. State, σ and guidance are
    float32 whatever the network computes in.
    """
    sigmas, timesteps = sampling_schedule(steps)
    context = torch.cat([uncond_tokens, tokens])
    vector = torch.cat([vector, vector])
    x = z.float() + float(sigmas[0]) * (noise.float() + OFFSET_NOISE * offset.float()[:, None, None, None])
    for now, after, timestep in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), timesteps.tolist(), strict=True):
        scaled = torch.cat([x, x]) / (now * now + 1.0) ** 0.5
        both = unet(scaled, timestep, encoder_hidden_states=context, class_labels=vector).sample.float()
        unconditional, conditional = both.chunk(2)
        x = x + (after - now) * (unconditional + guidance * (conditional - unconditional))
    return x


def decoded_to_pictures(decoded: Images, *, pixel_range: PixelRange) -> Images:
    """Decoder output, about [-1, 1], to pictures in [0, 1]: clamp(0.8·x + 0.2) or clamp((x + 1)/2).

    ``legacy01``: the tokens came from [0, 1] pictures that CLIP's preprocessing took for [-1, 1], so the decoder
    gives pixel values of about [0, 1] inside its own range; 0.8 and 0.2 are the original's. ``pm1``: tokens of
    correctly normalised pictures.
    """
    pictures = 0.8 * decoded + 0.2 if pixel_range == "legacy01" else (decoded + 1.0) / 2.0
    return pictures.clamp(0.0, 1.0)
