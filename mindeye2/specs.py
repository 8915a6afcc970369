"""What the planner leaves on the disk for the jobs: one frozen spec per node, and stamps for what is stored."""

import json
import os
import time
from pathlib import Path
from typing import Any

from mindeye2.errors import UserError
from mindeye2.nodes import Node, Plan
from mindeye2.plan import PLAN_FOLDER
from mindeye2.store import Store, spec_key, write_atomically

STAMP_FOLDER = Path(".stamps")
PUBLISHED_PX = 224
"""Side of the smallest pictures that a published network sees."""
LIGHT_DIM = 1024


def frozen_file(stage: str, key: str) -> Path:
    return PLAN_FOLDER / stage / f"{key}.json"


def called(names: list[str]) -> str:
    """The first three of an object's names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def size_of(node: Node, plan: Plan) -> str:
    """``miniature``, ``light`` or ``paper``: what the rules ask a cluster for goes by it.

    By the width of the model that the object is, or is decoded with; what has none is of the paper's size.
    """
    if plan.config.stimuli.image_px < PUBLISHED_PX:
        return "miniature"
    decoded = [plan.nodes[name] for name in node.spec["inputs"].get("finetune", ())]
    models = [each.spec["config"]["model"] for each in (node, *decoded) if "model" in each.spec["config"]]
    return "light" if models and all(model["hidden_dim"] <= LIGHT_DIM for model in models) else "paper"


def freeze(plan: Plan) -> None:
    """Write ``.plan/<stage>/<key>.json`` for every node: all that a queued job will ever read.

    A configuration edited while jobs wait thus cannot end up under an old key. Where data lies, and the
    unkeyed settings, are written beside the spec, outside of what the key covers.
    """
    config = plan.config
    paths = {
        name: os.path.abspath(Path(getattr(config.paths, name)).expanduser())
        for name in ("dataset", "captions", "weights", "pictures")
    }
    for node in plan.nodes.values():
        path = frozen_file(node.stage, node.key)
        sections = node.spec["config"].keys() & type(config).model_fields.keys() - {"run", "config"}
        free = {name: getattr(config, name).free() for name in sorted(sections)}
        frozen = {
            "key": node.key,
            "names": node.names,
            "paths": paths,
            "networks": {name: os.path.abspath(place) for name, place in node.networks.items()},
            "free": free,
            "run": config.run.name,
            "size": size_of(node, plan),
            "spec": node.spec,
        }
        text = json.dumps(frozen, indent=1)
        if not path.exists() or path.read_text() != text:
            write_atomically(path, text)


def read_frozen(path: Path) -> dict[str, Any]:
    """A frozen spec; UserError when it is missing, unreadable or does not give its key."""
    try:
        content = json.loads(path.read_text())
        key, spec = content["key"], content["spec"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: not a frozen spec ({error}); plan again by running snakemake") from None
    if spec_key(spec) != key or path.stem != key:
        raise UserError(
            f"{path}: its spec does not give the key {key}, so it was edited; plan again by running snakemake"
        )
    return content


def sync_stamps(plan: Plan, store: Store) -> None:
    """Make a stamp exist exactly where the store holds the object; the main process alone does this.

    A stamp of tomorrow, left by a clock that was ahead, is renewed: Snakemake fails jobs older than their inputs.
    """
    missing = {node.id for node in plan.missing(store)}
    for node in plan.nodes.values():
        stamp = STAMP_FOLDER / node.stage / node.key
        if node.id in missing:
            # A job of a run in this folder may have stored it since.
            if stamp.exists() and not store.has(node.stage, node.key):
                stamp.unlink(missing_ok=True)
        elif not stamp.exists() or stamp.stat().st_mtime > time.time():
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.touch()
