"""Where each number comes from: keys of the objects behind it, and what their manifests say.

Manifests also hold the name of the machine; it is never printed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from mindeye2.report.cells import Cell, read_manifest
from mindeye2.report.dag import STAGES

# What stages that the tables do not read themselves take in: their manifests are not at hand, and it never varies.
_FIRST_EDGES = (("stimuli", "targets"), ("behav", "betas"))


@dataclass(frozen=True)
class StageRecord:
    """What is known of a stage's objects; times and devices only where their manifests were at hand."""

    stage: str
    objects: int
    seconds: float | None
    first: str
    last: str
    devices: tuple[str, ...]
    code: tuple[str, ...]
    commits: tuple[str, ...]

    @property
    def dates(self) -> str:
        days = [_day(self.first), _day(self.last)]
        return " – ".join(dict.fromkeys(filter(None, days)))


@dataclass(frozen=True)
class Provenance:
    stages: tuple[StageRecord, ...]
    edges: tuple[tuple[str, str], ...]
    versions: Mapping[str, str]

    @property
    def finished(self) -> str:
        """Day on which the last object was finished."""
        return _day(max(record.last for record in self.stages))


def _day(moment: str) -> str:
    """``2026-03-01T10:02:03Z`` -> ``1 March 2026``."""
    if not moment:
        return ""
    day = date.fromisoformat(moment[:10])
    return f"{day.day} {day:%B %Y}"


def duration(seconds: float | None) -> str:
    """``95`` -> ``1 min 35 s``, ``7300`` -> ``2 h 2 min``; an en dash for None."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def trace(inputs: Mapping[str, Sequence[Path]]) -> Provenance:
    """Every object that the inputs' manifests know of: the inputs themselves and what they read in turn."""
    manifests = {folder: read_manifest(folder) for folders in inputs.values() for folder in folders}
    objects: dict[str, set[str]] = {"tables": {"this"}}
    edges = set(_FIRST_EDGES)
    for manifest in manifests.values():
        stage = manifest["stage"]
        objects.setdefault(stage, set()).add(manifest["key"])
        edges.add((stage, "tables"))
        for names in manifest["spec"]["inputs"].values():
            for name in names:
                source, _, key = name.partition("/")
                objects.setdefault(source, set()).add(key)
                edges.add((source, stage))
    return Provenance(
        stages=tuple(
            _record(stage, len(objects[stage]), [m for m in manifests.values() if m["stage"] == stage])
            for stage in STAGES
            if stage in objects
        ),
        edges=tuple(sorted((a, b) for a, b in edges if a in objects and b in objects)),
        versions=_versions(manifests.values()),
    )


def _record(stage: str, objects: int, manifests: Sequence[Mapping[str, Any]]) -> StageRecord:
    def distinct(name: str) -> tuple[str, ...]:
        return tuple(sorted({manifest[name] for manifest in manifests if manifest.get(name)}))

    return StageRecord(
        stage=stage,
        objects=objects,
        seconds=sum(float(manifest["seconds"]) for manifest in manifests) if manifests else None,
        first=min((manifest["start"] for manifest in manifests), default=""),
        last=max((manifest["end"] for manifest in manifests), default=""),
        devices=distinct("device"),
        code=distinct("code"),
        commits=distinct("git"),
    )


def _versions(manifests: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Version of each package; several where the objects were made with different ones."""
    found: dict[str, set[str]] = {}
    for manifest in manifests:
        for package, version in manifest["versions"].items():
            found.setdefault(package, set()).add(version)
    return {package: ", ".join(sorted(versions)) for package, versions in found.items()}


def keys_of(cell: Cell) -> dict[str, list[str]]:
    """Stage -> keys of the objects behind a cell, from its evaluation back to its pretraining."""
    return {
        "evaluate": [cell.evaluate.name],
        "refine": [folder.name for folder in cell.refine],
        "reconstruct": [folder.name for folder in cell.reconstruct],
        "finetune": [folder.name for folder in cell.finetune],
        "pretrain": [cell.pretrain.name] if cell.pretrain else [],
    }
