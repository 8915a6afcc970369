"""Training an unCLIP network: the latents of pictures, denoised under the pictures' own CLIP tokens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float, Float16, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mindeye2.frozen.noise import TRAINING_STEPS
from mindeye2.frozen.unclip import size_vectors
from mindeye2.seeds import numpy_generator
from mindeye2.settings import Unclip
from mindeye2.shapes import Latents, Tokens
from mindeye2.train.denoising import inexact_tokens, unclip_loss
from mindeye2.train.history import Row
from mindeye2.train.loop import Loop
from mindeye2.train.optim import AdamW, warmed_up
from mindeye2.train.precision import LossScale, forward_precision
from mindeye2.train.recorded import recorded

ROUNDS = 500
"""Rows of history.csv, at most."""
PICTURES_IN_MEAN = 1024


@dataclass(frozen=True)
class Pictures:
    """What the frozen networks say of the pictures: one row each, memory-mapped where there are many."""

    tokens: Float16[np.ndarray, "images tokens clip_dim"]
    latents: Float16[np.ndarray, "images 4 lat_h lat_w"]
    """Mean of the VAE's posterior, scaled."""
    deviations: Float16[np.ndarray, "images 4 lat_h lat_w"]
    """Its standard deviation, in the same scale; a step draws from the posterior."""
    sizes: Int[np.ndarray, "images 4"]
    """Original height and width, crop top and left, in pixels: what the network is told of each."""
    rows: Int[np.ndarray, "trained"]
    """Those that may be trained on."""


@dataclass(frozen=True)
class Batch:
    """This process's samples of one step."""

    tokens: Float[Tensor, "batch tokens clip_dim"]
    latents: Float[Tensor, "batch 4 lat_h lat_w"]
    deviations: Float[Tensor, "batch 4 lat_h lat_w"]
    sizes: Int[Tensor, "batch 4"]

    def _each(self, change) -> "Batch":
        return Batch(**{name: change(value) for name, value in vars(self).items()})

    def pinned(self) -> "Batch":
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> "Batch":
        """On ``device``, fractions in float32; half-precision rows travel."""

        def moved(tensor: Tensor) -> Tensor:
            tensor = tensor.to(device, non_blocking=True)
            return tensor.float() if tensor.is_floating_point() else tensor

        return self._each(moved)


@dataclass(frozen=True)
class Kept:
    """The optimiser, with tensors that are neither its own nor the network's."""

    optimizer: AdamW
    beside: Mapping[str, Tensor]

    def state_dict(self) -> dict[str, Tensor]:
        return {**self.optimizer.state_dict(), **self.beside}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.optimizer.load_state_dict(state)
        for name, value in self.beside.items():
            value.copy_(state[name])


