"""Human names for finished objects: ``results/<run>/`` holds links, a manifest, the methods and the run's crate.

Nothing here reads them back but ``mindeye2 reproduce``.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from mindeye2 import crate
from mindeye2.garbage import VIEW_MANIFEST, register_root
from mindeye2.nodes import Plan
from mindeye2.plan import PLAN_FOLDER, plan_digest
from mindeye2.specs import frozen_file, read_frozen
from mindeye2.store import Store, file_sha256, write_atomically

RESULTS = Path("results")
TABLE_FILES = ("matrix.csv", "matrix.md", "matrix.tex", "report.html")
METHODS_FILES = ("methods.md", "methods.bib")


def view_file(digest: str) -> Path:
    return PLAN_FOLDER / "views" / f"{digest}.json"


def describe(plan: Plan) -> dict[str, Any]:
    """What ``results/<run>/manifest.json`` says: which object stands behind each name."""
    return {
        "run": plan.config.run.name,
        "digest": plan_digest(plan),
        "config": crate.portable(plan.config),
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
                "unclip": [cell.unclip.id] if cell.unclip else [],
                "evaluate": cell.evaluate.id,
            }
            for cell in plan.cells
        ],
        "objects": sorted(plan.nodes),
    }


def freeze_view(plan: Plan) -> None:
    """Write the view of a plan under the plan's digest: another plan of the same run, made while this one is built,
    leaves it alone."""
    write_atomically(view_file(plan_digest(plan)), json.dumps(describe(plan), indent=1))


def shows(plan: Plan) -> bool:
    """Whether ``results/<run>/`` is there and shows the objects of this plan."""
    try:
        shown = json.loads((RESULTS / plan.config.run.name / VIEW_MANIFEST).read_text())
        return shown["digest"] == plan_digest(plan)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(target, link.parent))


def write_view(digest: str, store: Store) -> None:
    """Make ``results/<run>/`` point at the objects of the plan with this digest, and a root of the store.

    The folder is built beside its final name and put in place at the end. Files of the user's own go with it.
    """
    description = json.loads(view_file(digest).read_text())
    run = description["run"]
    final, draft, before = RESULTS / run, RESULTS / f".{run}.{os.getpid()}", RESULTS / f".{run}.before"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name in TABLE_FILES:
        _link(draft / name, store.root / description["tables"] / name)
    for cell in description["cells"]:
        folder = draft / cell["variant"] / f"subj{cell['subject']:02d}" / f"{cell['sessions']}sess"
        if len({other["seed"] for other in description["cells"]}) > 1:
            folder /= f"seed{cell['seed']}"
        _link(folder / "evaluate", store.root / cell["evaluate"])
        for stage in ("finetune", "unclip", "reconstruct", "refine"):
            for fold, name in enumerate(cell[stage], start=1):
                many = len(cell[stage]) > 1
                _link(folder / (f"fold{fold:02d}/{stage}" if many else stage), store.root / name)
    (draft / VIEW_MANIFEST).write_text(json.dumps(description, indent=1) + "\n")
    _write_provenance(draft, description, store)

    # Links are relative to the folder's depth, which is the same for both names. A root whose view is not there yet
    # keeps nothing; the other way round, a kill in between would leave a view whose objects may be collected.
    register_root(final, description["objects"], store)
    _move_own_files(before, draft)
    if final.exists():
        os.rename(final, before)
    os.rename(draft, final)
    _move_own_files(before, final)


def _move_own_files(before: Path, view: Path) -> None:
    """Take along what lies in an earlier view under names of the user's, such as notes or figures; delete the rest."""
    made = {VIEW_MANIFEST, crate.FILE, *METHODS_FILES}
    for place, _, names in os.walk(before):
        for name in names:
            path = Path(place, name)
            inside = path.relative_to(before)
            if not path.is_symlink() and str(inside) not in made and not os.path.lexists(view / inside):
                (view / inside).parent.mkdir(parents=True, exist_ok=True)
                os.rename(path, view / inside)
    shutil.rmtree(before, ignore_errors=True)


def _write_provenance(folder: Path, description: dict[str, Any], store: Store) -> None:
    """``methods.md``, ``methods.bib`` and the crate, from this plan's specs and the manifests of the store."""
    from mindeye2.report.methods import write_methods

    records = []
    for name in description["objects"]:
        stage, key = name.split("/")
        frozen = read_frozen(frozen_file(stage, key))
        manifest = store.manifest(stage, key) if store.has(stage, key) else None
        records.append(crate.Record(name, frozen["names"], frozen["spec"], manifest))
    write_methods(
        folder,
        run=description["run"],
        config=description["config"],
        cells=description["cells"],
        store=store.root,
        manifests=[record.manifest for record in records if record.manifest is not None],
    )
    files = {
        name: {"size": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)}
        for name in (*TABLE_FILES, *METHODS_FILES)
    }
    content = crate.build(run=description["run"], config=description["config"], records=records, files=files)
    (folder / crate.FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
