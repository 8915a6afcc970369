"""What the shipped weights are: the command, versions and device that made them, their losses, quality and hashes."""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mindeye2.demo.networks.fit import Run

FILE = "manifest.json"
NOTES = "training"
LICENCE = "MIT, like the project: trained from scratch on pictures and captions that the project draws itself"
_LIBRARIES = ("torch", "diffusers", "transformers", "open_clip_torch", "numpy", "pillow")


def timed(name: str, train: Callable[[Run], dict[str, float | int]], run: Run) -> dict[str, Any]:
    """Train one network; its steps and last losses, and where and how it was made."""
    started = time.monotonic()
    outcome = train(run)
    on_gpu, scenes = run.device.type == "cuda", len(run.scenes.captions)
    return {
        "command": f"python -m mindeye2.demo.networks --out DIR --seed {run.seed} --scenes {scenes} --only {name}",
        "seed": run.seed,
        "share": run.share,
        "seconds": round(time.monotonic() - started),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in _LIBRARIES},
        "outcome": outcome,
    }


def write_note(out: Path, name: str, note: dict[str, Any]) -> None:
    """Keep a training's note until the manifest gathers them all."""
    (out / NOTES).mkdir(exist_ok=True)
    (out / NOTES / f"{name}.json").write_text(json.dumps(note, indent=1) + "\n")


def weight_files(folder: Path) -> list[Path]:
    """Every file of the networks, sorted: what lies in sub-folders, but no notes."""
    return sorted(path for path in folder.glob("*/**/*") if path.is_file() and path.parent != folder / NOTES)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(folder: Path, quality: dict[str, Any]) -> None:
    """Gather notes, quality and hashes of a finished folder; notes of an earlier manifest are kept."""
    written = folder / FILE
    earlier = json.loads(written.read_text())["training"] if written.is_file() else {}
    notes = {path.stem: json.loads(path.read_text()) for path in sorted((folder / NOTES).glob("*.json"))}
    files = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": digest(path)}
        for path in weight_files(folder)
    }
    content = {
        "licence": LICENCE,
        "bytes": sum(entry["size"] for entry in files.values()),
        "training": {**earlier, **notes},
        "quality": quality,
        "files": files,
    }
    written.write_text(json.dumps(content, indent=1) + "\n")
