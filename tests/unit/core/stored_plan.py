"""The plan of the shipped real brain, and small stand-ins of its objects in a store."""

import json
import os
from pathlib import Path

from mindeye2.config import load_config
from mindeye2.nodes import Node, Plan
from mindeye2.plan import make_plan
from mindeye2.store import Store

HAXBY = Path(__file__).parents[3] / "config" / "haxby.yaml"


def haxby_plan(folder: Path, *assignments: str) -> Plan:
    """Two variants that share all training; the paths are relative to the repository."""
    variants = "matrix.variants={default: {}, noise: {reconstruct: {voxels: noise}}}"
    return make_plan(load_config(HAXBY, [variants, *assignments]), folder)


def put(
    store: Store, node: Node, *, seconds: float = 360.0, gpus: int = 1, run: str = "haxby", size: int = 100
) -> None:
    """A finished object of a node, with that many bytes, and a manifest as the runner writes it."""
    work = store.work(node.stage, node.key)
    work.mkdir(parents=True)
    (work / "data.bin").write_bytes(bytes(size))
    manifest = {"spec": node.spec, "seconds": seconds, "gpus": gpus, "run": run, "names": node.names}
    manifest |= {"device": "cpu (x86_64)", "host": "here", "end": "2026-01-01T00:00:00Z"}
    with store.lock(node.stage, node.key) as lock:
        store.seal(node.stage, node.key, manifest)
        assert store.publish(node.stage, node.key, lock)


def put_many(store: Store, node: Node, count: int) -> None:
    """Objects that consist of a manifest like the node's."""
    manifest = {"spec": node.spec, "seconds": 1.0, "gpus": 0, "run": "haxby", "files": {"a": {"size": 1}}}
    folder = store.root / node.stage
    folder.mkdir(parents=True)
    (store.root / ".manifest").write_text(json.dumps(manifest))
    for number in range(count):
        os.mkdir(f"{folder}/{number:020x}")
        os.link(store.root / ".manifest", f"{folder}/{number:020x}/manifest.json")
