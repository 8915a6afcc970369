"""The run's result in a few sentences, every number of which comes from the matrix."""

from collections.abc import Sequence

from markupsafe import Markup

from mindeye2.report.catalogue import PICTURES, chance_level, metric
from mindeye2.report.summary import MEAN, Column, Entry, Value, overall

BETAS = {
    "betas_fithrf_GLMdenoise_RR": "fitted haemodynamic responses, GLMdenoise and ridge regression (b3)",
    "betas_fithrf": "fitted haemodynamic responses (b2)",
    "betas_assumehrf": "one assumed haemodynamic response (b1)",
}
"""Version of GLMsingle's betas -> how they were estimated."""

_LEADING = (
    ("retrieval_brain_to_image", ""),
    ("retrieval_image_to_brain", ""),
    ("clip", "refined"),
    ("clip", "unrefined"),
    ("pixel_correlation", "refined"),
)


def key_column(columns: Sequence[Column], baselines: Sequence[Column]) -> Column:
    """The metric that leads the report: one that a baseline has too, else retrieval, else the first there is."""
    for column in (*baselines, *_LEADING):
        if column in columns:
            return column
    return columns[0]


def plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def enumerated(items: Sequence[object], joint: str = "and") -> str:
    """``1``, ``1 and 3`` or ``1, 2 and 3``."""
    *first, last = map(str, items)
    return f"{', '.join(first)} {joint} {last}" if first else last


def named(column: Column) -> str:
    """``CLIP identification of refined pictures``."""
    name = metric(column[0]).name
    return f"{name} of {PICTURES.get(column[1], column[1])}" if column[1] else name


def panel_title(column: Column) -> str:
    """``CLIP identification, refined ↑``."""
    known = metric(column[0])
    return f"{', '.join(filter(None, (known.name, column[1])))} {known.arrow}"


def interval(name: str, value: Value) -> str:
    """``95 % CI 38.1 to 44.0``, empty without one."""
    if value.low is None or value.high is None:
        return ""
    known = metric(name)
    return f"95\N{NO-BREAK SPACE}% CI {known.show(value.low)} to {known.show(value.high)}"


def difference(name: str, a: float, b: float) -> str:
    """Size of a - b in the metric's unit: percentage points for a share."""
    known = metric(name)
    return f"{known.show(abs(a - b))} points" if known.percent else known.show(abs(a - b))


class _Ranking:
    """Variants by the leading metric at one number of sessions, best first."""

    def __init__(self, entries: Sequence[Entry], column: Column, variants: Sequence[str], sessions: int):
        found = [(name, overall(entries, name, sessions)) for name in variants]
        sign = -1 if metric(column[0]).higher else 1
        self.places = sorted(
            (
                (name, entry.get(column))
                for name, entry in found
                if entry is not None and entry.get(column).value is not None
            ),
            key=lambda place: sign * place[1].value,
        )
        self.mean = any(entry is not None and entry.subject == MEAN for _, entry in found)

    def value(self, variant: str) -> Value | None:
        return dict(self.places).get(variant)


def headline(
    entries: Sequence[Entry],
    column: Column,
    variants: Sequence[str],
    *,
    sessions: Sequence[int],
    unit: str,
    pool: int,
) -> list[Markup]:
    """Who leads with the least data and by how much, what more data gives, what refinement gives."""
    rankings = {count: _Ranking(entries, column, variants, count) for count in sessions}
    rankings = {count: ranking for count, ranking in rankings.items() if ranking.places}
    if not rankings:
        return [Markup("Nothing was computed for {}.").format(named(column))]
    said = [_lead(column, count, rankings[count], unit, pool) for count in sorted({min(rankings), max(rankings)})]
    said += filter(None, [_growth(column, rankings, unit), _worth(column, rankings, unit)])
    return said


def _lead(column: Column, count: int, ranking: _Ranking, unit: str, pool: int) -> Markup:
    known, (winner, top) = metric(column[0]), ranking.places[0]
    chance = chance_level(column[0], top.n, pool)
    aside = "; ".join(filter(None, [interval(column[0], top), f"chance {known.with_unit(chance)}" if chance else ""]))
    text = Markup("After <strong>{} of training</strong>, {} is <strong>{}</strong>{}{} with {}").format(
        plural(count, unit),
        named(column),
        known.with_unit(top.value),
        " on average over subjects" if ranking.mean else "",
        f" ({aside})" if aside else "",
        _variant(winner),
    )
    if len(ranking.places) == 1:
        return text + Markup(".")
    second, other = ranking.places[1]
    if other.value == top.value:
        return text + Markup(", and the same with {}.").format(_variant(second))
    text += Markup(", <strong>{}</strong> {} {} ({})").format(
        difference(column[0], top.value, other.value),
        "above" if known.higher else "below",
        _variant(second),
        known.with_unit(other.value),
    )
    ends = (top.low, top.high, other.low, other.high)
    if None not in ends and max(top.low, other.low) <= min(top.high, other.high):
        return text + Markup("; their intervals overlap, so the order may be chance.")
    return text + Markup(".")


def _variant(name: str) -> Markup:
    return Markup("<code>{}</code>").format(name)


def _growth(column: Column, rankings: dict[int, _Ranking], unit: str) -> Markup | None:
    first, last = min(rankings), max(rankings)
    parts = []
    for name, late in rankings[last].places:
        early = rankings[first].value(name)
        if first != last and early is not None:
            up = "+" if late.value >= early.value else "−"
            parts.append(
                Markup("{}{} for {}").format(up, difference(column[0], late.value, early.value), _variant(name))
            )
    if not parts:
        return None
    return Markup("From {} to {}: {}.").format(first, plural(last, unit), Markup(", ").join(parts))


def _worth(column: Column, rankings: dict[int, _Ranking], unit: str) -> Markup | None:
    """How many sessions the runner-up of the smallest number needs to reach the leader there."""
    first = min(rankings)
    if len(rankings) < 2 or len(rankings[first].places) < 2:
        return None
    (winner, goal), (other, _) = rankings[first].places[:2]
    sign = 1 if metric(column[0]).higher else -1
    tried = {count: value for count in sorted(rankings) if (value := rankings[count].value(other)) is not None}
    if len(tried) < 2:
        return None
    reached = [count for count, value in tried.items() if sign * value.value >= sign * goal.value]
    if not reached:
        return Markup("{} does not reach in {} what {} has after {}.").format(
            _variant(other), plural(max(tried), unit), _variant(winner), plural(first, unit)
        )
    if reached[0] == first:
        return None
    return Markup("Of the {}s tried, {} is the first number with which {} reaches what {} has after {}.").format(
        unit, reached[0], _variant(other), _variant(winner), plural(first, unit)
    )
