"""The findings in words."""

import pytest

from mindeye2.report.rows import Row
from mindeye2.report.summary import summarise
from mindeye2.report.words import enumerated, headline, key_column, panel_title, plural

RETRIEVAL, SWAV = ("retrieval_brain_to_image", ""), ("swav", "refined")


def row(variant, sessions, value, column=RETRIEVAL, subject=1, half=0.02):
    return Row(variant, subject, sessions, *column, 42, value, 300, value - half, value + half)


def said(rows, column=RETRIEVAL, variants=("default", "scratch")):
    sessions = sorted({row.sessions for row in rows})
    sentences = headline(summarise(rows), column, list(variants), sessions=sessions, unit="session", pool=300)
    return [str(sentence.striptags()).replace("\N{NO-BREAK SPACE}", " ") for sentence in sentences]


def test_who_leads_at_the_smallest_and_the_largest_number_of_sessions():
    rows = [row("default", 1, 0.6), row("scratch", 1, 0.3), row("default", 40, 0.95), row("scratch", 40, 0.97)]
    assert said(rows) == [
        "After 1 session of training, brain → image retrieval is 60.0 % (95 % CI 58.0 to 62.0; chance 0.3 %) "
        "with default, 30.0 points above scratch (30.0 %).",
        "After 40 sessions of training, brain → image retrieval is 97.0 % (95 % CI 95.0 to 99.0; chance 0.3 %) "
        "with scratch, 2.0 points above default (95.0 %); their intervals overlap, so the order may be chance.",
        "From 1 to 40 sessions: +67.0 points for scratch, +35.0 points for default.",
        "Of the sessions tried, 40 is the first number with which scratch reaches what default has after 1 session.",
    ]


def test_a_runner_up_that_never_gets_there():
    rows = [row("default", 1, 0.6), row("scratch", 1, 0.1), row("default", 3, 0.7), row("scratch", 3, 0.5)]
    assert said(rows)[-1] == "scratch does not reach in 3 sessions what default has after 1 session."


def test_the_mean_is_called_one():
    rows = [row(v, 1, x, subject=s) for v, s, x in (("default", 1, 0.2), ("default", 2, 0.4))]
    assert said(rows) == [
        "After 1 session of training, brain → image retrieval is 30.0 % on average over subjects "
        "(95 % CI 28.0 to 32.0; chance 0.3 %) with default."
    ]


def test_lower_is_better_for_a_distance():
    rows = [row("default", 1, 0.4, SWAV), row("scratch", 1, 0.6, SWAV)]
    (sentence,) = said(rows, SWAV)
    assert "SwAV of refined pictures is 0.400" in sentence
    assert "with default, 0.200 below scratch (0.600)." in sentence


def test_equal_values_have_no_leader():
    (sentence,) = said([row("default", 1, 0.5), row("scratch", 1, 0.5)])
    assert sentence.endswith("with default, and the same with scratch.")


def test_nothing_computed_is_said():
    rows = [Row("default", 1, 1, *RETRIEVAL, 42, None, None, None, None)]
    assert said(rows) == ["Nothing was computed for brain → image retrieval."]


def test_the_leading_metric():
    eight = ("identification_8way", "")
    assert key_column([SWAV, RETRIEVAL, eight], [eight]) == eight
    assert key_column([SWAV, RETRIEVAL], []) == RETRIEVAL
    assert key_column([SWAV], []) == SWAV


@pytest.mark.parametrize(("items", "text"), [([1], "1"), ([1, 3], "1 and 3"), ([1, 2, 40], "1, 2 and 40")])
def test_enumerations(items, text):
    assert enumerated(items) == text


def test_small_words():
    assert (plural(1, "run"), plural(2, "run")) == ("1 run", "2 runs")
    assert panel_title(SWAV) == "SwAV, refined ↓"
