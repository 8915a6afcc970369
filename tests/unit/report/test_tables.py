"""The wide tables: Markdown for people, LaTeX for papers."""

import re
import shutil
import subprocess

import pytest

from mindeye2.report.rows import Row
from mindeye2.report.tables import latex, latex_escaped, markdown


def row(variant="default", metric="pixel_correlation", picture="refined", seed=1, value=0.374, n=24, **other):
    low, high = (None, None) if value is None else (value - 0.01, value + 0.01)
    return Row(variant, other.get("subject", 1), other.get("sessions", 1), metric, picture, seed, value, n, low, high)


def cells(table: str, start: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {start} |"))
    return [part.strip() for part in line.strip("|").split("|")]


def test_markdown_shows_value_interval_and_count():
    text = markdown([row(), row(metric="clip", value=0.9356)], run="demo")
    assert cells(text, "default") == ["default", "1", "1", "24", "0.374 [0.364, 0.384]", "93.6 [92.6, 94.6]"]
    assert "CLIP % ↑" in text


def test_what_was_not_computed_is_a_dash_with_a_footnote():
    text = markdown([row(), row(metric="clip", value=None, n=None)], run="demo")
    assert cells(text, "default")[-1] == "–"
    assert "- – was not computed." in text
    assert "was not computed" not in markdown([row()], run="demo")


def test_a_variant_without_a_column_has_an_open_cell_not_a_missing_one():
    text = markdown([row(), row(metric="clip", value=0.9), row("scratch")], run="demo")
    assert len(cells(text, "scratch")) == len(cells(text, "default"))
    assert cells(text, "scratch")[-1] == "–"
    assert "- – was not computed." in text


def test_seeds_give_mean_and_spread():
    text = markdown([row(seed=1, value=0.3), row(seed=2, value=0.4)], run="demo")
    assert cells(text, "default")[-1] == "0.350 ± 0.071 [0.340, 0.360]"
    assert "standard deviation over 2 seeds" in text


def test_a_count_of_its_own_stands_in_the_cell():
    text = markdown([row(), row(metric="ssim"), row(metric="clip", n=8)], run="demo")
    assert cells(text, "default")[3] == "24"
    assert cells(text, "default")[-1].endswith("n = 8")


def test_the_best_variant_is_bold_and_lower_is_better_for_distances():
    rows = [row(v, metric=m, value=x) for v, m, x in (("a", "ssim", 0.5), ("b", "ssim", 0.4))]
    rows += [row(v, metric=m, value=x) for v, m, x in (("a", "swav", 0.5), ("b", "swav", 0.4))]
    text = markdown(rows, run="demo")
    assert [cell.startswith("**") for cell in cells(text, "a")[4:]] == [True, False]
    assert [cell.startswith("**") for cell in cells(text, "b")[4:]] == [False, True]


def test_mean_rows_say_how_many_items_of_how_many_subjects():
    text = markdown([row(subject=1), row(subject=2)], run="demo")
    assert cells(text, "default | mean")[3] == "2 × 24"


def test_tables_are_grouped_by_picture():
    rows = [row(picture=picture) for picture in ("lowlevel", "unrefined", "refined")]
    rows += [row(metric="retrieval_brain_to_image", picture="")]
    titles = re.findall(r"^## (.*)$", markdown(rows, run="demo"), flags=re.MULTILINE)
    assert titles == ["Retrieval and identification", "Refined pictures", "Unrefined pictures", "Low-level pictures"]


def test_latex_escapes_every_special_character():
    text = latex([row("no_refine", metric="made_up#{50%}&~^\\")], run="a_b")
    assert r"no\_refine" in text
    assert r"run a\_b" in text
    assert r"Made up\#\{50\%\}\&\textasciitilde{}\textasciicircum{}\textbackslash{}" in text
    assert latex_escaped("$5 – 3 ± 1") == r"\$5 -- 3 $\pm$ 1"
    assert text.isascii()


def test_latex_has_rules_and_as_many_cells_as_columns():
    text = latex([row(), row(metric="clip", value=None), row("scratch"), row("scratch", metric="clip")], run="demo")
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    columns = re.search(r"begin\{tabular\}\{(\w+)\}", text)[1]
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 3
    assert {line.count("&") + 1 for line in lines} == {len(columns)}
    assert r"\textbf" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(demo_folder, tmp_path):
    packages = r"\usepackage{booktabs}\usepackage{graphicx}"
    document = rf"\documentclass{{article}}{packages}\begin{{document}}\input{{matrix.tex}}\end{{document}}"
    shutil.copy(demo_folder / "matrix.tex", tmp_path)
    (tmp_path / "all.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout[-2000:]
