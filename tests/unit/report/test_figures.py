"""Plots: round ticks, every value where it belongs, words for those who cannot see them."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from mindeye2.report.dag import dag
from mindeye2.report.figures import Bar, Line, Point, bars, curves, tick_label, ticks


def drawn(svg: str) -> ElementTree.Element:
    """The drawing as a tree: raises where it is not well-formed."""
    return ElementTree.fromstring(svg)


def of_class(tree: ElementTree.Element, *names: str) -> list[ElementTree.Element]:
    return [node for node in tree.iter() if set(names) <= set(node.get("class", "").split())]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (0.312, 0.447, [0.35, 0.4]),
        (1, 150, [50, 100, 150]),
        (-0.1, 0.1, [-0.1, -0.05, 0.0, 0.05, 0.1]),
        (0.0, 3e-4, [0.0, 1e-4, 2e-4, 3e-4]),
    ],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_tick_labels():
    assert (tick_label(0.25, True), tick_label(0.35, False)) == ("25 %", "0.35")


def test_curves_put_more_higher_and_draw_chance():
    points = [Point(1, 0.2, 0.1, 0.3, "one"), Point(3, 0.6, 0.5, 0.7, "three")]
    tree = drawn(curves([Line(0, points)], said="rises", x_label="sessions", chance=0.05, x_ticks=[1, 3]))
    assert tree.get("aria-label") == "rises"
    places = [re.findall(r"-?[\d.]+", node.get("transform")) for node in of_class(tree, "dot")]
    (x1, y1), (x2, y2) = [(float(x), float(y)) for x, y in places]
    assert x1 < x2 and y1 > y2
    (chance,) = of_class(tree, "chance")
    assert float(re.findall(r"[\d.]+", chance.get("d"))[1]) > y1
    assert len(of_class(tree, "band")) == 1
    assert [node[0].text for node in of_class(tree, "dot")] == ["one", "three"]


def test_sessions_far_apart_stand_on_a_logarithmic_axis():
    line = Line(0, [Point(x, 0.5) for x in (1, 2, 40)])
    tree = drawn(curves([line], said="", x_label="", x_ticks=[1, 2, 40]))
    one, two, forty = [float(re.findall(r"-?[\d.]+", node.get("transform"))[0]) for node in of_class(tree, "dot")]
    assert (two - one) / (forty - one) == pytest.approx(0.188, abs=0.01)


def test_thin_lines_have_neither_markers_nor_a_band():
    points = [Point(1, 0.2, 0.1, 0.3), Point(3, 0.6, 0.5, 0.7)]
    tree = drawn(curves([Line(1, points, thin=True)], said="", x_label=""))
    assert not of_class(tree, "dot") and not of_class(tree, "band")
    assert len(of_class(tree, "line", "thin", "s1")) == 1


def test_a_long_history_is_thinned_but_keeps_its_end():
    points = [Point(x, 1 / x) for x in range(1, 10_001)]
    tree = drawn(curves([Line(0, points, thin=True)], said="", x_label="epoch"))
    (path,) = of_class(tree, "line")
    places = path.get("d").strip("M").split("L")
    assert len(places) < 300
    assert float(places[-1].split()[0]) == max(float(place.split()[0]) for place in places)


@pytest.mark.parametrize("epochs", [2, 3, 11])
def test_epochs_have_whole_ticks(epochs):
    points = [Point(x, 1 / x) for x in range(1, epochs + 1)]
    tree = drawn(curves([Line(0, points, thin=True)], said="", x_label="epoch"))
    along = [node.text for node in of_class(tree, "tick") if node.get("text-anchor") == "middle"]
    assert along and all(text.isdigit() for text in along)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.0, 0.0]])
def test_a_flat_curve_can_be_drawn(values):
    drawn(curves([Line(0, [Point(i + 1, value) for i, value in enumerate(values)])], said="", x_label=""))


def test_bars_are_as_long_as_their_values_and_named():
    items = [Bar("ours", 0, 0.6, 0.5, 0.7, "60.0 %", (0.55, 0.65)), Bar("a < b", 1, 0.3, None, None, "30.0 %")]
    tree = drawn(bars(items, said="ours leads", percent=True, chance=0.125))
    long, short = [float(node.get("width")) for node in of_class(tree, "bar")]
    assert long == pytest.approx(2 * short, rel=0.01)
    assert len(of_class(tree, "whisker")) == 3
    assert len(of_class(tree, "subject")) == 2
    assert len(of_class(tree, "chance")) == 2
    assert {"ours", "a < b", "60.0 %"} <= {node.text for node in tree.iter()}


def test_the_stages_are_boxes_with_their_counts():
    tree = drawn(dag({"stimuli": "1 object", "targets": "3 objects"}, [("stimuli", "targets"), ("stimuli", "tables")]))
    assert len(of_class(tree, "box")) == 2
    assert "targets 3 objects" in tree.get("aria-label")
    assert [len(of_class(tree, "edge")), len(of_class(tree, "far"))] == [2, 1]
