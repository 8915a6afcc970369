"""Store objects of a run that never was: every file that the tables stage reads, at a realistic size."""

import csv
import hashlib
import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image, ImageFilter

from mindeye2.config import parse_config
from mindeye2.demo.world import captions, render, sample_scene
from mindeye2.job import Job

PX, NUM_IMAGES, NUM_TEST, NUM_DECODED = 64, 40, 24, 8
TWO_WAY = ("alexnet2", "alexnet5", "inception", "clip")
VERSIONS = {"python": "3.11.9", "torch": "2.14.1", "numpy": "2.4.0"}


def demo_config(**sections: Any) -> dict[str, Any]:
    content = {
        "dataset": {"sessions": {1: 3, 2: 3, 3: 3}},
        "simulate": {"voxels": {1: 420, 2: 360, 3: 390}},
        "matrix": {
            "subjects": [1, 2],
            "sessions": [1, 3],
            "variants": {"default": {}, "scratch": {"finetune": {"init": "scratch"}}},
        },
    }
    return {**content, **sections}


def haxby_config() -> dict[str, Any]:
    return {
        "dataset": {"source": "haxby", "sessions": {1: 12}},
        "finetune": {"init": "scratch"},
        "evaluate": {"baselines": ["linear_svm"]},
        "matrix": {"subjects": [1], "split": "leave_one_session_out", "variants": {"default": {}}},
    }


@cache
def drawn_scenes() -> tuple[np.ndarray, list[list[str]]]:
    scenes = [sample_scene(np.random.default_rng(i)) for i in range(NUM_IMAGES)]
    return np.stack([render(scene, PX) for scene in scenes]), [captions(scene) for scene in scenes]


