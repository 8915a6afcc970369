"""The long form: what evaluate wrote, under the names of variants, with baselines once."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import FakeRun, haxby_config

from mindeye2.errors import UserError
from mindeye2.report.cells import Cell, read_cells
from mindeye2.report.rows import COLUMNS, Row, matrix_rows, write_matrix

HEADER = "baseline,metric,picture,value,n,low,high\n"


def cell(folder: Path, variant: str, metrics: str, *, subject: int = 1) -> Cell:
    evaluate = folder / f"{variant}{subject}"
    evaluate.mkdir()
    (evaluate / "metrics.csv").write_text(HEADER + metrics)
    return Cell(variant, subject, 3, 42, evaluate, (evaluate,), (evaluate,), (evaluate,), None, evaluate)


def test_rows_hold_what_evaluate_wrote_in_full_precision(tmp_path):
    one = cell(tmp_path, "default", ",clip,refined,0.9301234567890123,24,0.91,0.95\n,swav,refined,,,,\n")
    rows = matrix_rows([one])
    assert rows == [
        Row("default", 1, 3, "clip", "refined", 42, 0.9301234567890123, 24, 0.91, 0.95),
        Row("default", 1, 3, "swav", "refined", 42, None, None, None, None),
    ]
    write_matrix(rows, tmp_path / "matrix.csv")
    lines = (tmp_path / "matrix.csv").read_text().splitlines()
    assert lines[0] == "variant,subject,sessions,metric,picture,seed,value,n,low,high" == ",".join(COLUMNS)
    assert lines[1] == "default,1,3,clip,refined,42,0.9301234567890123,24,0.91,0.95"
    assert lines[2] == "default,1,3,swav,refined,42,,,,"


def test_nan_is_a_metric_without_a_value(tmp_path):
    (row,) = matrix_rows([cell(tmp_path, "default", ",clip,refined,nan,24,nan,nan\n")])
    assert (row.value, row.n, row.low) == (None, 24, None)


def test_a_baseline_becomes_one_variant_after_the_others(tmp_path):
    line = ",identification_8way,,0.6,96,0.5,0.7\nlinear_svm,identification_8way,,0.698,96,0.61,0.79\n"
    rows = matrix_rows([cell(tmp_path, name, line) for name in ("default", "scratch")])
    assert [row.variant for row in rows] == ["default", "scratch", "linear_svm"]
    assert rows[-1].value == 0.698


def test_a_baseline_that_differs_between_variants_is_not_hidden(tmp_path):
    same, other = "linear_svm,identification_8way,,0.7,96,,\n", "linear_svm,identification_8way,,0.5,96,,\n"
    rows = matrix_rows([cell(tmp_path, "default", same), cell(tmp_path, "unscaled", other)])
    assert [(row.variant, row.value) for row in rows] == [("linear_svm", 0.7), ("linear_svm@unscaled", 0.5)]


def test_a_variant_named_like_a_baseline_keeps_its_own_rows(tmp_path):
    line = ",identification_8way,,0.6,96,0.5,0.7\nlinear_svm,identification_8way,,0.698,96,0.61,0.79\n"
    rows = matrix_rows([cell(tmp_path, "linear_svm", line)])
    assert [(row.variant, row.value) for row in rows] == [("linear_svm", 0.6), ("linear_svm@linear_svm", 0.698)]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("metric,value\nclip,1\n", "no column baseline, picture"),
        (HEADER + ",clip,refined,0.9,24\n", "more or fewer values"),
        (HEADER + ",clip,refined,high,24,,\n", "'high'"),
    ],
)
def test_a_damaged_table_is_named(tmp_path, content, problem):
    one = cell(tmp_path, "default", "")
    (one.evaluate / "metrics.csv").write_text(content)
    with pytest.raises(UserError, match=rf"metrics\.csv: .*{problem}.*build it again"):
        matrix_rows([one])


def test_a_missing_table_is_named(tmp_path):
    one = replace(cell(tmp_path, "default", ""), evaluate=tmp_path / "gone")
    with pytest.raises(UserError, match=r"gone/metrics\.csv: cannot be read"):
        matrix_rows([one])


def test_sessions_are_those_trained_on_when_each_is_left_out_in_turn(tmp_path):
    job = FakeRun(tmp_path, haxby_config()).job()
    (one,) = read_cells(job.config["cells"], job.inputs)
    assert len(one.reconstruct) == 12
    assert one.sessions == 11


def test_every_row_of_every_evaluation_is_in_the_matrix(demo_job, demo_folder):
    written = sum(len((folder / "metrics.csv").read_text().splitlines()) - 1 for folder in demo_job.inputs["evaluate"])
    with (demo_folder / "matrix.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == written > 0
    assert len({tuple(row[name] for name in COLUMNS[:6]) for row in rows}) == written
