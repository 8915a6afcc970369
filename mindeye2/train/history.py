"""The training history: one row per epoch in history.csv, and its picture."""

import csv
import io
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = (
    "epoch",
    "step",
    "loss",
    "prior",
    "clip",
    "lowlevel",
    "contrastive",
    "lr",
    "brain_to_image",
    "image_to_brain",
    "seconds",
)
"""Losses are means over the epoch's steps, unweighted but for ``loss``; ``brain_to_image`` and ``image_to_brain``
are top-1 retrieval within training batches; ``epoch`` and ``step`` count from 1. What is not trained is empty."""

PICTURED = ("loss", "prior", "clip", "lowlevel", "contrastive")
Row = Mapping[str, float | int]


def write_history(path: Path, rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> None:
    """Replace the CSV file by one with these columns of these rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_shown(row.get(name)) for name in columns])
    draft = path.with_suffix(".part")
    draft.write_text(text.getvalue())
    os.replace(draft, path)


def _shown(value: float | int | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.6g}"


def plot_history(path: Path, rows: Sequence[Row], *, mixing_epochs: int, title: str) -> None:
    """Losses, retrieval within the batch and learning rate over the epochs; a line where MixCo ends."""
    from matplotlib.ticker import MaxNLocator

    names = [name for name in PICTURED if any(row.get(name) is not None for row in rows)]
    retrieval = [name for name in ("brain_to_image", "image_to_brain") if rows and rows[0].get(name) is not None]
    epochs = [row["epoch"] for row in rows]
    # One epoch alone makes no line.
    style = {"marker": "."} if len(rows) < 20 else {}
    panels = len(names) + bool(retrieval) + 1
    columns = 4
    figure = _figure(3.2 * columns, 2.6 * math.ceil(panels / columns), title)
    axes = figure.subplots(math.ceil(panels / columns), columns, squeeze=False).flat

    for axis, name in zip(axes, names, strict=False):
        axis.plot(epochs, [row[name] for row in rows], color="tab:blue", **style)
        axis.set_title(name)
    if retrieval:
        axis = axes[len(names)]
        for name in retrieval:
            axis.plot(epochs, [row[name] for row in rows], label=name.replace("_", " "), **style)
        axis.set(title="top-1 within the batch", ylim=(-0.02, 1.02))
        axis.legend(fontsize="small")
    axes[panels - 1].plot(epochs, [row["lr"] for row in rows], color="tab:green", **style)
    axes[panels - 1].set_title("learning rate, end of epoch")
    for axis in axes[:panels]:
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axis.grid(alpha=0.3)
        if 0 < mixing_epochs < len(rows):
            axis.axvline(mixing_epochs + 0.5, color="0.6", linestyle="--", linewidth=1)
    for axis in axes[panels:]:
        axis.set_visible(False)
    figure.savefig(path, dpi=100)


def plot_steps(path: Path, rows: Sequence[Row], *, title: str) -> None:
    """Loss and learning rate over the steps."""
    figure = _figure(8.0, 3.0, title)
    style = {"marker": "."} if len(rows) < 20 else {}
    for axis, name, shown in zip(figure.subplots(1, 2), ("loss", "lr"), ("loss", "learning rate"), strict=True):
        axis.plot([row["step"] for row in rows], [row[name] for row in rows], **style)
        axis.set(title=shown, xlabel="step")
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def _figure(width: float, height: float, title: str) -> Any:
    # Agg's canvas is used directly: no display is asked for and pyplot's figures of other code stay untouched.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    return figure
