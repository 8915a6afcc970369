"""Small vector plots drawn straight to SVG: they take the page's font and colours, in light and in dark.

Colour is never the only sign: each series has its own marker and dash as well. Classes ``s0`` to ``s5`` carry
the colours, which the page's style sheet defines.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

Number = int | float
SERIES = 6
WIDTH, HEIGHT = 340, 230
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 38
_LONGEST_LINE = 240


@dataclass(frozen=True)
class Point:
    """One measured value; ``low`` and ``high`` bound its interval, ``said`` is what hovering tells."""

    x: Number
    value: Number
    low: Number | None = None
    high: Number | None = None
    said: str = ""


@dataclass(frozen=True)
class Line:
    """Points of one series; a thin line (one subject of several) has neither markers nor a band."""

    series: int
    points: Sequence[Point]
    thin: bool = False


@dataclass(frozen=True)
class Panel:
    """One plot with its heading."""

    title: str
    figure: Markup


def ticks(low: Number, high: Number, count: int = 4) -> list[Number]:
    """About ``count`` round numbers within [low, high], steps of 1, 2, 2.5 or 5 times a power of ten."""
    raw = (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(s * magnitude for s in (1, 2, 2.5, 5, 10) if s * magnitude >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def tick_label(value: Number, percent: bool) -> str:
    return f"{100 * value:.4g} %" if percent else f"{value:.4g}"


def _span(values: Sequence[Number]) -> tuple[Number, Number]:
    """The range of the values with a little room, never empty."""
    low, high = min(values), max(values)
    room = 0.07 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


def _scale(low: Number, high: Number, start: Number, end: Number) -> Callable[[Number], Number]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _marker(series: int, x: Number, y: Number, said: str) -> Markup:
    """Circle, square, diamond or triangle: told apart without colour."""
    shapes = (
        "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
        "M-3.6-3.6h7.2v7.2h-7.2Z",
        "M0-5L5 0L0 5L-5 0Z",
        "M0-4.6L4.4 3.4H-4.4Z",
        "M0 4.6L4.4-3.4H-4.4Z",
        "M-4.5-1.5h3v-3h3v3h3v3h-3v3h-3v-3h-3Z",
    )
    return Markup('<path class="dot s{}" transform="translate({} {})" d="{}"><title>{}</title></path>').format(
        series % SERIES, f"{x:.1f}", f"{y:.1f}", shapes[series % SERIES], said
    )


def marker_key(series: int) -> Markup:
    """The sign of a series for a legend: its line and its marker."""
    return Markup(
        '<svg class="key" viewBox="0 0 34 14" aria-hidden="true"><path class="line s{0}" d="M1 7H33"/>{1}</svg>'
    ).format(series % SERIES, _marker(series, 17, 7, ""))


def svg(body: Sequence[Markup], said: str, width: Number, height: Number, kind: str = "plot") -> Markup:
    return Markup('<svg class="{}" viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">{}</svg>').format(
        kind, width, height, said, Markup("").join(body)
    )


def label(x: Number, y: Number, text: str, anchor: str = "middle", kind: str = "tick") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        kind, f"{x:.1f}", f"{y:.1f}", anchor, text
    )


def rule(x1: Number, y1: Number, x2: Number, y2: Number, kind: str) -> Markup:
    return Markup(f'<path class="{kind}" d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"/>')


def _polyline(points: Sequence[tuple[Number, Number]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def curves(
    lines: Sequence[Line],
    *,
    said: str,
    x_label: str,
    percent: bool = False,
    chance: Number | None = None,
    x_ticks: Sequence[Number] | None = None,
) -> Markup:
    """Value over x, one line per series, with a band where every point of a line has an interval.

    x counts something (epochs, sessions), so ticks are whole. ``x_ticks`` are the x values themselves where these are
    few; a logarithmic axis is used when the largest is at least eight times the smallest. ``chance`` is a dashed line.
    """
    points = [point for line in lines for point in line.points]
    bounds = [bound for p in points for bound in (p.value, p.low, p.high) if bound is not None]
    low, high = _span(bounds if chance is None else [*bounds, chance])
    y = _scale(low, high, HEIGHT - BOTTOM, TOP)
    xs = sorted({point.x for point in points})
    logarithmic = x_ticks is not None and xs[0] > 0 and xs[-1] >= 8 * xs[0]
    warp = math.log if logarithmic else float
    inset = 14 if x_ticks is not None else 0
    ends = (xs[0], xs[-1]) if xs[0] != xs[-1] else (xs[0] - 1, xs[0] + 1)
    place = _scale(warp(ends[0]), warp(ends[1]), LEFT + inset, WIDTH - RIGHT - inset)

    body = _y_axis(low, high, y, percent)
    for tick in x_ticks if x_ticks is not None else [tick for tick in ticks(*ends) if tick % 1 == 0]:
        body.append(label(place(warp(tick)), HEIGHT - BOTTOM + 15, f"{tick:g}"))
    body.append(label((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label, kind="axis"))
    if chance is not None:
        body.append(rule(LEFT, y(chance), WIDTH - RIGHT, y(chance), "chance"))
        body.append(label(WIDTH - RIGHT, y(chance) - 4, "chance", "end", "tick soft"))
    for line in sorted(lines, key=lambda line: not line.thin):
        body += _line(line, lambda value: place(warp(value)), y)
    return svg(body, said, WIDTH, HEIGHT)


def _y_axis(low: Number, high: Number, y: Callable[[Number], Number], percent: bool) -> list[Markup]:
    body = []
    for tick in ticks(low, high):
        body.append(rule(LEFT, y(tick), WIDTH - RIGHT, y(tick), "grid"))
        body.append(label(LEFT - 6, y(tick) + 4, tick_label(tick, percent), "end"))
    return body


def _line(line: Line, x: Callable[[Number], Number], y: Callable[[Number], Number]) -> list[Markup]:
    # A long history is thinned to what a screen resolves; its last point always stays.
    stride = max(1, math.ceil(len(line.points) / _LONGEST_LINE))
    points = [*line.points[:-1:stride], line.points[-1]]
    path = _polyline([(x(p.x), y(p.value)) for p in points])
    series = line.series % SERIES
    body = []
    banded = not line.thin and all(p.low is not None and p.high is not None for p in points)
    if banded and len(points) > 1:
        upper = [(x(p.x), y(p.high)) for p in points]
        lower = [(x(p.x), y(p.low)) for p in reversed(points)]
        body.append(Markup(f'<path class="band s{series}" d="{_polyline([*upper, *lower])}Z"/>'))
    weight = "line thin" if line.thin else "line"
    body.append(
        Markup('<path class="{} s{}" d="{}"><title>{}</title></path>').format(weight, series, path, points[-1].said)
    )
    if not line.thin:
        body += [_marker(line.series, x(p.x), y(p.value), p.said) for p in points]
    return body


@dataclass(frozen=True)
class Bar:
    """One bar with its interval, and the values of single subjects as dots."""

    name: str
    series: int
    value: Number
    low: Number | None
    high: Number | None
    text: str
    dots: tuple[Number, ...] = ()


def bars(items: Sequence[Bar], *, said: str, percent: bool = False, chance: Number | None = None) -> Markup:
    """Horizontal bars from zero with 95 % whiskers; ``chance`` is a dashed line across them."""
    step, top, bottom, right = 44, 6, 26, 16
    values = [b for item in items for b in (item.value, item.low, item.high, *item.dots) if b is not None]
    low = min(0.0, *values)
    high = max(*values, chance or 0.0, low + 1e-9) * 1.04
    x = _scale(low, high, 8, WIDTH - right)
    height = top + step * len(items) + bottom
    body = []
    for tick in ticks(low, high):
        body.append(rule(x(tick), top, x(tick), height - bottom, "grid"))
        body.append(label(x(tick), height - bottom + 15, tick_label(tick, percent)))
    for row, item in enumerate(items):
        y = top + row * step
        series = item.series % SERIES
        body.append(label(8, y + 13, item.name, "start", "name"))
        body.append(label(WIDTH - right, y + 13, item.text, "end", "name strong"))
        left, width = x(min(0.0, item.value)), abs(x(item.value) - x(0.0))
        body.append(
            Markup(f'<rect class="bar s{series}" x="{left:.1f}" y="{y + 19}" width="{width:.1f}" height="16" rx="2"/>')
        )
        if item.low is not None and item.high is not None:
            body.append(rule(x(item.low), y + 27, x(item.high), y + 27, "whisker"))
            body += [rule(x(end), y + 22, x(end), y + 32, "whisker") for end in (item.low, item.high)]
        body += [Markup(f'<circle class="subject" cx="{x(dot):.1f}" cy="{y + 27}" r="2.6"/>') for dot in item.dots]
        if chance is not None:
            body.append(rule(x(chance), y + 16, x(chance), y + 38, "chance over"))
    return svg(body, said, WIDTH, height)
