"""``mindeye2 status``: how far a run is, what works on it, what stopped, and what it costs."""

from collections import Counter
from collections.abc import Iterator

from mindeye2 import activity
from mindeye2.identity import STAGES
from mindeye2.nodes import Node, Plan
from mindeye2.permissions import group_name, shared_group
from mindeye2.specs import called
from mindeye2.store import Store
from mindeye2.units import counted, read_bytes, show_bytes
from mindeye2.usage import Record, records, used_bytes


def describe(plan: Plan, store: Store) -> Iterator[str]:
    """Lines for a terminal."""
    stored, running = records(store), activity.building(store)
    missing = [node for node in plan.missing(store) if node.id not in running]
    absent = {node.id for node in missing} | running.keys()
    here = {record.id: record for record in stored if record.id in plan.nodes}
    at_work = [node for node in plan.ordered() if node.id in running]

    states = Counter(_state(node, absent, running) for node in plan.ordered())
    total = counted(len(plan.nodes), "object")
    yield (
        f"{plan.config.run.name}: {total}, {states['stored']} stored, {states['running']} running, "
        f"{states['missing']} missing"
    )
    yield ""
    yield from _table(plan, here, absent, running)
    if at_work:
        yield from ("", "running")
        yield from _aligned([(f"  {node.stage}", called(node.names), str(running[node.id])) for node in at_work])
    halted = activity.stopped(missing)
    if halted:
        yield from ("", "stopped")
        for stop in halted:
            yield f"  {stop.node.stage} {called(stop.node.names)}: {stop.line}"
            yield f"    log: {stop.log}"
    yield ""
    yield from _reuse(plan, here)
    yield _space(plan, store, stored, here)


def _state(node: Node, absent: set[str], running: dict) -> str:
    return "running" if node.id in running else "missing" if node.id in absent else "stored"


def _table(plan: Plan, here: dict[str, Record], absent: set[str], running: dict) -> Iterator[str]:
    """One row per stage of the plan, and their sum."""
    rows = [("stage", "stored", "running", "missing", "disk", "hours", "GPU hours")]
    stages = [stage for stage in STAGES if any(node.stage == stage for node in plan.nodes.values())]
    for stage in (*stages, "all"):
        nodes = [node for node in plan.ordered() if stage in (node.stage, "all")]
        states = Counter(_state(node, absent, running) for node in nodes)
        costs = [here[node.id] for node in nodes if node.id in here]
        counts = (str(states[state]) for state in ("stored", "running", "missing"))
        rows.append((stage, *counts, show_bytes(sum(cost.bytes for cost in costs)), *_hours(costs)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join((first.ljust(widths[0]), *numbers))


def _hours(costs: list[Record], times: list[int] | None = None) -> tuple[str, str]:
    """Hours, and hours times GPUs, of some objects, each counted so many times."""
    times = times or [1] * len(costs)
    plain = sum(cost.seconds * count for cost, count in zip(costs, times, strict=True)) / 3600
    gpu = sum(cost.seconds * cost.gpus * count for cost, count in zip(costs, times, strict=True)) / 3600
    return f"{plain:.2f}", f"{gpu:.2f}"


def _reuse(plan: Plan, here: dict[str, Record]) -> Iterator[str]:
    """What the store spared this run, in hours of the objects that are there.

    Built for another run: stored objects of the plan whose manifest names another ``run.name``. Shared by cells: an
    object that n cells of the matrix rest on was built once, where each cell by itself would have built it n times.
    """
    run = plan.config.run.name
    foreign = [cost for cost in here.values() if cost.run not in (None, run)]
    cells = _cells(plan)
    shared = [cost for cost in here.values() if cells[cost.id] > 1]
    saved = {
        "built for other runs": (foreign, None),
        "shared by cells": (shared, [cells[cost.id] - 1 for cost in shared]),
    }
    lines = []
    for name, (costs, times) in saved.items():
        hours, gpu_hours = _hours(costs, times)
        head = "" if lines else "saved by reuse"
        lines.append((head, name, counted(len(costs), "object"), f"{hours} h, {gpu_hours} GPU h"))
    yield from _aligned(lines)


def _cells(plan: Plan) -> Counter:
    """``stage/key`` -> on how many cells of the matrix it has a part."""
    counts: Counter = Counter()
    for cell in plan.cells:
        counts.update(plan.below(cell.evaluate))
    return counts


def _space(plan: Plan, store: Store, stored: list[Record], here: dict[str, Record]) -> str:
    used, own = used_bytes(store, stored), sum(cost.bytes for cost in here.values())
    group = shared_group(store.root)
    access = "private" if group is None else f"shared with the group {group_name(group)}"
    quota = plan.config.store.quota
    limit = f", {used / read_bytes(quota):.0%} of store.quota {quota}" if quota else ""
    return f"store {store.root} ({access}): {show_bytes(used)}{limit}, of which {show_bytes(own)} of this run"


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
