"""Means over seeds and subjects, and which variant is best."""

import pytest

from mindeye2.report.rows import Row
from mindeye2.report.summary import MEAN, best, count_text, overall, summarise

PIX, SWAV = ("pixel_correlation", "refined"), ("swav", "refined")


def row(variant="default", subject=1, sessions=1, column=PIX, seed=42, value=0.5, n=24, half=0.1):
    low, high = (None, None) if value is None else (value - half, value + half)
    return Row(variant, subject, sessions, *column, seed, value, n, low, high)


def test_one_seed_is_shown_as_it_is():
    (entry,) = summarise([row(value=0.3)])
    value = entry.get(PIX)
    assert (value.value, value.low, value.high, value.spread, value.n) == (0.3, 0.3 - 0.1, 0.3 + 0.1, None, 24)


def test_several_seeds_give_mean_and_standard_deviation():
    (entry,) = summarise([row(seed=s, value=v) for s, v in ((1, 0.2), (2, 0.3), (3, 0.7))])
    value = entry.get(PIX)
    assert value.value == pytest.approx(0.4)
    assert value.spread == pytest.approx(0.07**0.5)
    assert (value.low, value.high) == (pytest.approx(0.3), pytest.approx(0.5))


def test_mean_over_subjects_is_one_number_per_seed():
    rows = [row(subject=s, seed=seed, value=v) for s, seed, v in ((1, 1, 0.2), (2, 1, 0.4), (1, 2, 0.4), (2, 2, 0.8))]
    value = overall(summarise(rows), "default", 1).get(PIX)
    assert value.value == pytest.approx(0.45)
    assert value.spread == pytest.approx(((0.3 - 0.45) ** 2 + (0.6 - 0.45) ** 2) ** 0.5)
    assert value.counts == (24, 24)


def test_a_missing_subject_leaves_no_mean_that_would_flatter():
    rows = [row(subject=1, value=0.9), row(subject=2, value=None), row("scratch", 1, value=0.5), row("scratch", 2)]
    entries = summarise(rows)
    assert overall(entries, "default", 1).get(PIX).value is None
    assert overall(entries, "scratch", 1).get(PIX).value == 0.5
    entries = summarise([row(subject=1), row("scratch", 1), row("scratch", 2)])
    assert overall(entries, "default", 1).get(PIX).value is None


def test_a_missing_seed_leaves_no_value():
    (entry,) = summarise([row(seed=1), row(seed=2, value=None)])
    assert entry.get(PIX).value is None


def test_one_subject_has_no_mean_row_of_its_own():
    entries = summarise([row()])
    assert [entry.subject for entry in entries] == [1]
    assert overall(entries, "default", 1) is entries[0]


def test_entries_run_by_sessions_then_subject_with_the_mean_last():
    rows = [row(v, s, n) for n in (3, 1) for v in ("default", "scratch") for s in (2, 1)]
    order = [(e.sessions, e.subject, e.variant) for e in summarise(rows)]
    assert order[:6] == [
        (1, 1, "default"),
        (1, 1, "scratch"),
        (1, 2, "default"),
        (1, 2, "scratch"),
        (1, MEAN, "default"),
        (1, MEAN, "scratch"),
    ]
    assert {sessions for sessions, _, _ in order[6:]} == {3}


@pytest.mark.parametrize(("column", "winner"), [(PIX, "default"), (SWAV, "scratch")])
def test_best_knows_whether_higher_or_lower_is_better(column, winner):
    rows = [row("default", column=column, value=0.6), row("scratch", column=column, value=0.4)]
    assert best(summarise(rows), column) == {(winner, 1, 1)}


def test_best_needs_two_to_compare_and_skips_what_it_is_told_to():
    entries = summarise([row("default", value=0.4), row("scratch", value=None), row("published", value=0.9)])
    assert best(entries, PIX, without=("published",)) == set()
    entries = summarise([row("default", value=0.4), row("scratch", value=0.3), row("published", value=0.9)])
    assert best(entries, PIX, without=("published",)) == {("default", 1, 1)}


def test_best_compares_within_a_number_of_sessions():
    rows = [row(v, sessions=n, value=x) for v, n, x in (("a", 1, 0.1), ("b", 1, 0.2), ("a", 3, 0.9), ("b", 3, 0.8))]
    assert best(summarise(rows), PIX) == {("b", 1, 1), ("a", 1, 3)}


@pytest.mark.parametrize(("counts", "text"), [((24,), "24"), ((24, 24), "2 × 24"), ((24, 20), "24 + 20"), ((), "")])
def test_counts_read_as_numbers_of_items_per_subject(counts, text):
    assert count_text(counts) == text
