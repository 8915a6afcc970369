"""What the objects of a store cost, from their manifests: space, time, GPUs; and what a plan will still need."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mindeye2.errors import UserError
from mindeye2.nodes import Node, Plan
from mindeye2.store import DAMAGED, Store
from mindeye2.units import counted, read_bytes, show_bytes

GB = 1000**3
EXPECTED_BYTES = {
    "stimuli": 22 * GB,
    "behav": GB,
    "betas": 2 * GB,
    "targets": 20 * GB,
    "targets/clip": 63 * GB,
    "pretrain": 9 * GB,
    "finetune": 9 * GB,
    "unclip": 6 * GB,
    "reconstruct": 4 * GB,
    "refine": 4 * GB,
    "evaluate": GB // 100,
    "tables": GB // 100,
}
"""What an object of a stage takes at the paper's size, where none like it is stored: rounded up, not measured."""


@dataclass(frozen=True)
class Record:
    """One finished object: ``seconds`` of the attempt that finished it, on ``gpus`` GPUs, for the run ``run``."""

    stage: str
    key: str
    kind: str
    bytes: int
    seconds: float
    gpus: int
    run: str | None

    @property
    def id(self) -> str:
        return f"{self.stage}/{self.key}"


def kind(spec: dict[str, Any]) -> str:
    """What objects of like size share: the stage, and of targets the network too."""
    network = spec["config"].get("network")
    return f"{spec['stage']}/{network}" if network else spec["stage"]


def records(store: Store) -> list[Record]:
    """Every object of a store whose manifest can be read; one small file each."""
    found = []
    for stage, key in store.objects():
        try:
            manifest = store.manifest(stage, key)
            size = sum(file["size"] for file in manifest["files"].values())
            gpus = manifest["gpus"] if "gpus" in manifest else int(not manifest["device"].startswith("cpu"))
            about = (float(manifest["seconds"]), gpus, manifest.get("run"))
            found.append(Record(stage, key, kind(manifest["spec"]), size, *about))
        except (OSError, ValueError, KeyError):
            continue
    return found


def expected_bytes(nodes: Iterable[Node], stored: Iterable[Record]) -> int:
    """Size of objects to be: each as the mean of the stored ones of its kind, or as EXPECTED_BYTES says."""
    sizes: dict[str, list[int]] = {}
    for record in stored:
        sizes.setdefault(record.kind, []).append(record.bytes)
    total = 0
    for node in nodes:
        known = sizes.get(kind(node.spec))
        default = EXPECTED_BYTES.get(kind(node.spec), EXPECTED_BYTES[node.stage])
        total += round(sum(known) / len(known)) if known else default
    return total


def used_bytes(store: Store, stored: Iterable[Record]) -> int:
    """What a store holds: finished objects, by their manifests, and what is unfinished or was set aside."""
    works = [path for stage in store.stages() for path in (store.root / stage).glob("*.work")]
    return sum(record.bytes for record in stored) + sum(map(store.size, (*works, store.root / DAMAGED)))


def check_quota(plan: Plan, store: Store) -> None:
    """UserError where what the plan has yet to build does not fit into ``store.quota``."""
    quota, missing = plan.config.store.quota, plan.missing(store)
    if quota is None or not missing:
        return
    stored = records(store)
    used, needed, allowed = used_bytes(store, stored), expected_bytes(missing, stored), read_bytes(quota)
    if used + needed > allowed:
        building = f"building {counted(len(missing), 'object')} needs about {show_bytes(needed)}"
        raise UserError(
            f"store.quota: {quota} is {show_bytes(allowed)}, of which {store.root} takes {show_bytes(used)}, and "
            f"{building}; plan less, make room by mindeye2 gc or raise it"
        )
