"""Rows drawn together: mean over seeds, mean over subjects, and the best of what can be compared."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mindeye2.report.catalogue import metric
from mindeye2.report.rows import Row

MEAN = 0
"""Subject number of a mean over subjects."""

Column = tuple[str, str]
"""Metric and picture."""


@dataclass(frozen=True)
class Value:
    """One cell of a table: mean over seeds and, for subject MEAN, over subjects; None where not computed.

    ``low`` and ``high`` are means of the intervals' ends: at least 95 % wide however the subjects' errors
    depend on each other (they saw the same test images). ``spread`` is the standard deviation over seeds,
    None with one seed. ``counts`` are the test items of each subject.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None
    counts: tuple[int, ...] = ()

    @property
    def n(self) -> int | None:
        return self.counts[0] if self.counts else None


@dataclass(frozen=True)
class Entry:
    """A row of the wide table: where it belongs, and its value in each column."""

    variant: str
    subject: int
    sessions: int
    values: Mapping[Column, Value]

    def get(self, column: Column) -> Value:
        return self.values.get(column, Value())


def _mean(values: Sequence[float | None]) -> float | None:
    return None if not values or None in values else statistics.fmean(values)


def _over_seeds(rows: Sequence[Row]) -> Value:
    values = [row.value for row in rows]
    if None in values:
        return Value()
    return Value(
        value=_mean(values),
        low=_mean([row.low for row in rows]),
        high=_mean([row.high for row in rows]),
        spread=statistics.stdev(values) if len(values) > 1 else None,
        counts=() if rows[0].n is None else (rows[0].n,),
    )


def _over_subjects(by_seed: Mapping[int, Sequence[Row]], subjects: int) -> Value:
    """Mean over subjects; nothing unless each seed has a value for every one of them."""
    groups = list(by_seed.values())
    if any(len(rows) < subjects or any(row.value is None for row in rows) for rows in groups):
        return Value()
    rows = [row for group in groups for row in group]
    means = [statistics.fmean(row.value for row in group) for group in groups]
    return Value(
        value=_mean(means),
        low=_mean([row.low for row in rows]),
        high=_mean([row.high for row in rows]),
        spread=statistics.stdev(means) if len(means) > 1 else None,
        counts=tuple(row.n for row in groups[0] if row.n is not None),
    )


def summarise(rows: Iterable[Row]) -> list[Entry]:
    """Entries by sessions, then subject (the mean over subjects last), then variant in the rows' order."""
    rows = list(rows)
    cells: dict[tuple[str, int, int], dict[Column, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        cells[row.variant, row.subject, row.sessions][row.metric, row.picture].append(row)
    entries = [
        Entry(*where, {column: _over_seeds(group) for column, group in columns.items()})
        for where, columns in cells.items()
    ]
    entries += _means(rows)

    variants = list(dict.fromkeys(row.variant for row in rows))
    entries.sort(key=lambda entry: (entry.sessions, entry.subject or float("inf"), variants.index(entry.variant)))
    return entries


def _means(rows: Sequence[Row]) -> list[Entry]:
    """Entries of the mean over subjects, where there is more than one at a number of sessions."""
    subjects: dict[int, set[int]] = defaultdict(set)
    groups: dict[tuple[str, int], dict[Column, dict[int, list[Row]]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for row in rows:
        subjects[row.sessions].add(row.subject)
        groups[row.variant, row.sessions][row.metric, row.picture][row.seed].append(row)
    return [
        Entry(
            variant,
            MEAN,
            sessions,
            {column: _over_subjects(by_seed, len(subjects[sessions])) for column, by_seed in columns.items()},
        )
        for (variant, sessions), columns in groups.items()
        if len(subjects[sessions]) > 1
    ]


def columns_of(rows: Iterable[Row]) -> list[Column]:
    """Every metric and picture of the rows, in the order in which they first appear."""
    return list(dict.fromkeys((row.metric, row.picture) for row in rows))


def best(entries: Iterable[Entry], column: Column, *, without: Iterable[str] = ()) -> set[tuple[str, int, int]]:
    """(variant, subject, sessions) of the best variant of each subject and number of sessions.

    Where only one variant has a value, nothing is best.
    """
    groups: dict[tuple[int, int], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.variant not in set(without) and entry.get(column).value is not None:
            groups[entry.subject, entry.sessions].append(entry)
    sign = 1 if metric(column[0]).higher else -1
    found = set()
    for group in groups.values():
        top = max(sign * entry.get(column).value for entry in group)
        if len(group) > 1:
            found |= {
                (entry.variant, entry.subject, entry.sessions)
                for entry in group
                if sign * entry.get(column).value == top
            }
    return found


def overall(entries: Sequence[Entry], variant: str, sessions: int) -> Entry | None:
    """The mean over subjects of a variant at a number of sessions, or the entry of its only subject."""
    found = [entry for entry in entries if entry.variant == variant and entry.sessions == sessions]
    means = [entry for entry in found if entry.subject == MEAN]
    if means:
        return means[0]
    return found[0] if len(found) == 1 else None


def count_text(counts: Sequence[int]) -> str:
    """``64`` for one subject, ``2 × 64`` or ``64 + 60`` for a mean over two."""
    if len(counts) > 1 and len(set(counts)) == 1:
        return f"{len(counts)} × {counts[0]}"
    return " + ".join(map(str, counts))
