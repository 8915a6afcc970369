"""Finished objects of random networks and invented trials, and jobs that read them."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import tiny_weights
import torch

from mindeye2.data.shards import COLUMNS, Sample, shard_path, write_shard
from mindeye2.job import Job
from mindeye2.model.mindeye import MindEye
from mindeye2.stages import reconstruct, refine, targets

PX, TOKENS, WIDTH = tiny_weights.PX, tiny_weights.TOKENS, tiny_weights.WIDTH
IMAGES, VOXELS, SESSIONS = 96, 20, 3
SHARED = (4, 9, 30, 31, 80)
"""Test images; the first was shown three times, the second twice, the others once."""


def write_stimuli(folder: Path) -> Path:
    folder.mkdir(parents=True)
    pictures = torch.rand(IMAGES, 3, PX // 4, PX // 4, generator=torch.Generator().manual_seed(1))
    smooth = torch.nn.functional.interpolate(pictures, size=(PX, PX), mode="bilinear")
    with h5py.File(folder / "images.h5", "w") as file:
        # Image 64 repeats image 0, in another chunk.
        file["images"] = smooth[[*range(64), 0, *range(65, IMAGES)]].half().numpy()
    captions = [["", f"the red cat {image}"] for image in range(IMAGES)]
    (folder / "captions.json").write_text(json.dumps(captions))
    return folder


def write_trials(folder: Path, split: str, shards: list[list[tuple[int, int, int]]]) -> None:
    """Shards of (image, session, row)."""
    for number, trials in enumerate(shards):
        samples = []
        for image, session, row in trials:
            behav = np.full((1, len(COLUMNS)), -1.0)
            behav[0, [COLUMNS.index(name) for name in ("image", "session", "row")]] = image, session, row
            samples.append(Sample(row, {"behav": behav}))
        write_shard(shard_path(folder, split, number), samples)


def write_behav(folder: Path) -> Path:
    """Sessions of one trial per Haxby category (image = category), and the shared test trials."""
    sessions = [
        [(category, session, 8 * (session - 1) + category) for category in range(8)]
        for session in range(1, SESSIONS + 1)
    ]
    write_trials(folder, "train", sessions)
    shown = [4, 9, 4, 31, 80, 9, 30, 4]
    write_trials(folder, "test", [[(image, 1, 8 * SESSIONS + place) for place, image in enumerate(shown)]])
    return folder


def write_betas(folder: Path) -> Path:
    """Each category has a pattern of its own, under noise."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.tile(2 * np.eye(8, VOXELS), (SESSIONS, 1)), np.zeros((8, VOXELS))])
    with h5py.File(folder / "betas.h5", "w") as file:
        file["betas"] = (rows + 0.3 * rng.standard_normal(rows.shape)).astype(np.float32)
    return folder


def write_model(folder: Path, *, lowlevel: bool = True, retrieval: bool = True, voxels: int = VOXELS) -> Path:
    torch.manual_seed(0)
    MindEye(
        voxels=[voxels],
        hidden_dim=16,
        tokens=TOKENS,
        clip_dim=WIDTH,
        num_blocks=1,
        retrieval=retrieval,
        lowlevel_latents=(4, 8, 8) if lowlevel else None,
        lowlevel_widths=(4, 8, 16),
        lowlevel_groups=4,
        lowlevel_map_dim=8,
        lowlevel_feature_dim=6,
        prior_depth=1,
        prior_heads=2,
        prior_dim_head=8,
        prior_ff_mult=2,
        prior_timesteps=20,
    ).save(folder)
    return folder


class House:
    """Finished objects, and jobs that read them."""

    def __init__(self, root: Path):
        self.root = root
        self.paths = {"weights": tiny_weights.write(root / "weights")}
        self.networks = {"clip": self.paths["weights"] / "clip"}
        self.inputs = {
            "stimuli": [write_stimuli(root / "stimuli")],
            "behav": [write_behav(root / "behav")],
            "betas": [write_betas(root / "betas")],
            "finetune": [write_model(root / "finetune")],
        }
        self.inputs["clip"] = [
            self.finish(targets, self.job("targets", "clip", network="clip", targets={"pixel_range": "pm1"}))
        ]
        self.inputs["captions"] = [self.finish(targets, self.captions("captions"))]
        self.inputs["reconstruct"] = [self.finish(reconstruct, self.reconstruct("reconstruct"))]
        self.inputs["refine"] = [self.finish(refine, self.refine("refine"))]

    def finish(self, stage, job: Job) -> Path:
        stage.run(job)
        return job.work

    def job(self, stage: str, name: str, free=None, **config) -> Job:
        work = self.root / name
        work.mkdir()
        return Job(stage, name, config, self.inputs, self.paths, work, free or {}, self.networks)

    def tokens(self, name: str) -> Job:
        return self.job("targets", name, network="clip", targets={"pixel_range": "pm1"})

    def captions(self, name: str, *, images: str = "all") -> Job:
        return self.job("targets", name, network="captioner", images=images, targets={})

    def reconstruct(self, name: str, *, sessions=None, seed=42, batch_size=4, **settings) -> Job:
        settings = {"num_images": 4, "prior_steps": 3, "steps": 3, "guidance": 5.0, **settings}
        return self.job(
            "reconstruct",
            name,
            {"reconstruct": {"batch_size": batch_size}},
            reconstruct=settings,
            subject=1,
            test_sessions=sessions,
            pixel_range="pm1",
            lowlevel_vae="vae",
            seed=seed,
        )

    def refine(self, name: str, *, batch_size=4, **settings) -> Job:
        settings = {"steps": 4, "strength": 0.5, "guidance": 5.0, **settings}
        return self.job("refine", name, {"refine": {"batch_size": batch_size}}, refine=settings, seed=42)

    def evaluate(self, name: str, *, split="shared", folds=None, **settings) -> Job:
        settings = {
            "blend_weight": 0.25,
            "retrieval_pool": 300,
            "retrieval_repetitions": 30,
            "bootstrap": 50,
            "clip": "clip",
            "baselines": [],
            **settings,
        }
        trained = {} if folds is None else {"folds": folds}
        return self.job("evaluate", name, evaluate=settings, split=split, subject=1, seed=42, **trained)


def load(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / f"{name}.npy")


def metrics(folder: Path) -> dict[tuple[str, str, str], dict]:
    with (folder / "metrics.csv").open() as file:
        return {(row["baseline"], row["metric"], row["picture"]): row for row in csv.DictReader(file)}


def with_inputs(job: Job, **inputs) -> Job:
    return replace(job, inputs={**job.inputs, **inputs})


def stimuli(house) -> torch.Tensor:
    with h5py.File(house.inputs["stimuli"][0] / "images.h5") as file:
        return torch.from_numpy(file["images"][:].astype(np.float32))


def dying(call):
    """``call``, but for a Ctrl-C in its second run."""
    calls = []

    def dying(*args, **kwargs):
        calls.append(args)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return call(*args, **kwargs)

    return dying
