"""The loss of a diffusion network: the noise in a picture's latents, told from their noisy version."""

from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mindeye2.frozen.noise import OFFSET_NOISE, training_sigmas
from mindeye2.shapes import Latents, Tokens


@cache
def _sigmas(device: torch.device) -> Float[Tensor, "levels"]:
    """Kept where the network computes: a step must not wait for a copy, and a CUDA graph may not hold one."""
    return training_sigmas().to(device)


def noised(
    latents: Latents,
    *,
    timesteps: Int[Tensor, "batch"],
    noise: Latents,
    offset: Float[Tensor, "batch 4"],
) -> tuple[Latents, Latents]:
    """What the network is given, ``(z + σ_t·n)/√(1 + σ_t²)``, and what it is to find, ``n = noise + 0.04·offset``.

    ``noise`` and ``offset`` are N(0, 1), the offset one number per sample and channel; latents are scaled.
    ``DDPMScheduler.add_noise`` of the scaled-linear schedule gives the same input.
    """
    sigma = _sigmas(latents.device)[timesteps][:, None, None, None]
    target = noise + OFFSET_NOISE * offset[:, :, None, None]
    return (latents + sigma * target) / (1 + sigma**2).sqrt(), target


def unclip_loss(
    unet: nn.Module,
    latents: Latents,
    *,
    tokens: Tokens,
    vector: Float[Tensor, "batch vector"],
    timesteps: Int[Tensor, "batch"],
    noise: Latents,
    offset: Float[Tensor, "batch 4"],
) -> Float[Tensor, "batch"]:
    """``mean((ε̂ − n)²)`` of each sample: the original's σ⁻²-weighted error of the denoised latents, which is the same.

    vector: embedding of the picture's original size and crop (``frozen.unclip.size_vectors``).
    """
    given, target = noised(latents, timesteps=timesteps, noise=noise, offset=offset)
    found = unet(given, timesteps, encoder_hidden_states=tokens, class_labels=vector).sample
    return (found.float() - target).square().mean(dim=(1, 2, 3))


def inexact_tokens(
    tokens: Tokens,
    *,
    mean: Float[Tensor, "tokens clip_dim"],
    exact_share: float,
    least_kept: float,
    most_noise: float,
    null_share: float,
    uniform: Float[Tensor, "3 batch"],
    noise: Tokens,
) -> Tokens:
    """What a network is to learn from, which will be shown decoded tokens, never exact ones.

    The first row of ``uniform``, U(0, 1), decides: below ``exact_share`` a sample's tokens stay, above
    1 − ``null_share`` they become ``noise``, N(0, 1), the null that sampling guides away from. The others keep
    ``least_kept`` to all of their distance from the mean picture's, under noise of a deviation up to ``most_noise``.
    """
    fate, share, strength = uniform[..., None, None]
    kept = least_kept + (1 - least_kept) * share
    seen = mean + kept * (tokens - mean) + most_noise * strength * noise
    seen = torch.where(fate < exact_share, tokens, seen)
    return torch.where(fate > 1 - null_share, noise, seen)
