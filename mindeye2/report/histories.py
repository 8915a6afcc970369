"""Loss curves of every training run behind the tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mindeye2.objects import damaged, read_csv
from mindeye2.report.cells import Cell
from mindeye2.report.figures import Line, Panel, Point, curves
from mindeye2.report.words import plural

HISTORY = "history.csv"
_AXES = ("epoch", "step")
_NOT_SHOWN = (*_AXES, "loss", "seconds")


_TITLES = {
    "prior": "prior loss",
    "clip": "contrastive CLIP loss",
    "lowlevel": "low-level loss",
    "contrastive": "low-level contrastive loss",
    "lr": "learning rate",
    "brain_to_image": "brain → image in the batch",
    "image_to_brain": "image → brain in the batch",
}

_NO_SESSIONS = {"pretrain": "other subjects", "unclip": "pictures alone"}
"""What a training is on that is on no session of the decoded subject."""

Curve = list[tuple[float, float]]
"""(x, value) of the epochs or steps at which a value was written."""


@dataclass(frozen=True)
class TrainingRun:
    """One training run: the variant that used it first, its sessions (0: other subjects'), what it is called."""

    variant: str
    sessions: int
    label: str
    axis: str
    curves: Mapping[str, Curve]


def read_runs(cells: Sequence[Cell], stage: str, unit: str) -> list[TrainingRun]:
    """Every training run of ``pretrain``, ``finetune`` or ``unclip`` once, though cells may share it.

    A model that was imported instead has no history.
    """
    found: dict[Path, TrainingRun] = {}
    for cell in cells:
        if stage == "pretrain":
            runs = [(cell.pretrain, 0, f"without subject {cell.subject}")] if cell.pretrain else []
        elif stage == "unclip":
            runs = [(cell.unclip, 0, "of no subject")] if cell.unclip else []
        else:
            held = [f", fold {fold}" if len(cell.finetune) > 1 else "" for fold in range(1, len(cell.finetune) + 1)]
            where = f"subject {cell.subject}, {plural(cell.sessions, unit)}"
            runs = [(folder, cell.sessions, where + part) for folder, part in zip(cell.finetune, held, strict=True)]
        for folder, sessions, where in runs:
            if folder not in found and (folder / HISTORY).exists():
                label = f"{cell.variant}, {where}, seed {cell.seed}"
                found[folder] = TrainingRun(cell.variant, sessions, label, *read_history(folder))
    return list(found.values())


def read_history(folder: Path) -> tuple[str, dict[str, Curve]]:
    """The x axis (``epoch`` or ``step``) of a history.csv and the curve of each other column that has values."""
    path = folder / HISTORY
    rows = read_csv(path)
    axis = next((name for name in _AXES if rows and name in rows[0]), None)
    if axis is None:
        raise damaged(path, "no rows with a column epoch or step")
    curves_of = {}
    for name in rows[0]:
        if name not in _AXES:
            pairs = [(_value(row[axis]), _value(row[name])) for row in rows]
            curves_of[name] = [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
    return axis, {name: curve for name, curve in curves_of.items() if curve}


def _value(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


@dataclass(frozen=True)
class Histories:
    """The plots of one stage; ``series`` gives each variant's colour."""

    runs: Sequence[TrainingRun]
    stage: str
    series: Mapping[str, int]
    unit: str

    def totals(self) -> list[Panel]:
        """Total loss of every run: one panel per number of sessions, one thin line per run."""
        panels = []
        for sessions in sorted({run.sessions for run in self.runs}):
            where = plural(sessions, self.unit) if sessions else _NO_SESSIONS[self.stage]
            members = [run for run in self.runs if run.sessions == sessions and "loss" in run.curves]
            panels += [self._panel(f"{self.stage}: loss, {where}", members, "loss")] if members else []
        return panels

    def parts(self, sessions: int) -> list[Panel]:
        """Every other column of the runs with that many sessions, one panel each."""
        members = [run for run in self.runs if run.sessions in (0, sessions)]
        names = dict.fromkeys(name for run in members for name in run.curves if name not in _NOT_SHOWN)
        return [
            self._panel(
                f"{self.stage}: {_TITLES.get(name, name)}", [run for run in members if name in run.curves], name
            )
            for name in names
        ]

    def _panel(self, title: str, runs: Sequence[TrainingRun], column: str) -> Panel:
        lines = [
            Line(self.series[run.variant], [Point(x, y, said=run.label) for x, y in run.curves[column]], thin=True)
            for run in runs
        ]
        return Panel(title, curves(lines, said=f"{title}, over {runs[0].axis}s", x_label=runs[0].axis))
