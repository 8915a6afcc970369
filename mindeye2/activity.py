"""What is being built now and what stopped: from the locks and work folders of a store, and this checkout's logs."""

import json
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mindeye2.locks import TAKEOVER_S, is_gone, read_owner
from mindeye2.nodes import Node, Plan
from mindeye2.permissions import user_name
from mindeye2.progress import REPORT_FILE, clock
from mindeye2.specs import called
from mindeye2.store import Store

LOGS = Path("logs")
LOCK = re.compile(r"\.([0-9a-f]{20})\.lock")
TAIL_BYTES = 1 << 16
AT_WORK = re.compile(
    r": \d+/\d+  \S+ spent, \S+ left|^\w+ [0-9a-f]{20}: building |: going on after step |^waiting for "
)
"""Lines of a log after which a job would have gone on: one that ends so was killed."""


@dataclass(frozen=True)
class Building:
    """One object that is being built: where and by whom, since when, how far, and how long nothing was heard."""

    host: str
    user: str
    seconds: float | None
    silent: float
    report: dict | None
    """What its longest loop last said: label, done, total, left (seconds), values and time; None before it said any."""

    def __str__(self) -> str:
        parts = [f"{self.host}, {self.user}"]
        if self.seconds is not None:
            parts.append(f"for {clock(max(self.seconds, 0.0))}")
        if self.report is not None:
            parts.append(f"{self.report['label']} {self.report['done']}/{self.report['total']}")
            parts += [f"{name} {value:.4g}" for name, value in self.report["values"].items()]
            left = self.report["left"] - (time.time() - self.report["time"])
            parts.append(f"{clock(max(left, 0.0))} left")
        if self.silent > TAKEOVER_S:
            parts.append(f"no sign of life for {clock(self.silent)}: its place is taken over by the next who asks")
        return ", ".join(parts)


@dataclass(frozen=True)
class Stopped:
    """An object whose last attempt did not finish: what the end of its log says, and where the log is."""

    node: Node
    line: str
    log: Path


def building(store: Store) -> dict[str, Building]:
    """``stage/key`` -> what is known of its builder; locks of processes that are known to be gone are left out."""
    found = {}
    for stage in store.stages():
        with os.scandir(store.root / stage) as entries:
            keys = [match[1] for entry in entries if (match := LOCK.fullmatch(entry.name))]
        for key in sorted(keys):
            path = store.lock(stage, key).path
            try:
                owner, status = read_owner(path), path.stat()
            except FileNotFoundError:
                continue
            if owner is None or is_gone(owner):
                continue
            now = time.time()
            found[f"{stage}/{key}"] = Building(
                owner.get("host", "?"),
                user_name(status.st_uid),
                now - owner["since"] if "since" in owner else None,
                now - status.st_mtime,
                _report(store.work(stage, key) / REPORT_FILE, since=owner.get("since", 0.0)),
            )
    return found


def _report(path: Path, *, since: float) -> dict | None:
    """What a job last said of its progress; nothing of what an earlier attempt said, by the clock of both."""
    try:
        report = json.loads(path.read_text())
        return report if report["time"] >= since else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def log_of(node: Node) -> Path:
    return LOGS / node.stage / f"{node.key}.log"


def last_line(path: Path) -> str:
    """The last line of a text file that is not blank; nothing of one that is empty or not there."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - TAIL_BYTES, 0))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def stopped(nodes: Iterable[Node], *, since: float = 0.0) -> list[Stopped]:
    """Of objects neither stored nor being built, those that this checkout has logs of, newer than ``since``."""
    found = []
    for node in nodes:
        log = log_of(node)
        line = last_line(log)
        # What was stored and is there no more, damaged or collected, did not stop.
        if line and log.stat().st_mtime >= since and not line.startswith(f"{node.stage} {node.key}: done in "):
            said = f"killed, without an error of its own, after: {line}" if AT_WORK.search(line) else line
            found.append(Stopped(node, said, log))
    return found


def failures(plan: Plan, store: Store, *, since: float) -> list[str]:
    """What a terminal shows at the end of a run that failed: each stopped object, its last line, its log."""
    now = building(store)
    halted = stopped((node for node in plan.missing(store) if node.id not in now), since=since)
    return [f"failed: {stop.node.stage} {called(stop.node.names)}: {stop.line} (log: {stop.log})" for stop in halted]
