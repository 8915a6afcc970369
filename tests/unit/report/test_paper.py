"""The paper's tables beside our values: which cells meet, what the difference is, and when nothing is shown."""

from dataclasses import replace

import pytest
from fake_run import FakeRun, demo_config, haxby_config
from paper_run import nsd_config, paper_job
from reading import Page

from mindeye2.config import parse_config
from mindeye2.report.cells import read_cells
from mindeye2.report.paper import markdown, rebuild
from mindeye2.report.published import TABLE_1, TABLE_1_METRICS
from mindeye2.report.rows import matrix_rows
from mindeye2.stages import tables


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return paper_job(tmp_path_factory.mktemp("paper"))


@pytest.fixture(scope="module")
def rows(job):
    return matrix_rows(read_cells(job.config["cells"], job.inputs))


@pytest.fixture(scope="module")
def config():
    return parse_config(nsd_config()).model_dump(mode="json", exclude_none=True)


def cells(paper, title: str) -> dict[str, list[tuple[str, ...]]]:
    """Row -> N, then main and aside of each cell."""
    (table,) = [table for table in paper.tables if table.title.startswith(title)]
    return {
        line.variant: [(line.count,), *((cell.main, *cell.aside) for cell in line.cells)]
        for group in table.groups
        for line in group.lines
    }


def test_per_subject_tables_give_value_printed_and_difference(rows, config):
    paper = rebuild(rows, config)
    seven, eight = cells(paper, "Table 7"), cells(paper, "Table 8")
    assert seven["CLIP % ↑"][1] == ("94.56", "paper 93.56", "+1.00")
    assert seven["PixCorr ↑"][4] == ("0.293", "paper 0.283", "+0.010")
    assert eight["Eff ↓"][2] == ("0.817", "paper 0.807", "+0.010")
    assert eight["METEOR ↑"][3] == ("0.217", "paper 0.207", "+0.010")
    assert seven["higher visual areas ↑"][3] == ("0.434", "paper 0.424", "+0.010")
    assert len(seven) == len(eight) == 22
    assert {line[0] for table in (seven, eight) for line in table.values()} == {("1000",)}


def test_directions_of_retrieval_carry_the_papers_columns(rows, config):
    paper = rebuild(rows, config)
    eight = cells(paper, "Table 8")
    # Printed for subject 7 with one session: Image 64.44, Brain 37.77.
    assert eight["Image → brain % ↑ (“Image”)"][4] == ("65.44", "paper 64.44", "+1.00")
    assert eight["Brain → image % ↑ (“Brain”)"][4] == ("38.77", "paper 37.77", "+1.00")
    first = paper.tables[0]
    assert [head.title for head in first.heads][-2:] == ["Image → brain % ↑ (“Image”)", "Brain → image % ↑ (“Brain”)"]
    assert cells(paper, "Table 1")["MindEye2 (1 hour)"][-2][1:2] == ("paper 79.0",)
    assert any("takes one direction for the other" in note for note in paper.notes)


def test_table_1_is_the_mean_over_the_four_subjects(rows, config):
    one = cells(rebuild(rows, config), "Table 1")
    assert list(one) == list(TABLE_1)
    refined, unrefined, lowlevel, hour = (
        one[f"MindEye2 ({kind})"] for kind in ("refined", "unrefined", "low-level", "1 hour")
    )
    clip = 1 + TABLE_1_METRICS.index("clip")
    assert refined[clip] == ("94.0", "paper 93.0", "+1.0")
    # Unrefined pictures of this run have the refined ones' printed values: 92.98 on average.
    assert unrefined[clip] == ("93.0", "paper 94.5", "−1.5")
    assert lowlevel[clip][1:] == ("paper 57.2", "+35.8")
    assert hour[1] == ("0.205", "paper 0.195", "+0.010")
    assert all(line[0] == ("4 × 1000",) for line in (refined, unrefined, lowlevel, hour))
    # Retrieval has no pictures, and other methods are not ours to run.
    assert unrefined[-1] == ("–",)
    assert one["MindEye1"][0] == ("–",)
    assert one["MindEye1"][clip] == ("–", "paper 93.3")
    assert one["Takagi & Nishimoto"][-1] == ("–",)


