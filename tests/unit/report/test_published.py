"""The paper's numbers: which run they stand beside, and that they are the printed ones."""

import pytest

from mindeye2.report.published import NUMBERS, VARIANT, comparable, published_rows
from mindeye2.report.rows import Row
from mindeye2.report.summary import overall, summarise


def config(source="nsd", split="shared", **other):
    return {"dataset": {"source": source}, "matrix": {"split": split}, **other}


def own(subject, sessions, metric, picture):
    return Row("default", subject, sessions, metric, picture, 42, 0.5, 24, None, None)


def test_only_nsd_itself_is_compared():
    assert comparable(config()) and comparable(config("released"))
    assert not comparable(config(simulate={"seed": 0}))
    assert not comparable(config("haxby"))
    assert not comparable(config(split="leave_one_session_out"))


def test_only_cells_that_the_run_has_and_the_paper_too():
    rows = [
        own(1, 40, "clip", "refined"),
        own(7, 1, "retrieval_image_to_brain", ""),
        own(5, 1, "retrieval_brain_to_image", ""),
        own(1, 40, "clip", "unrefined"),
        own(3, 40, "clip", "refined"),
        own(1, 10, "clip", "refined"),
    ]
    found = {(r.subject, r.sessions, r.metric): r.value for r in published_rows(rows)}
    # Table 7 and 8: CLIP of subject 1, "Image" of subject 7, "Brain" of subject 5.
    assert found == {
        (1, 40, "clip"): 0.9356,
        (7, 1, "retrieval_image_to_brain"): 0.6444,
        (5, 1, "retrieval_brain_to_image"): 0.4696,
    }


@pytest.mark.parametrize(
    ("metric", "sessions", "mean"),
    [
        ("pixel_correlation", 40, 0.322),
        ("ssim", 40, 0.431),
        ("clip", 40, 0.930),
        ("swav", 40, 0.344),
        ("retrieval_image_to_brain", 40, 0.988),
        ("retrieval_brain_to_image", 40, 0.983),
        ("retrieval_image_to_brain", 1, 0.790),
        ("retrieval_brain_to_image", 1, 0.574),
        ("alexnet5", 1, 0.906),
        ("efficientnet", 1, 0.810),
    ],
)
def test_means_over_subjects_are_those_of_table_1(metric, sessions, mean):
    picture = "" if metric.endswith(("brain", "image")) else "refined"
    rows = published_rows([own(subject, sessions, metric, picture) for subject in (1, 2, 5, 7)])
    value = overall(summarise(rows), VARIANT, sessions).get((metric, picture)).value
    assert value == pytest.approx(mean, abs=0.00101)


def test_every_metric_has_four_subjects_twice():
    assert {len(values) for values in NUMBERS.values()} == {8}
    assert all(0 < value <= 1 for values in NUMBERS.values() for value in values)
