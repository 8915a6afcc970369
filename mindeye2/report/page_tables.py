"""The matrix as the page shows it: rows in groups that can be compared, with chance levels."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from mindeye2.report.catalogue import ABSENT, chance_level, metric
from mindeye2.report.published import VARIANT as PUBLISHED
from mindeye2.report.summary import MEAN, Column, Entry, best, count_text, overall
from mindeye2.report.tables import Table, cell_text, common_count, shown


@dataclass(frozen=True)
class Head:
    """A column's heading: title with unit and direction, what it measures, its level of chance."""

    title: str
    meaning: str
    chance: str


@dataclass(frozen=True)
class Shown:
    main: str
    aside: tuple[str, ...]
    best: bool


@dataclass(frozen=True)
class Line:
    variant: str
    """Name of the row."""
    count: str
    cells: tuple[Shown, ...]


@dataclass(frozen=True)
class Group:
    """Rows that are compared with each other: one number of sessions, one subject or their mean."""

    label: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class PageTable:
    title: str
    heads: tuple[Head, ...]
    groups: tuple[Group, ...]
    left_out: tuple[str, ...] = ()
    corner: str = "variant"
    """What the names of the rows are."""


def main_table(
    entries: Sequence[Entry],
    columns: Sequence[Column],
    *,
    variants: Sequence[str],
    sessions: Sequence[int],
    pools: Mapping[str, int],
    label: Callable[[int, int], str],
    unranked: Collection[str] = (),
) -> PageTable:
    """Every variant over all subjects: their mean, or the only subject. Columns without any value are named apart.

    ``unranked`` variants are never the best.
    """
    chosen = [e for count in sessions for v in variants if (e := overall(entries, v, count)) is not None]
    own = [entry for entry in chosen if entry.variant != PUBLISHED]
    full = [column for column in columns if any(entry.get(column).value is not None for entry in own)]
    left_out = tuple(metric(name).title for name, _ in columns if not any(name == kept for kept, _ in full))
    table = _page_table(Table("", tuple(full)), chosen, pools, label, unranked)
    return PageTable(table.title, table.heads, table.groups, left_out)


def detail_table(
    entries: Sequence[Entry],
    table: Table,
    *,
    pools: Mapping[str, int],
    label: Callable[[int, int], str],
    unranked: Collection[str] = (),
) -> PageTable:
    """Every subject of every variant, with open cells where nothing was computed."""
    return _page_table(table, shown(entries, table), pools, label, unranked)


def _page_table(
    table: Table,
    entries: Sequence[Entry],
    pools: Mapping[str, int],
    label: Callable[[int, int], str],
    unranked: Collection[str],
) -> PageTable:
    winners = {column: best(entries, column, without=(PUBLISHED, *unranked)) for column in table.columns}
    groups: dict[tuple[int, int], list[Line]] = {}
    for entry in entries:
        counts = common_count(entry, table.columns)
        cells = []
        for column in table.columns:
            main, aside = cell_text(column, entry.get(column), counts)
            place = (entry.variant, entry.subject, entry.sessions)
            cells.append(Shown(main, tuple(aside), place in winners[column]))
        if entry.variant != PUBLISHED or any(cell.main != ABSENT for cell in cells):
            group = groups.setdefault((entry.subject, entry.sessions), [])
            group.append(Line(entry.variant, count_text(counts) or ABSENT, tuple(cells)))
    return PageTable(
        title=table.title,
        heads=tuple(_head(column, entries, pools) for column in table.columns),
        groups=tuple(Group(label(*where), tuple(lines)) for where, lines in groups.items()),
    )


def _head(column: Column, entries: Sequence[Entry], pools: Mapping[str, int]) -> Head:
    known = metric(column[0])
    # Unit and arrow stay together with the last word of the title.
    heading = re.sub(r" (?=[%↑↓])", "\N{NO-BREAK SPACE}", known.heading)
    return Head(heading, known.meaning, chance_text(column, entries, pools))


def chance_text(column: Column, entries: Sequence[Entry], pools: Mapping[str, int]) -> str:
    """Chance level of a column, ``1.6`` or ``0.3 / 1.6`` where the rows' differ; empty where it has none."""
    levels = {
        chance_level(column[0], n, pools[entry.variant])
        for entry in entries
        if entry.variant != PUBLISHED and entry.get(column).value is not None
        for n in entry.get(column).counts or (None,)
    }
    known = metric(column[0])
    return " / ".join(known.show(level) for level in sorted(level for level in levels if level is not None))


def where(unit: str) -> Callable[[int, int], str]:
    """Label of a group from its subject and number of sessions."""

    def label(subject: int, sessions: int) -> str:
        who = "mean of the subjects" if subject == MEAN else f"subject {subject}"
        return f"{sessions} {unit}{'s' if sessions > 1 else ''}, {who}"

    return label
