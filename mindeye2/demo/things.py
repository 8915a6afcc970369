"""How each kind of thing is drawn: flat shapes on a square from -1 to 1, y downwards."""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

INK: Colour = (25, 20, 20)
PAPER: Colour = (250, 250, 240)
WOOD: Colour = (115, 75, 40)
_OUTLINE = 0.07


class Pen:
    """Draws on the square around (x, y) with half side ``half``, all in canvas pixels."""

    def __init__(self, draw: ImageDraw.ImageDraw, x: float, y: float, half: float, *, mirrored: bool):
        self._draw, self._x, self._y, self._half = draw, x, y, half
        self._side = -1.0 if mirrored else 1.0
        self._width = max(1, round(_OUTLINE * half))

    def _at(self, point: Point) -> Point:
        return self._x + self._side * point[0] * self._half, self._y + point[1] * self._half

    def _box(self, corner: Point, opposite: Point) -> tuple[float, float, float, float]:
        (x0, y0), (x1, y1) = self._at(corner), self._at(opposite)
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)

    def ellipse(self, corner: Point, opposite: Point, fill: Colour, *, outlined: bool = True) -> None:
        box = self._box(corner, opposite)
        self._draw.ellipse(box, fill=fill, outline=INK if outlined else None, width=self._width if outlined else 0)

    def rectangle(self, corner: Point, opposite: Point, fill: Colour, *, outlined: bool = True) -> None:
        box = self._box(corner, opposite)
        self._draw.rectangle(box, fill=fill, outline=INK if outlined else None, width=self._width if outlined else 0)

    def polygon(self, points: Sequence[Point], fill: Colour, *, outlined: bool = True) -> None:
        corners = [self._at(point) for point in points]
        self._draw.polygon(corners, fill=fill)
        if outlined:
            self._draw.line([*corners, *corners[:2]], fill=INK, width=self._width, joint="curve")

    def line(self, points: Sequence[Point], fill: Colour, width: float) -> None:
        """A stroke with round joints; ``width`` in half sides."""
        self._draw.line(
            [self._at(point) for point in points], fill=fill, width=round(width * self._half), joint="curve"
        )

    def ring(self, centre: Point, radius: float, width: float, fill: Colour) -> None:
        """An outlined ring; its hole shows what lies behind."""
        x, y = self._at(centre)
        outer = radius * self._half
        for edge, colour in ((0.0, INK), (_OUTLINE * self._half, fill)):
            box = (x - outer + edge, y - outer + edge, x + outer - edge, y + outer - edge)
            self._draw.ellipse(box, outline=colour, width=round(width * self._half - 2 * edge))
        inner = outer - width * self._half + self._width
        self._draw.ellipse((x - inner, y - inner, x + inner, y + inner), outline=INK, width=self._width)


def shade(colour: Colour, by: float) -> Colour:
    """Darker for ``by`` < 0, lighter for ``by`` > 0, from -1 (ink) to 1 (white)."""
    goal = np.asarray(INK if by < 0 else (255, 255, 255))
    mixed = np.asarray(colour) * (1 - abs(by)) + goal * abs(by)
    return tuple(int(value) for value in mixed.round())