@dataclass
class FakeRun:
    """Writes objects below ``root`` and hands out the job of the tables stage that reads them."""

    root: Path
    content: dict[str, Any]
    tables: dict[str, Any] = field(default_factory=dict)
    without: Sequence[str] = ()
    name: str = "demo"

    def __post_init__(self):
        self.config = parse_config(self.content)
        self.random = np.random.default_rng(3)
        self.inputs: dict[str, list[Path]] = {}

    def job(self) -> Job:
        matrix, haxby = self.config.matrix, self.config.dataset.source == "haxby"
        stimuli = self.stimuli()
        cells = []
        for variant in matrix.variants:
            for subject in matrix.subjects:
                known = self.config.dataset.sessions[subject]
                folds = [None] if matrix.split == "shared" else list(range(1, known + 1))
                for sessions in self.config.sessions_of(variant) if matrix.split == "shared" else [known - 1]:
                    for seed in matrix.seeds:
                        cells.append(self.cell(stimuli, variant, subject, sessions, seed, folds, haxby))
        work = self.root / "tables" / "work"
        work.mkdir(parents=True)
        shown = self.config.model_dump(mode="json", exclude={"run", "paths", "tables"}, exclude_none=True)
        for variant, overlay in matrix.variants.items():
            shown["matrix"]["variants"][variant] = overlay.model_dump(mode="json", exclude_defaults=True)
        tables = {"pictures": True, "pictures_per_subject": 8, **self.tables}
        spec = {"tables": tables, "run": self.name, "config": shown, "cells": cells}
        return Job("tables", "0" * 20, json.loads(json.dumps(spec)), self.inputs, {}, work)

    def object(self, stage: str, names: Iterable[Any], inputs: Mapping[str, list[Path]], **config: Any) -> Path:
        """A new object folder with its manifest, or the one that exists."""
        key = hashlib.sha256("/".join(map(str, (stage, *names))).encode()).hexdigest()[:20]
        folder = self.root / stage / key
        known = self.inputs.setdefault(stage, [])
        if folder not in known:
            known.append(folder)
            folder.mkdir(parents=True)
            manifest = {
                "stage": stage,
                "key": key,
                "spec": {
                    "stage": stage,
                    "config": config,
                    "inputs": {role: [f"{p.parent.name}/{p.name}" for p in paths] for role, paths in inputs.items()},
                },
                "code": hashlib.sha256(stage.encode()).hexdigest()[:20],
                "git": "3f2a9c1d5e7b8a6049c2",
                "versions": VERSIONS,
                "host": socket.gethostname(),
                "device": "cpu (x86_64)",
                "start": "2026-03-01T10:00:00Z",
                "end": "2026-03-02T10:01:35Z",
                "seconds": 95.25,
                "seed": config.get("seed"),
            }
            (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    def elsewhere(self, stage: str, name: Any) -> Path:
        """An object that the tables stage knows by its key only."""
        return self.root / stage / hashlib.sha256(f"{stage}/{name}".encode()).hexdigest()[:20]

    def stimuli(self) -> Path:
        folder = self.object("stimuli", [], {})
        self.pictures, self.captions = drawn_scenes()
        with h5py.File(folder / "images.h5", "w") as file:
            file["images"] = (self.pictures.transpose(0, 3, 1, 2) / 255).astype(np.float16)
        (folder / "captions.json").write_text(json.dumps(self.captions))
        return folder

    def cell(self, stimuli, variant, subject, sessions, seed, folds, haxby) -> dict[str, Any]:
        data = {"behav": [self.elsewhere("behav", subject)], "betas": [self.elsewhere("betas", subject)]}
        targets = {role: [self.elsewhere("targets", role)] for role in ("clip", "lowlevel_vae", "convnext")}
        settings = self.config.variant(variant)
        pretrained = settings.finetune.init == "pretrained"
        pictures = settings.reconstruct.num_images != 0
        pretrain = None
        if pretrained:
            pretrain = self.object("pretrain", [subject, seed], {**data, **targets}, seed=seed)
            self.history(pretrain, 30, 0.8)
        finetune, reconstruct, refine = [], [], []
        skill = self.skill(subject, sessions, pretrained) if settings.reconstruct.voxels == "measured" else 0.0
        for fold in folds:
            names = [variant, subject, sessions, seed, fold]
            upstream = {**data, **targets, **({"pretrain": [pretrain]} if pretrain else {})}
            finetune.append(self.object("finetune", names, upstream, seed=seed))
            self.history(finetune[-1], 40, 1.2 - skill)
            made = {"finetune": [finetune[-1]], **data}
            test = None if fold is None else [fold]
            reconstruct.append(self.object("reconstruct", names, made, seed=seed, test_sessions=test))
            self.reconstruction(reconstruct[-1], skill, pictures)
            if pictures and settings.refine.strength > 0:
                refine.append(self.object("refine", names, {"reconstruct": [reconstruct[-1]]}, seed=seed))
                np.save(refine[-1] / "refined.npy", self.degraded(1 - skill, 0.5))
        made = {"reconstruct": reconstruct, "refine": refine, "stimuli": [stimuli], "clip": targets["clip"], **data}
        evaluate = self.object("evaluate", [variant, subject, sessions, seed], made, seed=seed)
        self.metrics(
            evaluate, skill, haxby, ("lowlevel", "unrefined", "refined")[: 2 + len(refine)] if pictures else ()
        )
        place = {
            stage: self.inputs.setdefault(stage, []).index
            for stage in ("evaluate", "finetune", "reconstruct", "refine")
        }
        return {
            "variant": variant,
            "subject": subject,
            "sessions": sessions,
            "seed": seed,
            "evaluate": place["evaluate"](evaluate),
            "finetune": [place["finetune"](folder) for folder in finetune],
            "reconstruct": [place["reconstruct"](folder) for folder in reconstruct],
            "refine": [place["refine"](folder) for folder in refine],
            "pretrain": self.inputs["pretrain"].index(pretrain) if pretrain else None,
        }

    def skill(self, subject: int, sessions: int, pretrained: bool) -> float:
        """Between 0 (guessing) and 1."""
        gain = 0.24 * np.log2(sessions) / np.log2(3) * (1 if pretrained else 1.5)
        return float(0.3 + 0.2 * pretrained + gain - 0.04 * subject + self.random.normal(0, 0.015))

    def history(self, folder: Path, epochs: int, floor: float) -> None:
        names = ("epoch", "step", "loss", "prior", "clip", "lowlevel", "contrastive", "lr", "brain_to_image", "seconds")
        with (folder / "history.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            for epoch in range(1, epochs + 1):
                loss = floor + 9 * np.exp(-epoch / 6) + self.random.normal(0, 0.06)
                parts = (loss / 30, loss / 3, loss / 9, "", 3e-4 * epoch / epochs, 1 - np.exp(-epoch / 9))
                writer.writerow([epoch, epoch * 20, loss, *parts, 1.5])

    def degraded(self, blur: float, noise: float) -> np.ndarray:
        images = []
        for picture in self.pictures[:NUM_DECODED]:
            blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1 + 6 * blur))
            images.append(np.asarray(blurred) / 255 + self.random.normal(0, 0.08 * noise, (PX, PX, 3)))
        return np.stack(images).clip(0, 1).transpose(0, 3, 1, 2).astype(np.float16)

    def reconstruction(self, folder: Path, skill: float, pictures: bool) -> None:
        np.savez(folder / "test.npz", image=np.arange(NUM_TEST), trials=np.full(NUM_TEST, 3))
        if not pictures:
            return
        np.save(folder / "lowlevel.npy", self.degraded(1.2, 0.2))
        np.save(folder / "unrefined.npy", self.degraded(1 - skill, 1.0))
        said = [self.captions[i if self.random.random() < skill else -i][1] for i in range(NUM_DECODED)]
        (folder / "captions.json").write_text(json.dumps(said))

    def metrics(self, folder: Path, skill: float, haxby: bool, pictures: Sequence[str]) -> None:
        rows: list[tuple] = []

        def add(metric: str, picture: str, value: float, n: int, width: float, baseline: str = "") -> None:
            if metric in self.without:
                rows.append((baseline, metric, picture, "", n, "", ""))
                return
            value = min(max(value + self.random.normal(0, width / 6), 0.0), 1.0)
            rows.append((baseline, metric, picture, value, n, max(value - width, 0.0), min(value + width, 1.0)))

        if haxby:
            add("identification_8way", "", 0.6, 96, 0.1)
            rows.append(("linear_svm", "identification_8way", "", 0.6979, 96, 0.61, 0.79))
        else:
            add("retrieval_brain_to_image", "", skill, NUM_TEST, 0.06)
            add("retrieval_image_to_brain", "", skill + 0.05 * (skill > 0), NUM_TEST, 0.06)
            if "linear_ridge" in self.config.evaluate.baselines:
                for direction in ("brain_to_image", "image_to_brain"):
                    rows.append(("linear_ridge", f"retrieval_{direction}", "", 0.25, NUM_TEST, 0.1, 0.4))
        for picture in pictures:
            worse = {"lowlevel": 0.1, "unrefined": 0.02, "refined": 0.0}[picture]
            add("pixel_correlation", picture, 0.45 * skill + (0.12 if picture == "lowlevel" else 0), NUM_DECODED, 0.03)
            add("ssim", picture, 0.3 + 0.2 * skill, NUM_DECODED, 0.02)
            for name in TWO_WAY:
                add(name, picture, 0.5 + (0.5 * skill - worse) * (skill > 0), NUM_DECODED, 0.05)
            add("efficientnet", picture, 0.95 - 0.4 * skill, NUM_DECODED, 0.03)
        if not pictures:
            return self.write_metrics(folder, rows)
        add("rouge_1", "", 0.35 + 0.2 * skill, NUM_DECODED, 0.04)
        add("rouge_l", "", 0.3 + 0.2 * skill, NUM_DECODED, 0.04)
        for name in ("swav", "meteor", "brain_correlation_nsd_general", "brain_correlation_V1"):
            rows.append(("", name, pictures[-1] if name == "swav" else "", "", "", "", ""))
        return self.write_metrics(folder, rows)

    def write_metrics(self, folder: Path, rows: Sequence[tuple]) -> None:
        with (folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("baseline", "metric", "picture", "value", "n", "low", "high"))
            writer.writerows(rows)
