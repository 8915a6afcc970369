"""A toy that training can solve: voxels are a linear image of the pictures' tokens, plus noise."""

from types import MappingProxyType

import numpy as np
import torch
from accelerate import Accelerator

from mindeye2.data.batches import Batches, SubjectTrials, Targets
from mindeye2.model.mindeye import MindEye
from mindeye2.settings import Finetune
from mindeye2.train.decoder import Recipe, Trainer

TOKENS, CLIP_DIM, LATENT_DIM = 4, 8, 12


def toy_data(*, voxels=(30,), images=40, trials=60, noise=0.3, seed=0, lowlevel=True):
    generator = np.random.default_rng(seed)
    latent = generator.standard_normal((images, LATENT_DIM))
    tokens = latent @ generator.standard_normal((LATENT_DIM, TOKENS * CLIP_DIM)) / LATENT_DIM**0.5
    subjects = []
    for number, count in enumerate(voxels, start=1):
        image = generator.integers(images, size=trials)
        clean = latent[image] @ generator.standard_normal((LATENT_DIM, count)) / LATENT_DIM**0.5
        betas = clean + noise * generator.standard_normal((trials, count))
        subjects.append(SubjectTrials(number, betas.astype(np.float32), image))
    targets = Targets(tokens.reshape(images, TOKENS, CLIP_DIM).astype(np.float16))
    if lowlevel:
        features = generator.standard_normal((images, 1, 6))
        augmented = features[:, None] + 0.1 * generator.standard_normal((images, 2, 1, 6))
        targets = Targets(
            targets.tokens,
            generator.standard_normal((images, 4, 4, 4)).astype(np.float16),
            features.astype(np.float16),
            augmented.astype(np.float16),
        )
    return subjects, targets


def toy_trainer(folder, *, data=None, batches=Batches, seed=0, sizes=MappingProxyType({}), **settings):
    accelerator = Accelerator(cpu=True)
    subjects, targets = data or toy_data()
    defaults = {"num_epochs": 3, "batch_size": 12, "max_lr": 3e-3, "precision": "float32"}
    settings = Finetune(**(defaults | settings))
    made = batches(
        subjects,
        targets,
        batch_size=settings.batch_size,
        seed=seed,
        stage="finetune",
        process=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    torch.manual_seed(seed)
    model = MindEye(
        voxels=[each.voxels.shape[1] for each in subjects],
        hidden_dim=24,
        tokens=TOKENS,
        clip_dim=CLIP_DIM,
        num_blocks=1,
        lowlevel_latents=None if targets.latents is None else targets.latents.shape[1:],
        lowlevel_widths=(4, 4, 4),
        lowlevel_groups=2,
        lowlevel_feature_dim=6,
        prior_depth=1,
        prior_heads=2,
        prior_dim_head=4,
        prior_ff_mult=1,
        prior_timesteps=10,
        **sizes,
    )
    folder.mkdir(exist_ok=True)
    return Trainer(model, made, Recipe(settings, "finetune", seed, 0.2, 0.2), accelerator, folder)


def weights(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def same_weights(first, second):
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def train_shared(folder):
    """Eight steps of three subjects; the first process saves the model.

    Without dropout, whose masks depend on the rows of a process.
    """
    trainer = toy_trainer(
        folder,
        data=toy_data(voxels=(30, 20, 25), trials=16),
        num_epochs=1,
        batch_size=6,
        sizes={"dropout": 0.0, "lowlevel_dropout": 0.0},
    )
    trainer.fit()
    if trainer.accelerator.is_main_process:
        trainer.model.save(folder)
