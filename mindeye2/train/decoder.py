"""Training the decoder: epochs over trials, MixCo, the prior's draws, and the losses of one step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from mindeye2.data.batches import Batch, Batches
from mindeye2.model.diffusion import PriorDraws
from mindeye2.model.mindeye import MindEye
from mindeye2.seeds import numpy_generator
from mindeye2.settings import Training
from mindeye2.train.history import COLUMNS
from mindeye2.train.loop import Loop
from mindeye2.train.mixco import Mix, draw_mix, join_mixes, mix_rows
from mindeye2.train.optim import parameter_groups, schedule
from mindeye2.train.parallel import gather_rows
from mindeye2.train.precision import forward_precision
from mindeye2.train.step import Scales, StepTargets, mixed_latents, phase, step_losses


@dataclass(frozen=True)
class Recipe:
    """What training needs to know beside the model and its data."""

    settings: Training
    stage: str
    """Names the random streams and the progress lines."""
    seed: int
    drop_brain: float
    drop_image: float


class Trainer(Loop):
    """One model on its way through ``recipe.settings.num_epochs`` passes over ``batches``; a round is an epoch."""

    columns = COLUMNS

    def __init__(self, model: MindEye, batches: Batches, recipe: Recipe, accelerator: Accelerator, work: Path):
        settings = recipe.settings
        self.batches, self.recipe = batches, recipe
        self.scales = Scales(
            prior=settings.prior_scale,
            clip=settings.clip_scale,
            lowlevel=settings.lowlevel_scale,
            contrastive=settings.contrastive_scale,
        )
        self.legacy_mixing = settings.mixing_targets == "legacy"
        model.prior.network.recompute = settings.recompute
        self._freeze_untrained(model)
        model = model.to(accelerator.device)
        super().__init__(
            model,
            settings,
            parameter_groups(
                model.named_parameters(),
                weight_decay=settings.weight_decay,
                legacy=settings.decay_groups == "legacy",
            ),
            schedule(
                settings.lr_schedule,
                max_lr=settings.max_lr,
                num_epochs=settings.num_epochs,
                steps_per_epoch=batches.steps,
                cycle_beta1=settings.cycle_beta1,
            ),
            accelerator,
            work,
            stage=recipe.stage,
            seed=recipe.seed,
            total_steps=settings.num_epochs * batches.steps,
            round_steps=batches.steps,
        )

    def _freeze_untrained(self, model: MindEye) -> None:
        """Parts that no loss reaches: weight decay must not move them, nor DDP wait for their gradients."""
        scales, targets = self.scales, self.batches.targets
        lowlevel = scales.lowlevel > 0 and targets.latents is not None
        trained = {
            model.prior: scales.prior > 0,
            model.retrieval: scales.clip > 0,
            model.lowlevel: lowlevel,
            getattr(model.lowlevel, "projector", None): lowlevel
            and scales.contrastive > 0
            and targets.features is not None,
        }
        for part, reached in trained.items():
            if part is not None and not reached:
                part.requires_grad_(False)

    def _load(self, step: int) -> Batch:
        return self.batches.load(*divmod(step, self.batches.steps))

    def _train_step(self, batch: Batch) -> dict[str, Tensor]:
        epoch, index = divmod(self.step, self.batches.steps)
        current = phase(epoch, num_epochs=self.settings.num_epochs, mixup_pct=self.settings.mixup_pct)
        voxels, mix = self._mixed(epoch, index, batch) if current.mixing else (batch.voxels, None)
        latents = batch.latents
        if latents is not None:
            latents = self.batches.mine(mixed_latents(latents, mix, legacy=self.legacy_mixing))
        draws = self._prior_draws(epoch, index, batch.tokens.shape[1:]) if self.scales.prior > 0 else None
        torch.manual_seed(self._seed("dropout", epoch, index, self.accelerator.process_index))

        with forward_precision(batch.tokens.device, self.settings.precision):
            output = self.wrapped(
                self.batches.my_voxels(voxels), clip_target=None if draws is None else batch.tokens, draws=draws
            )
        parts = step_losses(
            output,
            StepTargets(batch.tokens, latents, batch.features, batch.augmented),
            scales=self.scales,
            temperature=current.temperature,
            mix=mix,
            legacy=self.legacy_mixing,
            gather=gather_rows,
        )
        self._update(parts["loss"])
        return parts

    def _mixed(self, epoch: int, index: int, batch: Batch) -> tuple[list[Tensor], Mix]:
        """Voxels after MixCo, subject by subject, and the mix of the whole batch."""
        mixes = []
        for subject, voxels in zip(self.batches.subjects, batch.voxels, strict=True):
            names = (self.recipe.stage, "mix", epoch, index, subject.subject)
            generator = numpy_generator(self.recipe.seed, *names)
            mixes.append(draw_mix(len(voxels), generator=generator).to(voxels.device))
        voxels = [mix_rows(*pair) for pair in zip(batch.voxels, mixes, strict=True)]
        return voxels, join_mixes(mixes, legacy=self.legacy_mixing)

    def _prior_draws(self, epoch: int, index: int, shape: Sequence[int]) -> PriorDraws:
        """The prior's draws of this process's rows: drawn for the whole batch, where the model computes.

        The noise of a full-size step would take a CPU longer than the step takes a GPU, so these streams are
        the device's own: a kind of device gives the same numbers every time, another kind others.
        """
        generator = torch.Generator(self.accelerator.device).manual_seed(self._seed("prior", epoch, index))
        draws = PriorDraws.draw(
            (self.batches.rows, *shape),
            timesteps=self.model.prior.timesteps,
            drop_brain=self.recipe.drop_brain,
            drop_image=self.recipe.drop_image,
            generator=generator,
        )
        return PriorDraws(**{name: self.batches.mine(value) for name, value in vars(draws).items()})
