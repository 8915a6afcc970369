"""A run on NSD that has every cell of the paper, its values a known step above the printed ones."""

import csv
from pathlib import Path

from fake_run import FakeRun

from mindeye2.job import Job
from mindeye2.report.published import NUMBERS, PERCENT, SESSIONS, SUBJECTS, TABLE_2, TABLE_3, number

STEP = 0.01
"""Ours less the paper's in every cell of Tables 7 and 8."""
PICTURE_METRICS = [*list(NUMBERS)[:4], "pixel_correlation", "ssim", "efficientnet", "swav", *TABLE_3]


def nsd_config(**sections) -> dict:
    matrix = {"subjects": list(SUBJECTS), "sessions": list(SESSIONS), "variants": {"default": {}}}
    return {"dataset": {"sessions": dict.fromkeys(SUBJECTS, 40)}, "matrix": matrix, **sections}


def paper_job(root: Path, content: dict | None = None, **options) -> Job:
    job = FakeRun(root, content or nsd_config(), name="paper", **options).job()
    for cell in job.config["cells"]:
        if cell["subject"] in SUBJECTS and cell["sessions"] in SESSIONS:
            path = job.inputs["evaluate"][cell["evaluate"]] / "metrics.csv"
            with path.open("w", newline="") as file:
                lines = csv.writer(file)
                lines.writerow(("baseline", "metric", "picture", "value", "n", "low", "high"))
                lines.writerows(metric_lines(cell["subject"], cell["sessions"]))
    return job


def metric_lines(subject: int, sessions: int) -> list[tuple]:
    """Unrefined and low-level pictures a step worse than refined ones; captions half as near to GIT's again."""
    lines = []
    for name in NUMBERS:
        value = number(name, subject, sessions) + STEP
        kinds = ("lowlevel", "unrefined", "refined") if name in PICTURE_METRICS else ("",)
        lines += [("", name, kind, value - (kind != "refined") * STEP * bool(kind), 1000, "", "") for kind in kinds]
    lines += [("", f"{name}_git", "", 0.5 if name in PERCENT else 0.3, 1000, "", "") for name in TABLE_2]
    return lines
