"""Human names for finished objects: ``results/<run>/`` holds links and a manifest; nothing reads them back."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from mindeye2.garbage import register_root
from mindeye2.nodes import Plan
from mindeye2.plan import PLAN_FOLDER, plan_digest
from mindeye2.store import Store, write_atomically

RESULTS = Path("results")
TABLE_FILES = ("matrix.csv", "matrix.md", "matrix.tex", "report.html")


def view_file(run: str) -> Path:
    return PLAN_FOLDER / "views" / f"{run}.json"


def describe(plan: Plan) -> dict[str, Any]:
    """What ``results/<run>/manifest.json`` says: which object stands behind each name."""
    return {
        "run": plan.config.run.name,
        "digest": plan_digest(plan),
        "tables": plan.tables.id,
        "cells": [
            {
                "variant": cell.variant,
                "subject": cell.subject,
                "sessions": cell.sessions,
                "seed": cell.seed,
                "pretrain": cell.pretrain.id if cell.pretrain else None,
                "finetune": [node.id for node in cell.finetune],
                "reconstruct": [node.id for node in cell.reconstruct],
                "refine": [node.id for node in cell.refine],
                "evaluate": cell.evaluate.id,
            }
            for cell in plan.cells
        ],
        "objects": sorted(plan.nodes),
    }


def freeze_view(plan: Plan) -> None:
    write_atomically(view_file(plan.config.run.name), json.dumps(describe(plan), indent=1))


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))


def write_view(run: str, store: Store) -> None:
    """Make ``results/<run>/`` point at the present objects and register it as a root of the store.

    The folder is built beside its final name and put in place at the end.
    """
    description = json.loads(view_file(run).read_text())
    final, draft = RESULTS / run, RESULTS / f".{run}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name in TABLE_FILES:
        _link(draft / name, store.root / description["tables"] / name)
    for cell in description["cells"]:
        folder = draft / cell["variant"] / f"subj{cell['subject']:02d}" / f"{cell['sessions']}sess"
        if len({other["seed"] for other in description["cells"]}) > 1:
            folder /= f"seed{cell['seed']}"
        _link(folder / "evaluate", store.root / cell["evaluate"])
        for stage in ("finetune", "reconstruct", "refine"):
            for fold, name in enumerate(cell[stage], start=1):
                many = len(cell[stage]) > 1
                _link(folder / (f"fold{fold:02d}/{stage}" if many else stage), store.root / name)
    (draft / "manifest.json").write_text(json.dumps(description, indent=1) + "\n")

    # Links are relative to the folder's depth, which is the same for both names.
    shutil.rmtree(final, ignore_errors=True)
    os.rename(draft, final)
    register_root(final / "manifest.json", store)
