"""The long table of one cell: each metric's mean over the test items and its 95 % confidence interval."""

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from mindeye2.metrics.arrays import Array
from mindeye2.metrics.intervals import bootstrap_interval, bootstrap_ratio_interval
from mindeye2.seeds import numpy_generator


class Row(NamedTuple):
    """``value`` None: not computed. ``baseline`` is empty for our decoder, ``picture`` where none is judged."""

    baseline: str
    metric: str
    picture: str
    value: float | None
    n: int | None
    low: float | None
    high: float | None


class Table:
    """Rows in the order in which they are added; every interval draws from a stream of its own under ``seed``."""

    def __init__(self, *, seed: int, resamples: int):
        self.seed, self.resamples = seed, resamples
        self.rows: list[Row] = []

    def measure(
        self,
        metric: str,
        values: Shaped[Array, "n"],
        *,
        picture: str = "",
        baseline: str = "",
        undefined: float = 0.0,
    ) -> None:
        """Add the mean of one number, or hit, per test item, with its bootstrap interval over the items.

        A value that is not defined (the correlation of a constant picture) counts as ``undefined``, and how many
        do is said on standard error: to leave them out would reward them.
        """
        values = np.asarray(values, dtype=np.float64)
        missing = int(np.isnan(values).sum())
        if missing:
            said = f"not defined for {missing} of {len(values)} items, counted as {undefined:g}"
            print(f"{metric} {picture}".rstrip() + f": {said}", file=sys.stderr)
            values = np.where(np.isnan(values), undefined, values)
        stream = self._stream(baseline, metric, picture)
        interval = bootstrap_interval(values, resamples=self.resamples, generator=stream)
        self.rows.append(Row(baseline, metric, picture, float(values.mean()), len(values), *interval))

    def measure_ratio(
        self, metric: str, values: Shaped[Array, "n"], of: Shaped[Array, "n"], *, baseline: str = ""
    ) -> None:
        """Add mean(values) / mean(of), two numbers of the same items, with its bootstrap interval over the items."""
        values, of = np.asarray(values, dtype=np.float64), np.asarray(of, dtype=np.float64)
        if of.mean() == 0:
            self.leave_out(metric, "what it is relative to is 0")
            return
        stream = self._stream(baseline, metric, "")
        interval = bootstrap_ratio_interval(values, of, resamples=self.resamples, generator=stream)
        self.rows.append(Row(baseline, metric, "", float(values.mean() / of.mean()), len(values), *interval))

    def _stream(self, baseline: str, metric: str, picture: str) -> np.random.Generator:
        return numpy_generator(self.seed, "evaluate", "bootstrap", baseline, metric, picture)

    def leave_out(self, metrics: str | Sequence[str], reason: str, *, pictures: Iterable[str] = ("",)) -> None:
        """Add rows without a value, and give the reason on standard error in one line."""
        metrics = [metrics] if isinstance(metrics, str) else metrics
        print(f"{', '.join(metrics)}: not computed: {reason}", file=sys.stderr)
        self.rows += [Row("", metric, picture, None, None, None, None) for metric in metrics for picture in pictures]

    def write(self, path: Path) -> None:
        """Numbers in full precision, what was not computed as empty cells."""
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(Row._fields)
            writer.writerows(["" if value is None else value for value in row] for row in self.rows)
