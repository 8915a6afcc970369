"""What pretraining and fine-tuning share: data and targets in, a trained model out."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator, DistributedDataParallelKwargs

from mindeye2.data.batches import Batches, SubjectTrials, Targets, load_subject, open_targets
from mindeye2.data.shards import read_trials
from mindeye2.errors import UserError
from mindeye2.job import Job
from mindeye2.memory import enough_memory
from mindeye2.model.mindeye import MindEye
from mindeye2.model.weights import read_note
from mindeye2.objects import read_json
from mindeye2.seeds import stream_seed
from mindeye2.settings import Model, Training
from mindeye2.train.decoder import Recipe, Trainer
from mindeye2.train.history import plot_history, write_history
from mindeye2.train.mixco import mixing_epochs
from mindeye2.train.parallel import run_on, usable_devices

FEATURE_DIM = 512


def train_model(
    job: Job, settings: Training, *, subjects: Sequence[int], sessions: Collection[int] | None = None
) -> None:
    """Train a decoder of ``subjects`` (ascending) on the non-shared trials of ``sessions``, or of all, on every GPU.

    Reads the roles behav and betas (one object per subject), clip, and where they are there lowlevel_vae,
    convnext and pretrain (the model to start from); writes the model, history.csv and loss.png.
    """
    if not (settings.prior_scale or settings.clip_scale or settings.lowlevel_scale):
        raise UserError(f"{job.stage}: prior_scale, clip_scale and lowlevel_scale are all 0; give one of them a weight")
    rows = max(settings.batch_size // len(subjects), 1) * len(subjects)
    run_on(usable_devices(rows), _train, job, settings, tuple(subjects), sessions)


def _train(job: Job, settings: Training, subjects: tuple[int, ...], sessions: Collection[int] | None) -> None:
    accelerator = Accelerator(
        kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)]
    )
    seed, sizes = job.config["seed"], job.settings(Model)

    targets = load_targets(job)
    data, most_sessions = load_subjects(job, subjects, sessions)
    batches = Batches(
        data,
        targets,
        batch_size=settings.batch_size,
        seed=seed,
        stage=job.stage,
        epoch_trials=settings.trials_per_session and settings.trials_per_session * most_sessions,
        process=accelerator.process_index,
        processes=accelerator.num_processes,
    )

    torch.manual_seed(stream_seed(seed, job.stage, "weights"))
    model = build_model(job, sizes, settings, data, targets)
    pretrained = job.optional("pretrain")
    if pretrained is not None:
        taken = model.start_from(pretrained)
        if accelerator.is_main_process:
            own = len(model.state_dict()) - len(taken)
            print(f"{job.stage}: {len(taken)} tensors from {pretrained.name}, {own} fresh (ridge)", file=sys.stderr)

    recipe = Recipe(settings, job.stage, seed, sizes.prior.drop_brain, sizes.prior.drop_image)
    with enough_memory(job.stage, settings.batch_size, remedy="" if settings.recompute else "recompute: true"):
        history = Trainer(model, batches, recipe, accelerator, job.work).fit()

    if accelerator.is_main_process:
        model.save(job.work)
        write_history(job.work / "history.csv", history)
        plot_history(
            job.work / "loss.png",
            history,
            mixing_epochs=mixing_epochs(settings.num_epochs, settings.mixup_pct),
            title=f"{job.stage} of subject {', '.join(map(str, subjects))}",
        )


def load_subjects(
    job: Job, subjects: Sequence[int], sessions: Collection[int] | None
) -> tuple[list[SubjectTrials], int]:
    """The training trials of each subject, from the behav and betas objects in the same order, and the number of
    sessions of the subject that has trials in most."""
    loaded, most_sessions = [], 0
    for subject, behav, betas in zip(subjects, job.inputs["behav"], job.inputs["betas"], strict=True):
        trials = read_trials(behav, "train")
        wanted = np.ones(len(trials), bool) if sessions is None else np.isin(trials.session, sorted(sessions))
        most_sessions = max(most_sessions, len(np.unique(trials.session[wanted])))
        loaded.append(
            load_subject(betas / "betas.h5", subject=subject, image=trials.image[wanted], row=trials.row[wanted])
        )
    return loaded, most_sessions


def load_targets(job: Job) -> Targets:
    """Memory maps of whatever target roles the job has."""
    lowlevel, teacher = job.optional("lowlevel_vae"), job.optional("convnext")
    return Targets(
        tokens=open_targets(job.input("clip") / "tokens.npy", axes=3),
        latents=None if lowlevel is None else open_targets(lowlevel / "latents.npy", axes=4),
        features=None if teacher is None else open_targets(teacher / "features.npy", axes=3),
        augmented=None if teacher is None else open_targets(teacher / "augmented.npy", axes=4),
    )


def build_model(job: Job, sizes: Model, settings: Training, data: Sequence[SubjectTrials], targets: Targets) -> MindEye:
    """A fresh model with the sizes of its data; a branch that no loss would train is left out."""
    lowlevel = sizes.lowlevel and settings.lowlevel_scale > 0
    return MindEye(
        voxels=[each.voxels.shape[1] for each in data],
        subjects=[each.subject for each in data],
        hidden_dim=sizes.hidden_dim,
        tokens=targets.tokens.shape[1],
        clip_dim=targets.tokens.shape[2],
        alignment=sizes.alignment,
        backbone=sizes.backbone,
        num_blocks=sizes.num_blocks,
        dropout=sizes.dropout,
        retrieval=sizes.retrieval and settings.clip_scale > 0,
        lowlevel_latents=targets.latents.shape[1:] if lowlevel else None,
        lowlevel_widths=sizes.lowlevel_widths,
        lowlevel_groups=sizes.lowlevel_groups,
        lowlevel_feature_dim=_feature_dim(job, targets),
        prior_depth=sizes.prior.depth,
        prior_heads=sizes.prior.heads,
        prior_dim_head=sizes.prior.dim_head,
        prior_ff_mult=sizes.prior.ff_mult,
        prior_timesteps=sizes.prior.timesteps,
        metadata={"stage": job.stage, "config": dict(job.config), "pixel_range": pixel_range(job.input("clip"))},
    )


def _feature_dim(job: Job, targets: Targets) -> int:
    """Width of the teacher's features; without a teacher that of the model to start from, or the paper's."""
    if targets.features is not None:
        return targets.features.shape[2]
    pretrained = job.optional("pretrain")
    return read_note(pretrained)["sizes"]["lowlevel_feature_dim"] if pretrained else FEATURE_DIM


def pixel_range(clip: Path) -> str:
    """How the pictures were shown to CLIP, from the manifest of its tokens: who decodes them must know."""
    return read_json(clip / "manifest.json")["spec"]["config"]["targets"]["pixel_range"]