def test_tables_2_and_3(rows, config):
    paper = rebuild(rows, config)
    two, three = cells(paper, "Table 2"), cells(paper, "Table 3")
    assert two["METEOR ↑"] == [
        ("1000",),
        ("0.258", "paper 0.248", "+0.010"),
        ("–", "paper 0.170"),
        ("0.300", "paper 0.344", "−0.044"),
        ("–", "paper 0.305"),
    ]
    assert two["CLIP-L % ↑"][1:4] == [
        ("64.8", "paper 63.8", "+1.0"),
        ("–", "paper 86.1"),
        ("50.0", "paper 67.1", "−17.1"),
    ]
    region = three["visual cortex ↑"]
    assert (region[0], region[1], region[4]) == (
        ("4 × 1000",),
        ("0.383", "paper 0.373", "+0.010"),
        ("–", "paper 0.381"),
    )


def test_a_mean_needs_all_four_subjects(rows, config):
    three = [row for row in rows if (row.subject, row.sessions) != (7, 1)]
    one = cells(rebuild(three, config), "Table 1")
    assert one["MindEye2 (refined)"][0] == ("4 × 1000",)
    assert one["MindEye2 (1 hour)"][0] == ("–",)
    assert one["MindEye2 (1 hour)"][1] == ("–", "paper 0.195")
    assert cells(rebuild(three, config), "Table 8")["SSIM ↑"][4] == ("–", "paper 0.408")


def test_a_further_subject_does_not_enter_the_mean(rows, config):
    more = [*rows, *(replace(row, subject=3, value=0.0) for row in rows if row.subject == 1)]
    assert rebuild(more, config).tables == rebuild(rows, config).tables


def test_a_hole_stays_a_hole(rows, config):
    swav = [replace(r, value=None, n=None) if r.metric == "swav" and r.subject == 2 else r for r in rows]
    paper = rebuild(swav, config)
    assert cells(paper, "Table 7")["SwAV ↓"][1:3] == [("0.348", "paper 0.338", "+0.010"), ("–", "paper 0.347")]
    assert cells(paper, "Table 1")["MindEye2 (refined)"][8] == ("–", "paper 0.344")


def test_other_numbers_of_images_are_said(rows, config):
    few = [replace(r, n=32) if r.picture and r.subject == 1 and r.metric == "ssim" else r for r in rows]
    assert cells(rebuild(few, config), "Table 7")["SSIM ↑"][1][-1] == "n = 32"


def test_seeds_give_a_spread(rows, config):
    again = [replace(row, seed=43, value=row.value + 0.02) for row in rows]
    value = cells(rebuild([*rows, *again], config), "Table 7")["PixCorr ↑"][1]
    assert value == ("0.394 ± 0.014", "paper 0.374", "+0.020")


def test_another_judge_leaves_clip_open(rows, config):
    config = {**config, "evaluate": {**config["evaluate"], "clip": "clip"}}
    paper = rebuild(rows, config)
    assert cells(paper, "Table 7")["CLIP % ↑"][1] == ("–", "paper 93.56")
    assert any("judge is not the paper's" in note for note in paper.notes)


def test_another_pool_leaves_retrieval_open(rows, config):
    overlay = {"default": {"evaluate": {"retrieval_pool": 50}}}
    paper = rebuild(rows, {**config, "matrix": {**config["matrix"], "variants": overlay}})
    assert cells(paper, "Table 7")["Brain → image % ↑ (“Brain”)"][1] == ("–", "paper 99.87")
    assert [note for note in paper.notes if "this run looks among 50 pictures, the paper among 300" in note]


def test_the_default_variant_is_compared(rows, config):
    scratch = [replace(row, variant="scratch", value=0.0) for row in rows]
    assert rebuild([*scratch, *rows], config).tables == rebuild(rows, config).tables


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (demo_config(), "responses are simulated"),
        (haxby_config(), "this run is on other data"),
        ({"dataset": {"sessions": {1: 2, 2: 2}}, "matrix": {"subjects": [1], "sessions": [2]}}, "none of which"),
    ],
)
def test_without_comparable_cells_one_line_says_why(tmp_path, content, words):
    job = FakeRun(tmp_path, content).job()
    tables.run(job)
    page, text = Page((job.work / "report.html").read_text()), (job.work / "matrix.md").read_text()
    for said in (page.text, text):
        assert said.count("The paper's tables are not rebuilt") == 1
        assert words in said
        assert "paper 9" not in said
    assert "The paper's tables" not in page.headings
    assert "#paper" not in {target for _, target in page.links}


TRUTH = {"default": {}, "truth": {"reconstruct": {"tokens": "targets"}, "refine": {"strength": 0.0}}}


