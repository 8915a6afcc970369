"""Controls stand apart from the decoders, and one above chance is called out."""

import csv
from pathlib import Path

import pytest
from fake_run import FakeRun, demo_config
from reading import Page

from mindeye2.job import Job
from mindeye2.stages import tables

VARIANTS = {
    "default": {},
    "noise": {"reconstruct": {"voxels": "noise"}},
    "shuffled": {"reconstruct": {"voxels": "shuffled"}},
}


def job_with_controls(root: Path) -> Job:
    matrix = {"subjects": [1], "sessions": [3], "variants": VARIANTS}
    return FakeRun(root, demo_config(matrix=matrix, evaluate={"baselines": ["linear_ridge"]})).job()


def page_of(job: Job) -> Page:
    tables.run(job)
    return Page((job.work / "report.html").read_text())


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return page_of(job_with_controls(tmp_path_factory.mktemp("controls")))


def test_the_table_has_default_controls_baseline_and_chance(page):
    head, _, *lines, foot = page.table("Controls")
    assert [line[0] for line in lines] == ["default", "noise", "shuffled", "linear_ridge"]
    chance = dict(zip(head, foot, strict=True))
    assert chance["Brain → image % ↑"] == "4.2" and chance["CLIP % ↑"] == "50.0"
    assert "PixCorr ↑" not in head, "it has no level of chance"
    assert lines[3][head.index("Brain → image % ↑")] == "25.0 [10.0, 40.0]"
    assert "Controls" in page.headings


def test_controls_at_chance_are_said_to_be(page):
    text = " ".join(page.text.split())
    for name in ("noise", "shuffled"):
        assert f"{name} is not above chance: its 95 % interval lies above it in none of 6" in text
    assert "is above chance" not in text


def test_findings_rank_decoders_and_baselines_not_controls(page):
    text = " ".join(page.text.split())
    findings = text[text.index("Findings After") : text.index("Variants default")]
    assert "linear_ridge" in findings
    assert "noise" not in findings and "shuffled" not in findings


def test_a_control_above_chance_is_called_out(tmp_path):
    job = job_with_controls(tmp_path)
    (cell,) = [cell for cell in job.config["cells"] if cell["variant"] == "shuffled"]
    path = job.inputs["evaluate"][cell["evaluate"]] / "metrics.csv"
    lines = list(csv.reader(path.open()))
    for line in lines:
        if line[:3] == ["", "retrieval_brain_to_image", ""]:
            line[3:] = ["0.5", "24", "0.3", "0.7"]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    text = " ".join(page_of(job).text.split())
    assert "shuffled is above chance in 1 of 6 comparisons: brain → image retrieval after 3 sessions" in text
    assert "noise is not above chance" in text


def test_a_run_without_controls_has_no_such_section(demo_folder):
    page = Page((demo_folder / "report.html").read_text())
    assert "Controls" not in page.headings
    assert "#controls" not in {target for _, target in page.links}
