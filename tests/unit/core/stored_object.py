"""A small finished object."""

import json

from mindeye2.store import Store, spec_key


def put(store: Store, stage: str, config: dict, inputs: dict | None = None) -> str:
    """Build a small finished object; returns its key."""
    spec = {"format": 1, "stage": stage, "config": config, "code": "1", "inputs": inputs or {}, "sources": {}}
    key = spec_key(spec)
    work = store.work(stage, key)
    work.mkdir(parents=True)
    (work / "data.txt").write_text(json.dumps(config))
    with store.lock(stage, key) as lock:
        store.seal(stage, key, {"spec": spec})
        assert store.publish(stage, key, lock)
    return key