def test_table_9_holds_the_variants_that_know_the_truth(rows, config):
    """Those of this run have the printed values of subject 1 and 40 sessions, a step worse for being unrefined."""
    truth = [replace(row, variant="truth") for row in rows if row.sessions == 40]
    with_truth = {**config, "matrix": {**config["matrix"], "variants": TRUTH}}
    paper = rebuild([*rows, *truth], with_truth)
    nine = cells(paper, "Table 9")
    assert list(nine) == ["SDXL unCLIP: truth", "Versatile Diffusion"]
    count, fid, pixcorr, ssim, alex, *_, swav = nine["SDXL unCLIP: truth"]
    assert (count, fid) == (("4 × 1000",), ("–", "paper 13.69"))
    # The mean of .374, .328, .301 and .283 is .3215, and the difference is rounded, not formed of rounded ones.
    assert pixcorr == ("0.322", "paper 0.676", "−0.355")
    assert ssim[1] == "paper 0.232" and alex == ("96.1", "paper 99.8", "−3.7")
    assert swav == ("0.344", "paper 0.029", "+0.315")
    assert nine["Versatile Diffusion"][2] == ("–", "paper 0.266")
    assert rebuild(rows, config).tables == tuple(t for t in paper.tables if not t.title.startswith("Table 9"))
    assert any("no brain in it" in note for note in paper.notes)


def test_table_9_leaves_another_judges_clip_open(rows, config):
    truth = [replace(row, variant="truth") for row in rows]
    judged = {**config["evaluate"], "clip": "clip"}
    given = {**config, "evaluate": judged, "matrix": {**config["matrix"], "variants": TRUTH}}
    assert cells(rebuild([*rows, *truth], given), "Table 9")["SDXL unCLIP: truth"][7] == ("–", "paper 99.9")


def test_table_9_stands_alone_where_responses_are_simulated(tmp_path):
    content = demo_config(matrix={"subjects": [1], "sessions": [3], "variants": TRUTH})
    job = FakeRun(tmp_path, content).job()
    tables.run(job)
    page, text = Page((job.work / "report.html").read_text()), (job.work / "matrix.md").read_text()
    for said in (" ".join(page.text.split()), text):
        assert said.count("Of the paper's tables only Table 9 is rebuilt: they were measured on people") == 1
        assert "says nothing of the paper's" in said
    assert page.table("Table 9: pictures decoded from true tokens")[0][0] == "network"
    assert "The paper's tables" in page.headings and "Table 7" not in page.text
    lines = {line[0]: line for line in page.table("Controls")}
    assert "truth" in lines and "decodes the true tokens of every test picture" in " ".join(page.text.split())


def test_what_knows_the_truth_is_never_the_best(tmp_path):
    """It is given perfect pictures, and its rows are bold nowhere; the findings rank it nowhere."""
    variants = {**TRUTH, "scratch": {"finetune": {"init": "scratch"}}}
    job = FakeRun(tmp_path, demo_config(matrix={"subjects": [1], "sessions": [3], "variants": variants})).job()
    for cell in job.config["cells"]:
        if cell["variant"] == "truth":
            path = job.inputs["evaluate"][cell["evaluate"]] / "metrics.csv"
            path.write_text("baseline,metric,picture,value,n,low,high\n,pixel_correlation,unrefined,0.99,8,0.98,1.0\n")
    tables.run(job)
    markdown_lines = (job.work / "matrix.md").read_text().splitlines()
    ours = [line for line in markdown_lines if line.startswith("| truth |")]
    assert ours and not any("**" in line for line in ours)
    assert any("**" in line for line in markdown_lines if line.startswith(("| default |", "| scratch |")))
    latex_lines = (job.work / "matrix.tex").read_text().splitlines()
    assert not [line for line in latex_lines if line.startswith("truth &") and "textbf" in line]


def test_page_and_markdown_hold_the_same_tables(job, rows, config):
    tables.run(job)
    page, text = Page((job.work / "report.html").read_text()), (job.work / "matrix.md").read_text()
    assert "The paper's tables" in page.headings
    for table in rebuild(rows, config).tables:
        shown = page.table(table.title)
        assert shown[0][:2] == [table.corner, "N"]
        for group in table.groups:
            for line in group.lines:
                flat = [line.variant, line.count, *(" ".join((c.main, *c.aside)) for c in line.cells)]
                assert flat in shown
                assert f"| {line.variant} | {line.count} | {line.cells[0].main}" in text
    assert "| 94.56 (paper 93.56, +1.00) |" in text
    assert markdown(rebuild(rows, config)) in text
