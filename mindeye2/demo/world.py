"""The drawn world: scenes of simple things, as pictures and as captions.

A scene is a background and one to three things; the first is the main one: it is the largest, lies in
front, and every caption names its kind and colour. The kinds start with the eight categories of Haxby
et al. 2001. Everything here is a pure function of its arguments, so equal scenes give equal bytes.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from mindeye2.demo.things import SHAPES, Colour, Pen

HAXBY_KINDS = ("face", "house", "cat", "shoe", "scissors", "bottle", "chair", "scrambled")
"""The categories of Haxby et al. 2001; ``scrambled`` is a mosaic of patches."""
KINDS = (*HAXBY_KINDS, "ball", "tree", "car", "cup")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SIZES = ("tiny", "small", "medium", "big")
"""``tiny`` is kept for the things beside the main one."""
PLACES = ("middle", "left", "right", "top", "bottom", "top left", "top right", "bottom left", "bottom right")
"""The first five are for the main thing, the corners for those beside it."""
MAIN_PLACES, CORNERS = PLACES[:5], PLACES[5:]
BACKGROUNDS = ("wall", "night", "grass", "beach", "snow", "sunset")

SIDE = {"tiny": 0.25, "small": 0.42, "medium": 0.55, "big": 0.70}
"""Side of the square that a thing fills, as a share of the picture's."""

_RGB: dict[str, Colour] = {
    "red": (215, 25, 30),
    "orange": (250, 130, 10),
    "yellow": (250, 225, 30),
    "green": (20, 150, 50),
    "blue": (25, 70, 220),
    "purple": (120, 40, 165),
    "pink": (250, 130, 190),
    "white": (245, 245, 245),
}
# Muted, so that every saturated colour stands out: (upper colour, lower colour, height of the horizon).
# No horizon: a gradient from top to bottom.
_BACKDROP: dict[str, tuple[Colour, Colour, float | None]] = {
    "wall": ((150, 150, 150), (150, 150, 150), 0.5),
    "night": ((20, 24, 48), (20, 24, 48), 0.5),
    "grass": ((165, 200, 225), (105, 135, 75), 0.55),
    "beach": ((95, 150, 175), (215, 195, 150), 0.45),
    "snow": ((170, 190, 215), (225, 230, 240), 0.60),
    "sunset": ((70, 50, 95), (225, 165, 125), None),
}
_OFFSET = {place: (("right" in place) - ("left" in place), ("bottom" in place) - ("top" in place)) for place in PLACES}
_MARGIN = 0.03
_SHIFT = 0.03
_SUPERSAMPLING = 4


@dataclass(frozen=True)
class Thing:
    """One thing of a scene; ``variant`` settles its mirror side, its small shift and a mosaic's patches."""

    kind: str
    colour: str
    size: str
    place: str
    variant: int = 0


@dataclass(frozen=True)
class Scene:
    """One to three things before a background, the main one first."""

    things: tuple[Thing, ...]
    background: str

    @property
    def main(self) -> Thing:
        return self.things[0]

    @property
    def main_kind(self) -> str:
        return self.main.kind

    @property
    def main_colour(self) -> str:
        return self.main.colour


def sample_scene(generator: np.random.Generator, *, kind: str | None = None) -> Scene:
    """Draw a scene, its main thing of the given ``kind`` or of any.

    Half of the scenes hold one thing, a third two, the rest three. The things beside the main one are tiny,
    of other kinds, and stand in the corners that the main one leaves free.
    """

    def pick(options: tuple[str, ...]) -> str:
        return options[int(generator.integers(len(options)))]

    def variant() -> int:
        return int(generator.integers(2**16))

    main = Thing(kind or pick(KINDS), pick(COLOURS), pick(SIZES[1:]), pick(MAIN_PLACES), variant())
    free = tuple(corner for corner in CORNERS if main.place not in corner)
    num_others = int(generator.choice(3, p=(0.5, 0.33, 0.17)))
    corners = generator.permutation(len(free))[:num_others]
    kinds = generator.permutation([other for other in KINDS if other != main.kind])[:num_others]
    others = tuple(
        Thing(str(other), pick(COLOURS), "tiny", free[corner], variant())
        for other, corner in zip(kinds, corners, strict=True)
    )
    return Scene((main, *others), pick(BACKGROUNDS))


def render(scene: Scene, px: int) -> np.ndarray:
    """Picture of ``scene``: uint8 (px, px, 3), drawn four times as large and averaged down."""
    side = px * _SUPERSAMPLING
    picture = _backdrop(scene.background, side)
    draw = ImageDraw.Draw(picture)
    for thing in reversed(scene.things):
        half = SIDE[thing.size] / 2
        x, y, mirrored, patches = placed(thing)
        pen = Pen(draw, x * side, y * side, half * side, mirrored=mirrored)
        SHAPES[thing.kind](pen, _RGB[thing.colour], patches)
    return np.asarray(picture.resize((px, px), Image.Resampling.BOX))


def placed(thing: Thing) -> tuple[float, float, bool, np.random.Generator]:
    """Centre (x, y) as shares of the picture's side, whether mirrored, and the source of a mosaic's patches."""
    generator = np.random.default_rng(thing.variant)
    mirrored = bool(generator.integers(2))
    shift = generator.uniform(-_SHIFT, _SHIFT, 2)
    room = 0.5 - SIDE[thing.size] / 2 - _MARGIN
    x, y = (0.5 + room * step + float(by) for step, by in zip(_OFFSET[thing.place], shift, strict=True))
    return x, y, mirrored, generator


def _backdrop(background: str, side: int) -> Image.Image:
    upper, lower, horizon = _BACKDROP[background]
    if horizon is None:
        ramp = np.linspace(0.0, 1.0, side)[:, None, None]
        rows = np.asarray(upper) * (1 - ramp) + np.asarray(lower) * ramp
        return Image.fromarray(np.broadcast_to(rows.round().astype(np.uint8), (side, side, 3)).copy())
    picture = Image.new("RGB", (side, side), upper)
    picture.paste(lower, (0, round(horizon * side), side, side))
    return picture


_WHERE = {
    "middle": "in the middle",
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
}
_BEFORE = {
    "wall": "in front of a wall",
    "night": "at night",
    "grass": "on the grass",
    "beach": "on the beach",
    "snow": "in the snow",
    "sunset": "at sunset",
}


def captions(scene: Scene) -> list[str]:
    """Five wordings: lower case, a closed vocabulary, at most 75 characters and 16 words each.

    Each names kind and colour of the main thing; between them they name size, place, background and
    what stands beside it.
    """
    main, where, before = scene.main, _WHERE[scene.main.place], _BEFORE[scene.background]
    named = _named(main.kind, main.colour)
    sized = _named(main.kind, f"{main.size} {main.colour}")
    others = [_named(thing.kind, thing.colour) for thing in scene.things[1:]]
    if len(others) == 2:
        others = [_named(thing.kind) for thing in scene.things[1:]]
    beside = " and ".join(others)
    return [
        f"{sized} {where}",
        f"{named} {before}",
        f"{named} with {beside}" if others else f"{named} alone",
        f"there is {sized} {before}",
        f"we see {named} {where} {before}",
    ]


def _named(kind: str, *adjectives: str) -> str:
    """``car, red`` -> ``a red car``; ``scissors`` -> ``a pair of scissors``."""
    noun = {"scrambled": "scrambled picture"}.get(kind, kind)
    words = " ".join((*adjectives, noun))
    if kind == "scissors":
        return f"a pair of {words}"
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"