def face(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    pen.ellipse((-1.0, -0.25), (-0.6, 0.3), colour)
    pen.ellipse((0.6, -0.25), (1.0, 0.3), colour)
    pen.ellipse((-0.8, -1.0), (0.8, 1.0), colour)
    pen.polygon([(-0.68, -0.5), (-0.5, -0.85), (0.0, -0.99), (0.5, -0.85), (0.68, -0.5), (0.2, -0.62)], INK)
    for side in (-1, 1):
        pen.ellipse((side * 0.36 - 0.2, -0.36), (side * 0.36 + 0.2, 0.0), PAPER)
        pen.ellipse((side * 0.36 - 0.09, -0.27), (side * 0.36 + 0.09, -0.09), INK, outlined=False)
    pen.polygon([(0.0, 0.0), (0.16, 0.3), (-0.1, 0.3)], shade(colour, -0.45), outlined=False)
    pen.ellipse((-0.4, 0.42), (0.4, 0.72), PAPER)


def house(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    pen.rectangle((0.35, -0.9), (0.62, -0.3), shade(colour, -0.6))
    pen.rectangle((-0.78, -0.2), (0.78, 1.0), colour)
    pen.polygon([(-1.0, -0.15), (0.0, -0.98), (1.0, -0.15)], shade(colour, -0.5))
    pen.rectangle((0.12, 0.35), (0.52, 1.0), WOOD)
    pen.rectangle((-0.58, 0.15), (-0.12, 0.6), PAPER)


def cat(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    tail = [(-0.55, 0.35), (-0.85, 0.1), (-0.88, -0.35), (-0.68, -0.6)]
    pen.line(tail, INK, 0.32)
    pen.line(tail, colour, 0.18)
    for x in (-0.6, -0.32, 0.14, 0.42):
        pen.rectangle((x, 0.4), (x + 0.22, 1.0), colour)
    pen.ellipse((-0.75, 0.0), (0.65, 0.72), colour)
    pen.polygon([(0.02, -0.4), (0.08, -1.0), (0.42, -0.68)], colour)
    pen.polygon([(0.94, -0.4), (0.92, -1.0), (0.56, -0.68)], colour)
    pen.ellipse((0.0, -0.78), (1.0, 0.12), colour)
    for x in (0.32, 0.68):
        pen.ellipse((x - 0.1, -0.48), (x + 0.1, -0.24), PAPER)
    pen.polygon([(0.42, -0.16), (0.58, -0.16), (0.5, -0.04)], INK, outlined=False)


def shoe(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    upper = [(-0.95, -0.5), (-0.3, -0.5), (-0.1, -0.15), (0.55, 0.1), (0.92, 0.22), (0.98, 0.5), (-0.95, 0.5)]
    pen.polygon(upper, colour)
    pen.rectangle((-1.0, 0.42), (1.0, 0.66), PAPER)
    pen.polygon([(-0.95, -0.5), (-0.62, -0.5), (-0.7, 0.42), (-0.95, 0.42)], shade(colour, -0.5))
    for step in range(3):
        x, y = -0.22 + 0.26 * step, -0.24 + 0.13 * step
        pen.line([(x, y), (x - 0.16, y + 0.3)], PAPER, 0.1)


def scissors(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    steel = (205, 212, 220)
    pen.polygon([(-0.32, 0.42), (-0.08, 0.3), (0.62, -1.0), (0.4, -0.92)], steel)
    pen.polygon([(0.32, 0.42), (0.08, 0.3), (-0.62, -1.0), (-0.4, -0.92)], steel)
    pen.ring((-0.46, 0.56), 0.46, 0.26, colour)
    pen.ring((0.46, 0.56), 0.46, 0.26, colour)
    pen.ellipse((-0.1, -0.12), (0.1, 0.08), INK)


def bottle(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    body = [
        (-0.16, -0.75),
        (0.16, -0.75),
        (0.16, -0.4),
        (0.42, -0.08),
        (0.42, 1.0),
        (-0.42, 1.0),
        (-0.42, -0.08),
        (-0.16, -0.4),
    ]
    pen.polygon(body, colour)
    pen.rectangle((-0.2, -1.0), (0.2, -0.7), WOOD)
    pen.rectangle((-0.42, 0.2), (0.42, 0.65), PAPER)


def chair(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    for x in (-0.62, 0.36):
        pen.rectangle((x + 0.16, 0.3), (x + 0.3, 0.82), shade(colour, -0.5))
    for x in (-0.7, 0.48):
        pen.rectangle((x, -1.0), (x + 0.22, 1.0), colour)
    for y in (-0.92, -0.52):
        pen.rectangle((-0.7, y), (0.7, y + 0.22), colour)
    pen.polygon([(-0.62, 0.02), (0.62, 0.02), (0.9, 0.36), (-0.9, 0.36)], colour)
    for x in (-0.9, 0.68):
        pen.rectangle((x, 0.36), (x + 0.22, 1.0), colour)


def scrambled(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    palette = [colour, colour, shade(colour, -0.55), shade(colour, 0.6), INK]
    cells = 6
    step = 1.9 / cells
    chosen = patches.integers(len(palette), size=(cells, cells))
    for row in range(cells):
        for column in range(cells):
            x, y = -0.95 + column * step, -0.95 + row * step
            pen.rectangle((x, y), (x + step, y + step), palette[chosen[row, column]], outlined=False)


def ball(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    pen.ellipse((-0.9, -0.9), (0.9, 0.9), colour)
    pen.ellipse((-0.34, -0.9), (0.34, 0.9), shade(colour, -0.5))
    pen.ellipse((-0.6, -0.62), (-0.2, -0.3), PAPER, outlined=False)


def tree(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    pen.rectangle((-0.16, 0.5), (0.16, 1.0), WOOD)
    for top, bottom, half in ((0.0, 0.68, 0.85), (-0.5, 0.25, 0.66), (-1.0, -0.2, 0.46)):
        pen.polygon([(0.0, top), (half, bottom), (-half, bottom)], colour)


def car(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    pen.polygon([(-0.62, -0.1), (-0.4, -0.58), (0.32, -0.58), (0.6, -0.1)], shade(colour, -0.4))
    pen.polygon([(-0.46, -0.12), (-0.32, -0.44), (-0.06, -0.44), (-0.06, -0.12)], PAPER, outlined=False)
    pen.polygon([(0.06, -0.12), (0.06, -0.44), (0.26, -0.44), (0.42, -0.12)], PAPER, outlined=False)
    pen.polygon([(-1.0, -0.1), (0.75, -0.1), (1.0, 0.1), (1.0, 0.42), (-1.0, 0.42)], colour)
    for x in (-0.52, 0.52):
        pen.ellipse((x - 0.28, 0.14), (x + 0.28, 0.7), INK)
        pen.ellipse((x - 0.12, 0.3), (x + 0.12, 0.54), PAPER, outlined=False)


def cup(pen: Pen, colour: Colour, patches: np.random.Generator) -> None:
    pen.ring((0.5, 0.02), 0.45, 0.2, colour)
    pen.polygon([(-0.8, -0.5), (0.5, -0.5), (0.28, 0.8), (-0.58, 0.8)], colour)
    pen.ellipse((-0.82, -0.72), (0.52, -0.3), shade(colour, -0.6))
    pen.rectangle((-0.7, 0.1), (0.4, 0.3), PAPER, outlined=False)


SHAPES: dict[str, Callable[[Pen, Colour, np.random.Generator], None]] = {
    shape.__name__: shape
    for shape in (face, house, cat, shoe, scissors, bottle, chair, scrambled, ball, tree, car, cup)
}