class UnclipTrainer(Loop):
    """One UNet on its way through ``settings.steps`` steps; afterwards it holds the averaged weights, if asked for.

    Pictures come in an order that is drawn anew for each pass. ``stage`` names the random streams.
    """

    columns = ("step", "loss", "lr", "seconds")

    def __init__(
        self,
        unet: nn.Module,
        pictures: Pictures,
        settings: Unclip,
        accelerator: Accelerator,
        work: Path,
        *,
        stage: str = "unclip",
    ):
        self.pictures = pictures
        unet = unet.to(accelerator.device)
        if settings.recompute:
            # No random state is kept, which a recording could not do: the network draws nothing.
            unet.enable_gradient_checkpointing(partial(checkpoint, use_reentrant=False, preserve_rng_state=False))
        names, parameters = zip(*unet.named_parameters(), strict=True)
        super().__init__(
            unet,
            settings,
            [{"params": list(parameters), "names": list(names), "weight_decay": settings.weight_decay}],
            lambda step: warmed_up(
                step,
                settings.steps,
                max_lr=settings.max_lr,
                warmup_steps=settings.warmup_steps,
                cosine=settings.lr_schedule == "cosine",
            ),
            accelerator,
            work,
            stage=stage,
            seed=settings.seed,
            total_steps=settings.steps,
            round_steps=-(-settings.steps // ROUNDS),
        )
        self.scaling = LossScale(accelerator.device) if settings.precision == "float16" else None
        self.averages = [each.detach().clone() for each in parameters] if settings.average else []
        averages = zip(names, self.averages, strict=False)
        self._kept = Kept(
            self.optimizer,
            {f"average/{name}": value for name, value in averages}
            | ({} if self.scaling is None else {"loss_scale": self.scaling.state}),
        )
        inexact = settings.exact_share < 1 or settings.null_share > 0
        self._mean = self._mean_tokens().to(accelerator.device) if inexact else None
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))
        self._compute: Callable[..., Tensor] | None = None

    @property
    def kept(self) -> Kept:
        return self._kept

    def fit(self) -> list[Row]:
        rows = super().fit()
        with torch.no_grad():
            for average, parameter in zip(self.averages, self.optimizer.parameters, strict=False):
                parameter.copy_(average)
        return rows

    def _mean_tokens(self) -> Float[Tensor, "tokens clip_dim"]:
        """Of the pictures trained on, or of so many evenly among them."""
        some = self.pictures.rows[:: -(-len(self.pictures.rows) // PICTURES_IN_MEAN)]
        return torch.from_numpy(self.pictures.tokens[some].mean(axis=0, dtype=np.float32))

    def _mine(self, values: Any) -> Any:
        """This process's rows of something that has one for each of the batch's."""
        return values[self.accelerator.process_index :: self.accelerator.num_processes]

    def _load(self, step: int) -> Batch:
        count = self.settings.batch_size
        passes, places = np.divmod(np.arange(step * count, (step + 1) * count), len(self.pictures.rows))
        chosen = [self._pass(int(number))[places[passes == number]] for number in np.unique(passes)]
        rows = self._mine(np.concatenate(chosen))
        read = ("tokens", "latents", "deviations", "sizes")
        return Batch(**{name: torch.from_numpy(getattr(self.pictures, name)[rows]) for name in read})

    def _pass(self, number: int) -> Int[np.ndarray, "trained"]:
        if self._order[0] != number:
            order = numpy_generator(self.seed, self.stage, "order", number).permutation(self.pictures.rows)
            self._order = (number, order)
        return self._order[1]

    def _train_step(self, batch: Batch) -> dict[str, Tensor]:
        given = vars(batch) | self._draws(batch)
        if self._compute is None:
            self._compute = self._gradients
            if self.records:
                self._compute = recorded(self._gradients, given, parameters=self.optimizer.parameters)
        loss = self._compute(**given)
        self._apply_gradients()
        return {"loss": loss}

    @property
    def records(self) -> bool:
        """Whether steps replay a recording: on one GPU. Several meet in the backward pass, which none can hold."""
        return self.accelerator.device.type == "cuda" and self.accelerator.num_processes == 1

    def _draws(self, batch: Batch) -> dict[str, Tensor]:
        """What ``_gradients`` takes beside a batch; drawn for the whole one on the device, for any number of GPUs."""
        device, count = self.accelerator.device, self.settings.batch_size
        generator = torch.Generator(device).manual_seed(self._seed("draws", self.step))

        def normal(*shape: int) -> Tensor:
            return self._mine(torch.randn((count, *shape), generator=generator, device=device))

        shape = batch.latents.shape[1:]
        draws = {
            "posterior": normal(*shape),
            "timesteps": self._mine(torch.randint(TRAINING_STEPS, (count,), generator=generator, device=device)),
            "noise": normal(*shape),
            "offset": normal(shape[0]),
        }
        if self._mean is not None:
            draws["fates"] = self._mine(torch.rand((count, 3), generator=generator, device=device)).T
            draws["token_noise"] = normal(*batch.tokens.shape[1:])
        return draws

    def _gradients(
        self,
        *,
        tokens: Tokens,
        latents: Latents,
        deviations: Latents,
        sizes: Int[Tensor, "batch 4"],
        posterior: Latents,
        timesteps: Int[Tensor, "batch"],
        noise: Latents,
        offset: Float[Tensor, "batch 4"],
        fates: Float[Tensor, "3 batch"] | None = None,
        token_noise: Tokens | None = None,
    ) -> Float[Tensor, ""]:
        """The loss of a batch (``Batch``) and its draws, whose gradients are left at the weights.

        ``posterior``, ``noise``, ``offset`` and ``token_noise`` are N(0, 1); ``fates``, U(0, 1), are the ``uniform``
        of ``inexact_tokens``, and absent with ``token_noise`` where all tokens are exact.
        """
        settings, device = self.settings, self.accelerator.device
        if self._mean is not None:
            tokens = inexact_tokens(
                tokens,
                mean=self._mean,
                exact_share=settings.exact_share,
                least_kept=settings.least_kept,
                most_noise=settings.most_noise,
                null_share=settings.null_share,
                uniform=fates,
                noise=token_noise,
            )
        with forward_precision(device, settings.precision):
            losses = unclip_loss(
                self.wrapped,
                latents + deviations * posterior,
                tokens=tokens,
                vector=size_vectors(self.model, sizes),
                timesteps=timesteps,
                noise=noise,
                offset=offset,
            )
        loss = losses.mean()
        self._backward(loss if self.scaling is None else loss * self.scaling.value)
        return loss.detach()

    def _apply_gradients(self) -> None:
        if self.scaling is not None and not self.scaling.unscale(self.optimizer.parameters):
            return
        super()._apply_gradients()
        if self.averages:
            # A young average forgets faster, so that it does not remember the start.
            decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(self.averages, self.optimizer.parameters, 1 - decay)
