"""Plots of the leading metrics: over sessions where there are several, as bars otherwise."""

from mindeye2.report.catalogue import metric
from mindeye2.report.figures import Bar, Line, Panel, Point, bars, curves
from mindeye2.report.summary import MEAN, Column, overall
from mindeye2.report.view import View, chance_of, key_columns
from mindeye2.report.words import interval, panel_title, plural

_PANELS = 6


def metric_panels(view: View) -> list[Panel]:
    """The leading metrics over sessions; as bars where there is only one number of sessions."""
    draw = _curve if len(view.sessions) > 1 else _bars
    return [draw(view, column) for column in key_columns(view)[:_PANELS]]


def _curve(view: View, column: Column) -> Panel:
    known = metric(column[0])
    lines, said = [], []
    for name, index in view.series.items():
        per_subject: dict[int, list[Point]] = {}
        means = []
        for sessions in view.sessions:
            for entry in view.entries:
                value = entry.get(column)
                if (entry.variant, entry.sessions) == (name, sessions) and value.value is not None:
                    who = "mean" if entry.subject == MEAN else f"subject {entry.subject}"
                    text = f"{name}, {who}, {plural(sessions, view.unit)}: {known.with_unit(value.value)}"
                    aside = interval(column[0], value)
                    text += f" ({aside})" if aside else ""
                    point = Point(sessions, value.value, value.low, value.high, text)
                    per_subject.setdefault(entry.subject, []).append(point)
            entry = overall(view.entries, name, sessions)
            means += [entry.get(column).value] if entry and entry.get(column).value is not None else []
        alone = len(view.subjects) == 1
        lines += [
            Line(index, points, thin=not alone and subject != MEAN)
            for subject, points in per_subject.items()
            if alone or subject == MEAN or len(points) > 1
        ]
        if means:
            said.append(f"{name} {' to '.join(known.with_unit(v) for v in (means[0], means[-1]))}")
    title = panel_title(column)
    figure = curves(
        lines,
        said=f"{title} over {view.unit}s: {'; '.join(said)}",
        x_label=f"training {view.unit}s",
        percent=known.percent,
        chance=chance_of(view, column),
        x_ticks=view.sessions,
    )
    return Panel(title, figure)


def _bars(view: View, column: Column) -> Panel:
    known = metric(column[0])
    items = []
    for name, index in view.series.items():
        entry = overall(view.entries, name, view.sessions[0])
        value = entry.get(column) if entry else None
        if value is not None and value.value is not None:
            dots = tuple(
                e.get(column).value
                for e in view.entries
                if e.variant == name and entry.subject == MEAN != e.subject and e.get(column).value is not None
            )
            items.append(Bar(name, index, value.value, value.low, value.high, known.with_unit(value.value), dots))
    title = panel_title(column)
    said = f"{title}: " + "; ".join(f"{item.name} {item.text}" for item in items)
    return Panel(title, bars(items, said=said, percent=known.percent, chance=chance_of(view, column)))
