"""The long form of the matrix: one row per variant, subject, sessions, seed, metric and picture."""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from mindeye2.errors import UserError
from mindeye2.objects import read_csv
from mindeye2.report.cells import Cell

METRICS_COLUMNS = ("baseline", "metric", "picture", "value", "n", "low", "high")


@dataclass(frozen=True)
class Row:
    """One measured number; ``value`` None where it was not computed.

    ``picture`` is lowlevel, unrefined or refined, or empty for a metric of no picture. ``n`` counts the test
    items behind the value, ``low`` and ``high`` bound its 95 % confidence interval.
    """

    variant: str
    subject: int
    sessions: int
    metric: str
    picture: str
    seed: int
    value: float | None
    n: int | None
    low: float | None
    high: float | None

    @property
    def address(self) -> tuple[str, int, int, str, str, int]:
        return (self.variant, self.subject, self.sessions, self.metric, self.picture, self.seed)


COLUMNS = tuple(field.name for field in fields(Row))


def _number(text: str) -> float | None:
    """A finite number, or None for an empty cell and for nan, which is a metric without a value."""
    value = float(text) if text.strip() else math.nan
    return value if math.isfinite(value) else None


def read_metrics(cell: Cell) -> tuple[list[Row], list[Row]]:
    """Rows of a cell's own decoder, and those of the baselines evaluated beside it, named as variants."""
    path = cell.evaluate / "metrics.csv"
    own: list[Row] = []
    beside: list[Row] = []
    for line in read_csv(path, METRICS_COLUMNS):
        try:
            value, n, low, high = (_number(line[name]) for name in ("value", "n", "low", "high"))
        except ValueError as error:
            raise UserError(f"{path}: {error}; remove the object and build it again") from None
        row = Row(
            variant=line["baseline"] or cell.variant,
            subject=cell.subject,
            sessions=cell.sessions,
            metric=line["metric"],
            picture=line["picture"],
            seed=cell.seed,
            value=value,
            n=None if n is None else round(n),
            low=low,
            high=high,
        )
        (beside if line["baseline"] else own).append(row)
    return own, beside


def matrix_rows(cells: Iterable[Cell]) -> list[Row]:
    """Every row of the run: variants in the order of the configuration, baselines after them.

    The variants of a run share their baselines, so each appears once. One that comes out differently for a
    variant with other data gets the name ``baseline@variant``.
    """
    rows: list[Row] = []
    waiting: list[tuple[str, list[Row]]] = []
    for cell in cells:
        own, beside = read_metrics(cell)
        rows.extend(own)
        waiting.append((cell.variant, beside))
    seen = {row.address: row for row in rows}
    for variant, beside in waiting:
        for row in beside:
            known = seen.setdefault(row.address, row)
            if known is row:
                rows.append(row)
            elif (known.value, known.n) != (row.value, row.n):
                other = replace(row, variant=f"{row.variant}@{variant}")
                seen[other.address] = other
                rows.append(other)
    return rows


def write_matrix(rows: Sequence[Row], path: Path) -> None:
    """matrix.csv: numbers in full precision, not computed as empty cells."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(["" if value is None else value for value in astuple(row)] for row in rows)
