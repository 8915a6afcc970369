"""A plan's objects as if they had been built: manifests, and the few files that the view reads."""

import csv
import json
import socket
from pathlib import Path

import whole_tree

from mindeye2.config import Config, parse_config
from mindeye2.nodes import Plan
from mindeye2.plan import make_plan, plan_digest
from mindeye2.specs import freeze
from mindeye2.store import Store
from mindeye2.views import TABLE_FILES, freeze_view, write_view

SETTINGS = {
    "run": {"name": "small"},
    "dataset": {"sessions": {1: 2, 2: 2, 3: 1}},
    "matrix": {"subjects": [1, 2], "sessions": [1, 2]},
    "evaluate": {"usual_caches": False},
}


def settings_in(root: Path, **sections) -> dict:
    """A configuration whose paths lie below ``root``."""
    paths = {name: str(root / name) for name in ("dataset", "captions", "weights", "models", "store")}
    return {**SETTINGS, **sections, "paths": paths}


def data_in(root: Path) -> None:
    whole_tree.write(root, "nsd", sessions={1: 2, 2: 2, 3: 1})


def finish(root: Path, **sections) -> tuple[Config, Plan, Path]:
    """Plan, "build" and view a run in the present folder; returns the folder of its results."""
    config = parse_config(settings_in(root, **sections))
    plan, store = make_plan(config), Store(root / "store")
    freeze(plan)
    freeze_view(plan)
    for node in plan.nodes.values():
        folder = store.object(node.stage, node.key)
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps(_manifest(node)))
        if node.stage in ("pretrain", "finetune"):
            (folder / "history.csv").write_text("epoch,step\n1,60\n2,120\n")
            sizes = {"voxels": [15724], "tokens": 256, "clip_dim": 1664, "retrieval": True, "lowlevel_latents": [4, 28]}
            (folder / "model.json").write_text(json.dumps({"sizes": sizes}))
    tables = store.object("tables", plan.tables.key)
    for name in TABLE_FILES:
        (tables / name).write_text(name)
    _matrix(tables / "matrix.csv", plan)
    write_view(plan_digest(plan), store)
    return config, plan, Path("results/small")


def _manifest(node) -> dict:
    return {
        "stage": node.stage,
        "key": node.key,
        "spec": node.spec,
        "names": node.names,
        "code": "0123456789abcdef0123",
        "git": "3f2a9c1d5e7b8a6049c2",
        "versions": {"python": "3.11.9", "torch": "2.14.1", "snakemake": "9.27.0"},
        "host": socket.gethostname(),
        "device": "cpu (x86_64)",
        "start": "2026-03-01T10:00:00Z",
        "end": "2026-03-02T10:01:35Z",
        "seconds": 95.25,
        "seed": None,
    }


def _matrix(path: Path, plan: Plan) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("variant", "subject", "sessions", "metric", "picture", "seed", "value", "n", "low", "high"))
        for cell in plan.cells:
            where = (cell.variant, cell.subject, cell.sessions)
            writer.writerow((*where, "retrieval_brain_to_image", "", cell.seed, 0.5, 1000, 0.4, 0.6))
            writer.writerow((*where, "ssim", "refined", cell.seed, 0.4, 1000, 0.3, 0.5))
            writer.writerow((*where, "swav", "refined", cell.seed, "", "", "", ""))
