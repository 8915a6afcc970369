"""The matrix of a run as CSV, Markdown and LaTeX, and the report: one page with pictures, curves and provenance."""

from mindeye2.job import Job
from mindeye2.report.cells import read_cells
from mindeye2.report.page import Run, render
from mindeye2.report.paper import markdown as paper_markdown
from mindeye2.report.paper import rebuild
from mindeye2.report.provenance import trace
from mindeye2.report.published import true_token_variants
from mindeye2.report.rows import matrix_rows, write_matrix
from mindeye2.report.tables import latex, markdown
from mindeye2.settings import Tables

OUTPUTS: tuple[str, ...] = ("matrix.csv", "matrix.md", "matrix.tex", "report.html")


def run(job: Job) -> None:
    settings, name = job.settings(Tables), job.config["run"]
    cells = read_cells(job.config["cells"], job.inputs)
    rows = matrix_rows(cells)

    page = render(
        Run(
            name=name,
            config=job.config["config"],
            rows=rows,
            cells=cells,
            provenance=trace(job.inputs),
            pictures=settings.pictures,
            pictures_per_subject=settings.pictures_per_subject,
        )
    )

    write_matrix(rows, job.work / "matrix.csv")
    paper, apart = paper_markdown(rebuild(rows, job.config["config"])), true_token_variants(job.config["config"])
    matrix = markdown(rows, run=name, unranked=apart)
    (job.work / "matrix.md").write_text(f"{matrix}\n{paper}", encoding="utf-8")
    (job.work / "matrix.tex").write_text(latex(rows, run=name, unranked=apart), encoding="utf-8")
    (job.work / "report.html").write_text(page, encoding="utf-8")
