"""Confidence intervals, and the rows that hold them."""

import numpy as np
import pytest

from mindeye2.metrics.intervals import bootstrap_interval, normal_interval
from mindeye2.metrics.table import Table


def test_bootstrap_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        low, high = bootstrap_interval(rng.exponential(size=60), resamples=400, generator=rng)
        covered += low <= 1.0 <= high
    assert 0.89 <= covered / 400 <= 0.98


def test_bootstrap_narrows_with_the_number_of_items_and_repeats_with_its_seed():
    values = np.random.default_rng(0).standard_normal(400)
    wide, again, narrow = (
        bootstrap_interval(part, resamples=500, generator=np.random.default_rng(1))
        for part in (values[:40], values[:40], values)
    )
    assert wide == again
    assert narrow[1] - narrow[0] < 0.5 * (wide[1] - wide[0])
    assert bootstrap_interval(np.ones(5), resamples=20, generator=np.random.default_rng(0)) == pytest.approx((1, 1))


def test_bootstrap_agrees_with_drawing_items():
    values = np.random.default_rng(2).standard_normal(50)
    rng = np.random.default_rng(3)
    means = [rng.choice(values, 50).mean() for _ in range(4000)]
    found = bootstrap_interval(values, resamples=4000, generator=np.random.default_rng(4))
    assert found == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.03)


def test_normal_interval():
    low, high = normal_interval(np.array([0.0, 1.0]))
    assert (low, high) == pytest.approx((0.5 - 1.95996 * 0.5 / 2**0.5, 0.5 + 1.95996 * 0.5 / 2**0.5), abs=1e-4)


def test_rows_as_written(tmp_path, capsys):
    table = Table(seed=1, resamples=50)
    table.measure("ssim", np.array([0.25, 0.75]), picture="refined")
    table.measure("swav", np.array([0.5, np.nan]), picture="refined", undefined=1.0)
    table.measure("identification_8way", np.array([True, True]), baseline="linear_svm")
    table.leave_out("alexnet2", "no weights", pictures=("unrefined", "refined"))
    table.write(tmp_path / "metrics.csv")

    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == "baseline,metric,picture,value,n,low,high"
    assert lines[1].startswith(",ssim,refined,0.5,2,0.")
    assert lines[2].startswith(",swav,refined,0.75,2,")
    assert lines[3] == "linear_svm,identification_8way,,1.0,2,1.0,1.0"
    assert lines[4:] == [",alexnet2,unrefined,,,,", ",alexnet2,refined,,,,"]
    said = capsys.readouterr().err.splitlines()
    assert said == ["swav refined: not defined for 1 of 2 items, counted as 1", "alexnet2: not computed: no weights"]


def test_a_row_does_not_move_the_intervals_of_others():
    values = np.random.default_rng(0).standard_normal(30)
    alone, after = Table(seed=1, resamples=50), Table(seed=1, resamples=50)
    alone.measure("ssim", values)
    after.measure("pixel_correlation", values)
    after.measure("ssim", values)
    assert alone.rows[0] == after.rows[1]
    assert after.rows[0][5:] != after.rows[1][5:]


def test_ratio_of_means_is_resampled_by_pairs():
    rng = np.random.default_rng(5)
    of = rng.uniform(0.1, 1.0, size=200)
    table = Table(seed=1, resamples=400)
    table.measure_ratio("half", of / 2, of)
    assert table.rows[0][3:] == pytest.approx((0.5, 200, 0.5, 0.5))
    noise = of / 2 + 0.1 * rng.standard_normal(200)
    table.measure_ratio("noisy", noise, of)
    draws = [(noise[drawn].mean() / of[drawn].mean()) for drawn in rng.integers(0, 200, size=(4000, 200))]
    assert table.rows[1].value == pytest.approx(noise.mean() / of.mean())
    assert table.rows[1][5:] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.01)


def test_a_ratio_to_nothing_is_left_out(capsys):
    table = Table(seed=1, resamples=10)
    table.measure_ratio("relative", np.ones(3), np.zeros(3))
    assert table.rows[0].value is None
    assert capsys.readouterr().err == "relative: not computed: what it is relative to is 0\n"
