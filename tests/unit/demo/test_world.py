import numpy as np
import pytest

from mindeye2.demo.things import SHAPES
from mindeye2.demo.world import (
    BACKGROUNDS,
    COLOURS,
    HAXBY_KINDS,
    KINDS,
    MAIN_PLACES,
    SIDE,
    SIZES,
    Scene,
    Thing,
    captions,
    render,
    sample_scene,
)


def _scenes(count: int, seed: int = 0) -> list[Scene]:
    generator = np.random.default_rng(seed)
    return [sample_scene(generator) for _ in range(count)]


def test_equal_seeds_give_equal_pictures_and_other_seeds_others():
    first, again, other = _scenes(20), _scenes(20), _scenes(20, seed=1)
    assert first == again and first != other
    for scene, same in zip(first, again, strict=True):
        picture = render(scene, 64)
        assert picture.dtype == np.uint8 and picture.shape == (64, 64, 3)
        np.testing.assert_array_equal(picture, render(same, 64))


def test_sampling_reaches_every_attribute():
    scenes = _scenes(600)
    assert {scene.main_kind for scene in scenes} == set(KINDS)
    assert {scene.main_colour for scene in scenes} == set(COLOURS)
    assert {scene.main.size for scene in scenes} == set(SIZES[1:])
    assert {scene.main.place for scene in scenes} == set(MAIN_PLACES)
    assert {scene.background for scene in scenes} == set(BACKGROUNDS)
    assert {len(scene.things) for scene in scenes} == {1, 2, 3}
    assert len(set(scenes)) == len(scenes)


def test_asked_kind_is_the_main_one_and_largest():
    generator = np.random.default_rng(0)
    for kind in HAXBY_KINDS:
        for _ in range(20):
            scene = sample_scene(generator, kind=kind)
            assert scene.main_kind == kind
            assert kind not in {thing.kind for thing in scene.things[1:]}
            assert all(SIDE[thing.size] < SIDE[scene.main.size] for thing in scene.things[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_is_seen_where_it_is_placed_and_nowhere_else(kind):
    empty = render(Scene((Thing("ball", "red", "tiny", "top left"),), "wall"), 64)
    assert kind in SHAPES
    for place, rows, columns in (
        ("top left", slice(0, 24), slice(0, 24)),
        ("bottom right", slice(40, 64), slice(40, 64)),
    ):
        picture = render(Scene((Thing(kind, "red", "tiny", place),), "wall"), 64)
        changed = (picture != empty[32, 32]).any(axis=2)
        assert changed[rows, columns].sum() > 40
        assert changed.sum() == changed[rows, columns].sum()


def test_kinds_colours_and_sizes_differ_by_many_pixels():
    def picture(kind="car", colour="red", size="big"):
        return render(Scene((Thing(kind, colour, size, "middle"),), "wall"), 64).astype(float)

    for pictures in (
        [picture(kind=kind) for kind in KINDS],
        [picture(colour=colour) for colour in COLOURS],
        [picture(size=size) for size in SIZES],
    ):
        for index, one in enumerate(pictures):
            for other in pictures[index + 1 :]:
                assert np.abs(one - other).max(axis=2).clip(0, 64).mean() > 3


def test_captions_name_the_main_thing_in_a_closed_vocabulary():
    words = set()
    for scene in _scenes(2000):
        wordings = captions(scene)
        assert len(wordings) == len(set(wordings)) == 5
        for caption in wordings:
            assert caption == caption.lower() and len(caption) <= 75 and len(caption.split()) <= 16
            assert scene.main_kind in caption.split() and scene.main_colour in caption.split()
            words.update(caption.split())
        assert scene.main.size in wordings[0].split() and scene.main.place in wordings[0].split()
        assert all(thing.kind in wordings[2].split() for thing in scene.things)
    assert len(words) < 120


def test_larger_pictures_show_the_same_scene():
    for scene in _scenes(10):
        small, large = render(scene, 64).astype(float), render(scene, 128).astype(float)
        averaged = large.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
        assert np.corrcoef(small.ravel(), averaged.ravel())[0, 1] > 0.98
