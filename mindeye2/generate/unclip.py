"""Tokens to pictures with an unCLIP network: diffusion steps under classifier-free guidance."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mindeye2.errors import UserError
from mindeye2.frozen.noise import OFFSET_NOISE
from mindeye2.generate.sigmas import sampling_schedule
from mindeye2.shapes import Images, Latents, Tokens

PixelRange = Literal["legacy01", "pm1"]

Sampler = Literal["euler", "dpmpp_2m"]

Unconditional = Literal["legacy", "zeros"]


class UnclipNoise(NamedTuple):
    """Everything random in one decoding; each N(0, 1), one row per picture."""

    z: Latents
    uncond_tokens: Tokens
    noise: Latents
    offset: Float[Tensor, "batch"]


def draw_noise(
    generators: Sequence[torch.Generator],
    *,
    latent_shape: tuple[int, int, int],
    token_shape: tuple[int, int],
    unconditional: Unconditional = "legacy",
) -> UnclipNoise:
    """Draw z, unconditional tokens, noise and offset, in that order, from one CPU generator per picture.

    A picture's draws depend on its own generator alone: on neither batch size, order nor device. ``unconditional``:
    the original's noise, or zeros, which are the same for all pictures; the other draws do not depend on it.
    """

    def draw(*shape: int) -> Tensor:
        return torch.stack([torch.randn(shape, generator=generator) for generator in generators])

    noise = UnclipNoise(draw(*latent_shape), draw(*token_shape), draw(*latent_shape), draw())
    return noise if unconditional == "legacy" else noise._replace(uncond_tokens=torch.zeros_like(noise.uncond_tokens))


@torch.no_grad()
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
    sampler: Sampler = "euler",
) -> Latents:
    """x ← x + (σ_{i+1} − σ_i)·(ε_u + guidance·(ε_c − ε_u)), from x = z + σ_0·(noise + 0.04·offset) to σ = 0.

    These are the published Euler steps; ``dpmpp_2m`` takes those of ``dpmpp_2m_step`` instead, of which fewer are
    needed. The network sees x/√(σ²+1) and the integer timestep. Two quirks of the original are kept, since the
    network was used with them (tests/parity/test_sampler.py): the unconditional tokens are noise, drawn once per
    picture and held for all steps, for the network was trained without dropping its condition; and z adds a second,
    unit noise to the start.

    unet: a ``UNet2DConditionModel`` with ``class_labels``, or anything that is called like one.
    tokens, uncond_tokens: CLIP tokens as the network gives them, neither normalised nor scaled.
    vector: size embedding of the picture (``frozen.unclip.size_vector``), the same for both branches.
    Returns scaled VAE latents in float32: ``Vae.decode`` takes them as they are. State, σ and guidance are
    float32 whatever the network computes in. UserError where the tokens or the vector are of another width than the
    network takes.
    """
    _check_widths(unet, tokens=tokens, vector=vector)
    sigmas, timesteps = sampling_schedule(steps)
    precision = getattr(unet, "dtype", torch.float32)
    context = torch.cat([uncond_tokens, tokens]).to(precision)
    vector = torch.cat([vector, vector]).to(precision)
    x = z.float() + float(sigmas[0]) * (noise.float() + OFFSET_NOISE * offset.float()[:, None, None, None])
    levels, before = sigmas.tolist(), None
    for i, timestep in enumerate(timesteps.to(x.device)):
        now, after = levels[i], levels[i + 1]
        scaled = (torch.cat([x, x]) / (now * now + 1.0) ** 0.5).to(precision)
        both = unet(scaled, timestep, encoder_hidden_states=context, class_labels=vector).sample.float()
        unconditional, conditional = both.chunk(2)
        noise_estimate = unconditional + guidance * (conditional - unconditional)
        if sampler == "euler":
            x = x + (after - now) * noise_estimate
        else:
            clean = x - now * noise_estimate
            x = dpmpp_2m_step(x, clean, before, levels[max(i - 1, 0)], now, after)
            before = clean
    return x


def _check_widths(unet, **given: Tensor) -> None:
    for name, field in (("tokens", "cross_attention_dim"), ("vector", "projection_class_embeddings_input_dim")):
        width, wanted = given[name].shape[-1], getattr(getattr(unet, "config", None), field, None)
        if isinstance(wanted, int) and width != wanted:
            raise UserError(
                f"{name}: width {width}, but this unCLIP network takes {wanted} ({field} of its config.json); "
                "use the CLIP and the size vector that it was trained with"
            )


def dpmpp_2m_step(
    x: Latents, clean: Latents, before: Latents | None, previous: float, now: float, after: float
) -> Latents:
    """DPM-Solver++(2M) (Lu et al. 2022, Algorithm 2) from σ ``now`` to ``after``, for x = clean + σ·noise.

    x ← (σ'/σ)·x + (1 − σ'/σ)·D with D = clean + (clean − before)·h/(2h₋) and h = log(σ/σ'), h₋ = log(σ₋/σ): clean is
    extrapolated from its estimate at the previous σ₋. The first step and the last, to σ' = 0, take D = clean.
    """
    if before is not None and after > 0:
        ratio = math.log(now / after) / math.log(previous / now)
        clean = clean + 0.5 * ratio * (clean - before)
    return (after / now) * x + (1.0 - after / now) * clean


def decoded_to_pictures(decoded: Images, *, pixel_range: PixelRange) -> Images:
    """Decoder output, about [-1, 1], to pictures in [0, 1]: clamp(0.8·x + 0.2) or clamp((x + 1)/2).

    ``legacy01``: the tokens came from [0, 1] pictures that CLIP's preprocessing took for [-1, 1], so the decoder
    gives pixel values of about [0, 1] inside its own range; 0.8 and 0.2 are the original's. ``pm1``: tokens of
    correctly normalised pictures.
    """
    pictures = 0.8 * decoded + 0.2 if pixel_range == "legacy01" else (decoded + 1.0) / 2.0
    return pictures.clamp(0.0, 1.0)
