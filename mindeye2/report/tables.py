"""matrix.md and matrix.tex: one row per variant, subject and sessions, metrics as columns, grouped by picture."""

import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from mindeye2.report.catalogue import ABSENT, GROUPS, PICTURES, metric
from mindeye2.report.rows import Row
from mindeye2.report.summary import MEAN, Column, Entry, Value, best, columns_of, count_text, summarise

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


@dataclass(frozen=True)
class Table:
    """The columns of one group of metrics on one kind of picture."""

    title: str
    columns: tuple[Column, ...]


def grouped(columns: Sequence[Column]) -> list[Table]:
    """Columns by group of metrics and picture: refined before unrefined before low-level."""
    tables = []
    for group, title in GROUPS.items():
        for picture in dict.fromkeys(("", *PICTURES, *(picture for _, picture in columns))):
            members = tuple(c for c in columns if c[1] == picture and metric(c[0]).group == group)
            if members:
                of = PICTURES.get(picture, picture)
                name = of.capitalize() if group == "picture" and of else f"{title}, {of}" if of else title
                tables.append(Table(name, members))
    return tables


def common_count(entry: Entry, columns: Sequence[Column]) -> tuple[int, ...]:
    """Numbers of test items that most values of a row have; a cell with others states its own."""
    counts = [entry.get(column).counts for column in columns if entry.get(column).value is not None]
    return statistics.mode(counts) if counts else ()


def subject_name(subject: int) -> str:
    return "mean" if subject == MEAN else str(subject)


def shown(entries: Sequence[Entry], table: Table) -> list[Entry]:
    """The rows that a table has: those with a value, or an open one, in any of its columns."""
    return [entry for entry in entries if any(column in entry.values for column in table.columns)]


def notes(rows: Sequence[Row]) -> list[str]:
    """How to read the tables, in full sentences."""
    entries, seeds = summarise(rows), len({row.seed for row in rows})
    lines = [
        "N is the number of test items behind the values of a row; a cell with another number gives its own.",
        "Brackets hold the 95 % confidence interval, a bootstrap over test items. A mean over subjects has the mean of "
        "their intervals, which is wide enough however their errors depend on each other.",
        "The best variant of each subject and number of sessions is bold; ↑ higher is better, ↓ lower is better.",
    ]
    if seeds > 1:
        lines.append(f"± is the standard deviation over {seeds} seeds, of which the value is the mean.")
    tables = grouped(columns_of(rows))
    if any(
        entry.get(column).value is None
        for table in tables
        for entry in shown(entries, table)
        for column in table.columns
    ):
        lines.append(f"{ABSENT} was not computed.")
    return lines


def cell_text(column: Column, value: Value, counts: tuple[int, ...]) -> tuple[str, list[str]]:
    """A value with its spread, and what is smaller beside it: the interval and a number of items of its own."""
    known = metric(column[0])
    main = known.show(value.value)
    if value.value is None:
        return main, []
    if value.spread is not None:
        main += f" ± {known.show(value.spread)}"
    aside = []
    if value.low is not None and value.high is not None:
        aside.append(f"[{known.show(value.low)}, {known.show(value.high)}]")
    if value.counts and value.counts != counts:
        aside.append(f"n = {count_text(value.counts)}")
    return main, aside


def _body(
    entries: Sequence[Entry], table: Table, join: Callable[[str, str, bool], str], unranked: Collection[str]
) -> list[tuple[Entry, list[str]]]:
    """Cells of each row, put together by ``join(main, aside, is_best)``."""
    winners = {column: best(entries, column, without=unranked) for column in table.columns}
    body = []
    for entry in shown(entries, table):
        counts = common_count(entry, table.columns)
        cells = [entry.variant, subject_name(entry.subject), str(entry.sessions), count_text(counts) or ABSENT]
        for column in table.columns:
            main, aside = cell_text(column, entry.get(column), counts)
            cells.append(join(main, " ".join(aside), (entry.variant, entry.subject, entry.sessions) in winners[column]))
        body.append((entry, cells))
    return body


def markdown(rows: Sequence[Row], *, run: str, unranked: Collection[str] = ()) -> str:
    """The matrix as Markdown, one table per group of metrics; ``unranked`` variants are never the best."""
    entries, parts = summarise(rows), [f"# {_md(run)}\n"]

    def join(main: str, aside: str, winner: bool) -> str:
        return " ".join(filter(None, (f"**{main}**" if winner else main, aside)))

    for table in grouped(columns_of(rows)):
        heads = ["variant", "subject", "sessions", "N", *(metric(name).heading for name, _ in table.columns)]
        lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
        lines += [cells for _, cells in _body(entries, table, join, unranked)]
        parts.append(f"## {_md(table.title)}\n")
        parts.append("\n".join(f"| {' | '.join(map(_md, line))} |" for line in lines) + "\n")
    parts.append("\n".join(f"- {line}" for line in notes(rows)) + "\n")
    return "\n".join(parts)


def _md(text: str) -> str:
    return text.replace("|", r"\|")


def latex_escaped(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(_LATEX.get(character, character) for character in text)


def latex(rows: Sequence[Row], *, run: str, unranked: Collection[str] = ()) -> str:
    r"""The matrix as LaTeX tables for ``\input``; needs the packages booktabs and graphicx."""
    entries, footnote = summarise(rows), latex_escaped(" ".join(notes(rows)))
    parts = [r"% Needs \usepackage{booktabs} and \usepackage{graphicx}." + "\n"]

    def join(main: str, aside: str, winner: bool) -> str:
        main, aside = latex_escaped(main), latex_escaped(aside)
        small = rf"{{\scriptsize {aside}}}" if aside else ""
        return " ".join(filter(None, (rf"\textbf{{{main}}}" if winner else main, small)))

    for table in grouped(columns_of(rows)):
        heads = ["variant", "subject", "sessions", "N", *(metric(name).heading for name, _ in table.columns)]
        lines, previous = [], None
        for entry, cells in _body(entries, table, join, unranked):
            if previous not in (None, (entry.sessions, entry.subject)):
                lines.append(r"\addlinespace")
            previous = (entry.sessions, entry.subject)
            lines.append(" & ".join([*map(latex_escaped, cells[:4]), *cells[4:]]) + r" \\")
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering",
                    rf"\caption{{{latex_escaped(f'{table.title}, run {run}.')}}}",
                    r"\resizebox{\linewidth}{!}{%",
                    rf"\begin{{tabular}}{{lrrr{'r' * len(table.columns)}}}",
                    r"\toprule",
                    " & ".join(map(latex_escaped, heads)) + r" \\",
                    r"\midrule",
                    *lines,
                    r"\bottomrule",
                    r"\end{tabular}}",
                    rf"\par\smallskip\footnotesize {footnote}",
                    r"\end{table}",
                ]
            )
            + "\n"
        )
    return "\n".join(parts)
