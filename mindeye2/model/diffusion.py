"""The prior as a diffusion model: noise schedule, training loss and sampling (paper §2.2, DALL-E 2's prior)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from mindeye2.errors import UserError
from mindeye2.model.prior import PriorNetwork
from mindeye2.shapes import Keep, Timesteps, Tokens

Noise = Callable[[torch.Size, int], Tensor]
"""``noise(shape, step)``: standard normal draws; ``step`` counts them, 0 being the start state."""


def cosine_schedule(timesteps: int) -> dict[str, Float[Tensor, "timesteps"]]:
    """Every table of the cosine schedule, float32 after float64 arithmetic, by the released checkpoints' names.

    ``g(u) = cos²((u/N + 0.008) / 1.008 · π/2)``, ``β_t = clip(1 - g(t+1)/g(t), 0, 0.999)``,
    ``ᾱ_t = ∏(1 - β)``; "prev" is ᾱ_{t-1}, with 1 before the first step.
    """
    u = torch.linspace(0, timesteps, timesteps + 1, dtype=torch.float64, device="cpu") / timesteps
    g = torch.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
    betas = (1 - g[1:] / g[:-1]).clamp(0, 0.999)
    alphas_cumprod = torch.cumprod(1 - betas, dim=0)
    previous = F.pad(alphas_cumprod[:-1], (1, 0), value=1.0)
    variance = betas * (1 - previous) / (1 - alphas_cumprod)
    tables = {
        "betas": betas,
        "alphas_cumprod": alphas_cumprod,
        "alphas_cumprod_prev": previous,
        "sqrt_alphas_cumprod": alphas_cumprod.sqrt(),
        "sqrt_one_minus_alphas_cumprod": (1 - alphas_cumprod).sqrt(),
        "log_one_minus_alphas_cumprod": (1 - alphas_cumprod).log(),
        "sqrt_recip_alphas_cumprod": (1 / alphas_cumprod).sqrt(),
        "sqrt_recipm1_alphas_cumprod": (1 / alphas_cumprod - 1).sqrt(),
        "posterior_variance": variance,
        "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
        "posterior_mean_coef1": betas * previous.sqrt() / (1 - alphas_cumprod),
        "posterior_mean_coef2": (1 - previous) * (1 - betas).sqrt() / (1 - alphas_cumprod),
    }
    return {name: table.float() for name, table in tables.items()}


@dataclass(frozen=True)
class PriorDraws:
    """Everything random in one evaluation of the prior's loss, so that a step can be repeated exactly."""

    timesteps: Timesteps
    noise: Tokens
    brain_keep: Keep
    """False: this sample's brain tokens are replaced by the null tokens."""
    image_keep: Keep
    """False: this sample's noisy image tokens are replaced by the null tokens."""

    @classmethod
    def draw(
        cls,
        shape: tuple[int, int, int],
        *,
        timesteps: int,
        drop_brain: float,
        drop_image: float,
        generator: Generator,
    ) -> "PriorDraws":
        """Draws for clean tokens of ``shape`` (batch, tokens, clip_dim), on the generator's device."""
        batch, device = shape[0], generator.device
        return cls(
            timesteps=torch.randint(timesteps, (batch,), generator=generator, device=device),
            noise=torch.randn(shape, generator=generator, device=device),
            brain_keep=torch.rand(batch, generator=generator, device=device) >= drop_brain,
            image_keep=torch.rand(batch, generator=generator, device=device) >= drop_image,
        )

    def to(self, device: torch.device | str) -> "PriorDraws":
        return type(self)(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def sampling_times(timesteps: int, steps: int) -> list[int]:
    """Times at which the network is evaluated, descending.

    All of them where ``steps`` equals the schedule's length. Otherwise the whole parts of
    ``linspace(-1, timesteps, steps + 1)`` without its end, backwards and without the final -1: 20 of 100 steps
    are 19 evaluations at 94, 89, ..., 4. Kept for released weights; tests/parity/test_prior.py holds it.
    """
    if not min(2, timesteps) <= steps <= timesteps:
        raise UserError(f"steps={steps}: the prior was trained with {timesteps} timesteps; give 2 to {timesteps}")
    if steps == timesteps:
        return list(range(timesteps - 1, -1, -1))
    return torch.linspace(-1.0, timesteps, steps + 1)[1:-1].int().flip(0).tolist()


class DiffusionPrior(nn.Module):
    """Denoises CLIP image tokens given the backbone's tokens; predicts x0, without clamping or rescaling."""

    def __init__(self, *, network: PriorNetwork, timesteps: int):
        super().__init__()
        self.network = network
        self.timesteps = timesteps
        for name, table in cosine_schedule(timesteps).items():
            self.register_buffer(name, table, persistent=False)

    def forward(
        self,
        noisy: Tokens,
        timesteps: Timesteps,
        brain: Tokens,
        *,
        brain_keep: Keep | None = None,
        image_keep: Keep | None = None,
    ) -> Tokens:
        """One denoising call: x0 estimate. Without keep masks nothing is dropped, in training mode too."""
        return self.network(noisy, timesteps, brain, brain_keep=brain_keep, image_keep=image_keep)

    def add_noise(self, clean: Tokens, timesteps: Timesteps, noise: Tokens) -> Tokens:
        """``x_t = √ᾱ_t x0 + √(1-ᾱ_t) ε``."""
        signal = self.sqrt_alphas_cumprod[timesteps][:, None, None]
        return signal * clean + self.sqrt_one_minus_alphas_cumprod[timesteps][:, None, None] * noise

    def loss(
        self,
        brain: Tokens,
        clip_target: Tokens,
        *,
        timesteps: Timesteps,
        noise: Tokens,
        brain_keep: Keep | None = None,
        image_keep: Keep | None = None,
    ) -> Float[Tensor, ""]:
        """Mean over all elements of ``(f(x_t, t, R) - Z)²``; its gradient trains the backbone through R as well."""
        noisy = self.add_noise(clip_target, timesteps, noise)
        estimate = self(noisy, timesteps, brain, brain_keep=brain_keep, image_keep=image_keep)
        return F.mse_loss(estimate.float(), clip_target.float())

    @torch.no_grad()
    def sample(
        self,
        brain: Tokens,
        *,
        steps: int = 20,
        noise: Noise | None = None,
        generators: Sequence[Generator] | None = None,
    ) -> Tokens:
        """Image tokens given the backbone's: DDIM with η = 1, or the ancestral loop for the whole schedule.

        Give either ``generators``, one CPU generator per sample, so that a sample depends neither on the batch
        that it is in nor on the device, or ``noise(shape, step)`` to inject the draws.
        """
        if (noise is None) == (generators is None):
            raise TypeError("sample() takes either generators=, one CPU generator per sample, or noise=")
        if noise is None:
            if len(generators) != len(brain):
                raise UserError(f"generators: {len(generators)} for a batch of {len(brain)}; give one per sample")
            noise = noise_from(generators)

        def draw(step: int) -> Tensor:
            return noise(brain.shape, step).to(brain)

        times = sampling_times(self.timesteps, steps)
        x = draw(0)
        if steps == self.timesteps:
            for step, time in enumerate(times, start=1):
                x = self._ancestral_update(x, self._estimate(x, time, brain), time, draw(step))
            return x
        for step, (time, after) in enumerate(pairwise(times), start=1):
            estimate = self._estimate(x, time, brain)
            x = self._ddim_update(x, estimate, time, after, draw(step) if after > 0 else None)
        return self._estimate(x, times[-1], brain)

    def _estimate(self, x: Tokens, time: int, brain: Tokens) -> Tokens:
        return self(x, torch.full((len(x),), time, device=x.device), brain)

    def _ddim_update(self, x: Tokens, estimate: Tokens, time: int, after: int, noise: Tokens | None) -> Tokens:
        """``x <- √A' x0 + c1 n + c2 ε``, with ``ε = (x/√ᾱ_t - x0) / √(1/ᾱ_t - 1)``.

        A and A' come from the table of *previous* values while ε uses ᾱ_t, and an update to time 0 draws no
        noise. Kept for released weights; tests/parity/test_prior.py holds it.
        """
        epsilon = (self.sqrt_recip_alphas_cumprod[time] * x - estimate) / self.sqrt_recipm1_alphas_cumprod[time]
        a, a_after = self.alphas_cumprod_prev[time], self.alphas_cumprod_prev[after]
        c1 = ((1 - a / a_after) * (1 - a_after) / (1 - a)).sqrt()
        c2 = (1 - a_after - c1**2).sqrt()
        x = a_after.sqrt() * estimate + c2 * epsilon
        return x if noise is None else x + c1 * noise

    def _ancestral_update(self, x: Tokens, estimate: Tokens, time: int, noise: Tokens) -> Tokens:
        """Posterior mean of x_{t-1} given x_t and x0, plus its noise, which is nothing at t = 0."""
        mean = self.posterior_mean_coef1[time] * estimate + self.posterior_mean_coef2[time] * x
        return mean + (time > 0) * (0.5 * self.posterior_log_variance_clipped[time]).exp() * noise


def noise_from(generators: Sequence[Generator]) -> Noise:
    """Draws of a batch whose sample i only ever uses ``generators[i]``."""

    def draw(shape: torch.Size, step: int) -> Tensor:
        return torch.stack([torch.randn(shape[1:], generator=generator) for generator in generators])

    return draw
