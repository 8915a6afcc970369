"""Why an object is missing: what differs from the nearest stored object of its stage."""

import json
from typing import Any

from mindeye2.nodes import Node, Plan
from mindeye2.store import Store


def leaves(content: Any, path: str = "") -> dict[str, Any]:
    """``{"finetune": {"max_lr": 1}}`` -> ``{"finetune.max_lr": 1}``."""
    if isinstance(content, dict) and content:
        found: dict[str, Any] = {}
        for name, value in content.items():
            found.update(leaves(value, f"{path}.{name}" if path else name))
        return found
    return {path: content}


def differences(wanted: dict[str, Any], stored: dict[str, Any], *, kept: str = "stored") -> list[str]:
    """One phrase per difference between two specs of a stage, the ``kept`` one named second."""
    found = []
    new, old = leaves(wanted["config"]), leaves(stored["config"])
    for name in sorted(new.keys() | old.keys()):
        if new.get(name) != old.get(name):
            found.append(f"{name} is {_short(new.get(name))}, {kept} with {_short(old.get(name))}")
    if wanted["code"] != stored["code"]:
        found.append(f"its code is {wanted['code']}, {kept} with {stored['code']}")
    new, old = wanted["sources"], stored["sources"]
    for name in sorted(new.keys() | old.keys()):
        if new.get(name) != old.get(name):
            change = "changed" if name in new and name in old else "added" if name in new else "removed"
            found.append(f"raw file {name} was {change}")
    new, old = wanted["inputs"], stored["inputs"]
    for role in sorted(new.keys() | old.keys()):
        if new.get(role) != old.get(role):
            found.append(f"input {role} is another object")
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def explain(plan: Plan, store: Store, nodes: list[Node] | None = None) -> list[tuple[Node, str]]:
    """Every missing node, or these missing ``nodes``, with the reason.

    The nearest stored object is the one with the fewest differences; where only inputs differ, the reason
    lies with them and they are listed themselves.
    """
    stored: dict[str, list[dict]] = {}
    found = []
    for node in plan.missing(store) if nodes is None else nodes:
        if node.stage not in stored:
            stored[node.stage] = _specs(store, node.stage)
        candidates = [(differences(node.spec, spec), spec) for spec in stored[node.stage]]
        if not candidates:
            found.append((node, f"no {node.stage} is stored yet"))
            continue
        nearest = min((phrases for phrases, _ in candidates), key=len)
        found.append((node, "; ".join(nearest) or "it was removed or set aside"))
    return found


def _specs(store: Store, stage: str) -> list[dict]:
    specs = []
    for key in sorted(store.keys(stage)):
        try:
            specs.append(store.manifest(stage, key)["spec"])
        except (OSError, ValueError, KeyError):
            continue
    return specs
