"""Milliseconds per step and memory of the trainings that the configurations of full size describe.

    python tests/benchmarks/training.py --out training.json

Random weights and random data of the published sizes, on one GPU, by the trainers that the stages run; a few steps of
each, of which the first are not counted. *Hours* are those steps times as many as the configuration takes, reading and
checkpoints aside. The configuration for a card of 24 GB is measured with PyTorch's memory held to what such a card has.
Needs a GPU, torch, accelerate, diffusers and this package.
"""

import argparse
import gc
import json
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import diffusers
import numpy as np
import torch
from accelerate import Accelerator

from mindeye2.config import Config, load_config
from mindeye2.data.batches import Batches, SubjectTrials, Targets
from mindeye2.data.sizes import VOXELS
from mindeye2.frozen.stability import UNCLIP_UNET
from mindeye2.generate.device import default_device
from mindeye2.job import Job
from mindeye2.settings import Training, Unclip
from mindeye2.train.decoder import Recipe, Trainer
from mindeye2.train.run import build_model
from mindeye2.train.unclip import Pictures, UnclipTrainer

CONFIGS = Path(__file__).parents[2] / "config"
TOKENS, CLIP_DIM, LATENT_PX = 256, 1664, 28
SUBJECT, SESSIONS = 1, 40
CARD_GIB = 24
WARM_UP, COUNTED = 10, 20


@dataclass(frozen=True)
class Case:
    """One training: whose settings, how many steps it takes in all, and what makes its trainer."""

    name: str
    settings: Training | Unclip
    steps: int
    trainer: Callable[[Path], Trainer | UnclipTrainer]
    per_row: int
    """Steps of one row of the history."""
    card: bool = False
    """Held to the memory of a card of 24 GB."""


def random_halves(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32).astype(np.float16)


def decoder_case(config: Config, stage: str, device: torch.device) -> Case:
    """Pretraining without the subject, or its fine-tuning on 40 sessions."""
    settings = getattr(config, stage)
    subjects = config.pretraining_subjects(SUBJECT) if stage == "pretrain" else [SUBJECT]
    each = settings.batch_size // len(subjects)
    steps = settings.num_epochs * (settings.trials_per_session * SESSIONS // (each * len(subjects)))
    # Four epochs: the first has BiMixCo, the others SoftCLIP, and only those after the warm-up count.
    short = settings.model_copy(update={"num_epochs": 4, "trials_per_session": None})

    def trainer(work: Path) -> Trainer:
        images = (WARM_UP + COUNTED) // 3 * each
        data = [
            SubjectTrials(subject, random_halves(images, VOXELS[subject]), np.arange(images) + images * place)
            for place, subject in enumerate(subjects)
        ]
        count, lowlevel = images * len(subjects), config.model.lowlevel
        targets = Targets(
            tokens=random_halves(count, TOKENS, CLIP_DIM),
            latents=random_halves(count, 4, LATENT_PX, LATENT_PX) if lowlevel else None,
            features=random_halves(count, 49, 512) if lowlevel else None,
            augmented=random_halves(count, 1, 49, 512) if lowlevel else None,
        )
        (work / "manifest.json").write_text(json.dumps({"spec": {"config": {"targets": {"pixel_range": "legacy01"}}}}))
        job = Job(stage, "benchmark", {}, {"clip": [work]}, {}, work)
        torch.manual_seed(0)
        with torch.device(device):
            model = build_model(job, config.model, short, data, targets)
        batches = Batches(data, targets, batch_size=short.batch_size, seed=0, stage=stage)
        prior = config.model.prior
        recipe = Recipe(short, stage, 0, prior.drop_brain, prior.drop_image)
        return Trainer(model, batches, recipe, Accelerator(), work)

    name = f"{config.run.name}, {stage} of {len(subjects)} subject{'s' if len(subjects) > 1 else ''}"
    return Case(name, settings, steps, trainer, (WARM_UP + COUNTED) // 3, card=config.run.name == "light")


def unclip_case(config: Config, device: torch.device, **how: bool) -> Case:
    """``how``: unkeyed settings, which change what a step costs."""
    settings = config.unclip.model_copy(update=how)
    short = settings.model_copy(update={"steps": WARM_UP + COUNTED})

    def trainer(work: Path) -> UnclipTrainer:
        cells, count = short.image_px // 8, 8 * short.batch_size
        pictures = Pictures(
            tokens=random_halves(count, TOKENS, CLIP_DIM),
            latents=random_halves(count, 4, cells, cells),
            deviations=np.abs(random_halves(count, 4, cells, cells)) / 10,
            sizes=np.broadcast_to(np.array([short.decode_px, short.decode_px, 0, 0]), (count, 4)),
            rows=np.arange(count),
        )
        torch.manual_seed(0)
        with torch.device(device):
            unet = diffusers.UNet2DConditionModel.from_config(UNCLIP_UNET)
        return UnclipTrainer(unet, pictures, short, Accelerator(), work)

    return Case(", ".join(["unclip", *how]), settings, settings.steps, trainer, 1)


@contextmanager
def memory_of(gib: float | None) -> Iterator[None]:
    """PyTorch held to so much memory of the GPU, less half a GiB for a driver and its context."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    whole = torch.cuda.mem_get_info()[1] / 2**30
    torch.cuda.set_per_process_memory_fraction(1.0 if gib is None else (gib - 0.5) / whole)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def measure(case: Case) -> dict[str, float | str]:
    with memory_of(CARD_GIB if case.card else None), tempfile.TemporaryDirectory() as work:
        history = case.trainer(Path(work)).fit()
        seconds = [row["seconds"] / case.per_row for row in history if row["step"] > WARM_UP]
        step_s = statistics.median(seconds)
        found = {
            "training": case.name,
            "batch": case.settings.batch_size,
            "step_ms": 1000 * step_s,
            "hours": step_s * case.steps / 3600,
            "steps": case.steps,
            "peak_gib": torch.cuda.max_memory_allocated() / 2**30,
            "reserved_gib": torch.cuda.max_memory_reserved() / 2**30,
            "loss": history[-1]["loss"],
        }
    print(
        f"{case.name:<40} batch {found['batch']:>3}  {found['step_ms']:7.1f} ms a step  {found['steps']:>7} steps "
        f"{found['hours']:6.1f} h  peak {found['peak_gib']:5.1f} GiB, reserved {found['reserved_gib']:5.1f}",
        flush=True,
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="names of trainings to measure, or parts of them (default: all)")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON, after every training")
    arguments = parser.parse_args()

    device = default_device()
    if device.type != "cuda":
        parser.error("no GPU: nothing of this size is measured on a CPU")
    configs = [load_config(CONFIGS / f"{name}.yaml") for name in ("paper", "light")]
    cases = [decoder_case(config, stage, device) for config in configs for stage in ("pretrain", "finetune")]
    unclip = load_config(CONFIGS / "unclip.yaml")
    cases += [unclip_case(unclip, device, **how) for how in ({}, {"recompute": True})]
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, diffusers {diffusers.__version__}", flush=True)
    rows = []
    for case in cases:
        if arguments.only is None or any(part in case.name for part in arguments.only):
            rows.append(measure(case))
        if arguments.out:
            arguments.out.write_text(json.dumps({"device": torch.cuda.get_device_name(), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
