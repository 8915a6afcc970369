"""The training set: pictures and captions of the drawn world, rendered once."""

import json
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from mindeye2.demo.world import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    MAIN_PLACES,
    SIZES,
    Scene,
    Thing,
    captions,
    render,
    sample_scene,
)
from mindeye2.progress import track
from mindeye2.seeds import numpy_generator

IMAGE_PX = 64
_CHUNK = 500


@dataclass(frozen=True)
class Scenes:
    """``pictures`` uint8 (N, 64, 64, 3), ``captions`` N lists of five, ``labels`` int64 (N, 5).

    The labels are kind, colour, size, place and background of the main thing, as positions in the world's tuples.
    """

    pictures: np.ndarray
    captions: list[list[str]]
    labels: np.ndarray

    def lines(self) -> tuple[list[str], np.ndarray]:
        """Distinct captions, and for each picture the positions of its five: int64 (N, 5)."""
        distinct, positions = np.unique(np.asarray(self.captions), return_inverse=True)
        return distinct.tolist(), positions.reshape(len(self.captions), -1)


def scene(seed: int, purpose: str, index: int) -> Scene:
    """Scene number ``index`` of one purpose: ``train`` or ``quality``, which share no draw."""
    return sample_scene(numpy_generator(seed, "networks", purpose, index))


def labels(drawn: Scene) -> list[int]:
    main = drawn.main
    return [
        KINDS.index(main.kind),
        COLOURS.index(main.colour),
        SIZES.index(main.size),
        MAIN_PLACES.index(main.place),
        BACKGROUNDS.index(drawn.background),
    ]


def _chunk(task: tuple[int, str, int, int]) -> tuple[np.ndarray, list[list[str]], list[list[int]]]:
    seed, purpose, first, last = task
    drawn = [scene(seed, purpose, index) for index in range(first, last)]
    return (
        np.stack([render(one, IMAGE_PX) for one in drawn]),
        [captions(one) for one in drawn],
        list(map(labels, drawn)),
    )


def draw(seed: int, purpose: str, count: int, *, workers: int = 1) -> Scenes:
    """Render ``count`` scenes; the result does not depend on ``workers``."""
    tasks = [(seed, purpose, first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
    if workers == 1:
        parts = list(map(_chunk, tasks))
    else:
        with get_context("fork").Pool(workers) as pool:
            parts = list(track(pool.imap(_chunk, tasks), "scenes", len(tasks)))
    pictures, texts, classes = zip(*parts, strict=True)
    return Scenes(np.concatenate(pictures), [text for part in texts for text in part], np.concatenate(classes))


def load_or_draw(folder: Path, seed: int, count: int, *, workers: int) -> Scenes:
    """The training scenes of ``folder``, rendered there first unless they are already."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"train-{seed}-{count}"
    notes, pictures = stem.with_suffix(".json"), stem.with_suffix(".npy")
    if not notes.is_file():
        drawn = draw(seed, "train", count, workers=workers)
        np.save(pictures, drawn.pictures)
        notes.write_text(json.dumps({"captions": drawn.captions, "labels": drawn.labels.tolist()}))
        return drawn
    content = json.loads(notes.read_text())
    return Scenes(np.load(pictures), content["captions"], np.asarray(content["labels"]))


def vocabulary() -> list[str]:
    """Every word of every caption, sorted."""
    beside = [
        (Thing(first, COLOURS[0], SIZES[0], "top left"), Thing(second, COLOURS[1], SIZES[0], "top right"))
        for first, second in zip(KINDS, KINDS[::-1], strict=True)
    ]
    drawn = [
        Scene((Thing(kind, colour, SIZES[-1], "middle"), *others), BACKGROUNDS[0])
        for kind, colour, others in product(KINDS, COLOURS, ((), *beside[:1]))
    ]
    drawn += [Scene((Thing("cat", "red", SIZES[-1], "middle"), *pair), BACKGROUNDS[0]) for pair in beside]
    drawn += [
        Scene((Thing("cat", "red", size, place), beside[0][0]), background)
        for size, place, background in product(SIZES[1:], MAIN_PLACES, BACKGROUNDS)
    ]
    return sorted({word for one in drawn for caption in captions(one) for word in caption.split()})
