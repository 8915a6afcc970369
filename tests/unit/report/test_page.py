"""The report: self-contained, true to the matrix, and silent about the machine."""

import csv
import getpass
import json
import re
import socket
from pathlib import Path

import pytest
from fake_run import FakeRun, demo_config, haxby_config
from reading import Page

from mindeye2.errors import UserError
from mindeye2.report.catalogue import metric
from mindeye2.stages import tables

ALLOWED = ("https://doi.org/", "https://arxiv.org/")


def written(folder: Path, content: dict, **options) -> Path:
    job = FakeRun(folder, content, **options).job()
    tables.run(job)
    return job.work


def page_of(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


@pytest.fixture(scope="module")
def demo(demo_folder):
    return page_of(demo_folder)


@pytest.fixture(scope="module")
def haxby_folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("haxby"), haxby_config())


def test_nothing_is_fetched_from_anywhere(demo_folder, demo):
    assert {name for name, _ in demo.links} == {"src", "href"}
    for _, target in demo.links:
        assert target.startswith(("data:image/webp;base64,", "#", *ALLOWED)), target[:80]
    inside = {target[1:] for _, target in demo.links if target.startswith("#")}
    assert inside and inside <= set(demo.ids)
    assert not demo.tags & {"script", "link", "iframe", "object", "base", "form"}
    text = (demo_folder / "report.html").read_text()
    assert "@import" not in text
    assert all(target == "#tip" for target in re.findall(r"url\(([^)]*)\)", text))
    assert len(demo.ids) == len(set(demo.ids))


def test_the_three_works_are_cited(demo):
    links = {target for _, target in demo.links if target.startswith("https")}
    assert links == {
        "https://arxiv.org/abs/2403.11207",
        "https://doi.org/10.1038/s41593-021-00962-x",
        "https://doi.org/10.1126/science.1063736",
    }


def test_nothing_tells_the_machine(demo_folder):
    text = (demo_folder / "report.html").read_text()
    visible = re.sub(r"data:image/webp;base64,[^\"]*|<style>.*?</style>", "", text, flags=re.DOTALL)
    private = [socket.gethostname(), str(Path.home()), getpass.getuser(), str(demo_folder), str(Path.cwd()), "/tmp"]
    for name in private:
        # A one-word name may be part of the page's own words; it must not stand alone.
        assert not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", visible), name


def test_the_page_is_small_and_the_same_every_time(demo_folder, tmp_path):
    assert (demo_folder / "report.html").stat().st_size < 2e6
    again = written(tmp_path, demo_config(), without=("inception",))
    for name in tables.OUTPUTS:
        assert (again / name).read_bytes() == (demo_folder / name).read_bytes(), name


@pytest.mark.parametrize(("subject", "sessions"), [(1, 1), (2, 3)])
def test_values_of_the_page_are_those_of_the_csv(demo_folder, demo, subject, sessions):
    with (demo_folder / "matrix.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["subject"], r["sessions"]) == (str(subject), str(sessions))]
    titles = {
        "retrieval_brain_to_image": ("Retrieval and identification", ""),
        "pixel_correlation": ("Refined pictures", "refined"),
        "clip": ("Unrefined pictures", "unrefined"),
        "rouge_l": ("Captions", ""),
    }
    for name, (label, picture) in titles.items():
        table = demo.table(label)
        column = table[0].index(metric(name).heading)
        group = f"{sessions} session{'s' if sessions > 1 else ''}, subject {subject}"
        start = table.index([group])
        for offset, variant in enumerate(("default", "scratch"), start=1):
            (row,) = [r for r in rows if (r["metric"], r["picture"], r["variant"]) == (name, picture, variant)]
            value, low, high = (metric(name).show(float(row[field])) for field in ("value", "low", "high"))
            assert table[start + offset][0] == variant
            assert table[start + offset][column] == f"{value} [{low}, {high}]"


def test_what_was_not_computed_is_a_hole(demo):
    table = demo.table("Refined pictures")
    column = table[0].index("Incep % ↑")
    shown = [line[column] for line in table if line[0] in ("default", "scratch")]
    assert set(shown) == {"–"}
    assert "Incep % ↑" not in demo.table("Leading metrics")[0]
    assert "Not computed in this run: Incep, SwAV." in demo.text


def test_chance_stands_under_the_columns_that_have_it(demo):
    head, *_, foot = demo.table("Leading metrics")
    chance = dict(zip(head, foot, strict=True))
    # 24 test images, fewer than the pool of 300.
    assert chance["Brain → image % ↑"] == "4.2"
    assert chance["CLIP % ↑"] == "50.0"
    assert chance["PixCorr ↑"] == ""


def test_findings_are_computed_from_the_matrix(demo_folder, demo):
    with (demo_folder / "matrix.csv").open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["metric"], r["sessions"]) == ("retrieval_brain_to_image", "1")]
    mean = {v: sum(float(r["value"]) for r in rows if r["variant"] == v) / 2 for v in ("default", "scratch")}
    text = " ".join(demo.text.split())
    assert f"{100 * mean['default']:.1f} % on average over subjects" in text
    assert f"{100 * (mean['default'] - mean['scratch']):.1f} points above scratch" in text
    assert f"({100 * mean['scratch']:.1f} %)" in text


def test_pictures_have_text_alternatives_and_both_captions(demo):
    assert len(demo.images) == 2 * 8 * (4 + 5)
    assert all(image["alt"] and image["src"].startswith("data:image/webp") for image in demo.images)
    assert demo.text.count(" decoded ") >= 16


def test_a_public_page_has_no_pictures_and_no_captions(tmp_path, demo):
    folder = written(tmp_path, demo_config(), tables={"pictures": False}, name="public")
    page = page_of(folder)
    assert demo.images
    assert page.images == []
    assert "data:" not in (folder / "report.html").read_text().replace("img-src data:", "")
    said = json.loads((next((tmp_path / "stimuli").iterdir()) / "captions.json").read_text())
    assert said[0][0] in demo.text
    assert said[0][0] not in page.text


def test_stages_and_counts_are_those_of_the_inputs(demo):
    counts = {line[0]: line[1] for line in demo.table("Objects by stage")[1:]}
    assert counts == {
        "stimuli": "1",
        "behav": "2",
        "betas": "2",
        "targets": "3",
        "pretrain": "2",
        "finetune": "8",
        "reconstruct": "8",
        "refine": "8",
        "evaluate": "8",
        "tables": "1",
    }
    built = {line[0]: line[2] for line in demo.table("Objects by stage")[1:]}
    assert (built["stimuli"], built["behav"], built["evaluate"]) == ("1 min 35 s", "–", "12 min 42 s")


def test_arrows_say_who_reads_whose_objects(demo):
    for far in ("behav → finetune", "betas → reconstruct", "stimuli → evaluate", "targets → evaluate"):
        assert far in demo.text
    assert "pretrain → evaluate" not in demo.text


def test_every_row_names_the_keys_of_its_objects(demo_job, demo):
    job = demo_job
    lines = demo.table("Keys behind each row")[1:]
    for cell, line in zip(job.config["cells"], lines, strict=True):
        names = [job.inputs["evaluate"][cell["evaluate"]].name]
        names += [job.inputs[role][cell[role][0]].name for role in ("refine", "reconstruct", "finetune")]
        names.append("–" if cell["pretrain"] is None else job.inputs["pretrain"][cell["pretrain"]].name)
        assert line == [cell["variant"], str(cell["subject"]), str(cell["sessions"]), "42", *names]


def test_configuration_is_printed_without_paths(tmp_path):
    job = FakeRun(tmp_path, demo_config()).job()
    job.config["config"]["paths"] = {"store": "/somewhere/private"}
    tables.run(job)
    page = page_of(job.work)
    assert "num_epochs: 150" in page.text
    assert "sessions: {1: 3, 2: 3, 3: 3}" in page.text
    assert "somewhere" not in page.text


def test_headings_name_every_section(demo):
    assert demo.headings == [
        "demo",
        "Findings",
        "Matrix",
        "How much data",
        "Pictures",
        "Training",
        "Stages",
        "Provenance",
        "Data and licences",
    ]


def test_simulated_data_are_called_so(demo, haxby_folder):
    assert "Everything here is simulated." in demo.text
    assert "Everything here is simulated." not in page_of(haxby_folder).text


def test_haxby_stands_beside_the_support_vector_machine(haxby_folder):
    page = page_of(haxby_folder)
    head, group, ours, svm, foot = page.table("Leading metrics")
    column = head.index("8-way % ↑")
    assert group == ["11 runs, subject 1"]
    assert (ours[0], svm[0]) == ("default", "linear_svm")
    assert svm[column] == "69.8 [61.0, 79.0]"
    assert foot[column] == "12.5"
    assert "Comparison" in page.headings
    assert "Real fMRI, drawn pictures." in page.text
    assert "run 3 held out" in page.text
    seen = [image["alt"] for image in page.images if image["alt"].startswith(("Target", "Seen"))]
    assert len(seen) == 8
    assert all(text.startswith("Target") for text in seen)
    assert "published" not in page.text


def test_several_seeds_show_mean_and_spread(tmp_path):
    content = demo_config()
    content["matrix"] = {**content["matrix"], "seeds": [1, 2, 3], "sessions": [3]}
    page = page_of(written(tmp_path, content))
    cells = [cell for line in page.table("Leading metrics") if line[0] == "default" for cell in line[2:]]
    assert all(re.fullmatch(r"[\d.]+ ± [\d.]+ \[[\d.]+, [\d.]+\].*", cell) for cell in cells)
    assert "standard deviation over 3 seeds" in page.text


def test_published_numbers_stand_beside_nsd_only(tmp_path, demo):
    content = {"dataset": {"sessions": {1: 40, 2: 40}}, "matrix": {"subjects": [1], "sessions": [1, 40]}}
    page = page_of(written(tmp_path, content, name="nsd"))
    table = page.table("Leading metrics")
    lines = [line for line in table if line[0] == "published (paper)"]
    assert [line[table[0].index("Image → brain % ↑")] for line in lines] == ["94.0", "100.0"]
    assert [line[table[0].index("SSIM ↑")] for line in lines] == ["0.428", "0.439"]
    assert "terms do not allow" in page.text
    assert "published" not in demo.text


@pytest.mark.parametrize(
    ("role", "name", "damage"),
    [
        ("reconstruct", "captions.json", b'["cut'),
        ("reconstruct", "unrefined.npy", b"\x93NUMPY"),
        ("reconstruct", "test.npz", b""),
        ("refine", "refined.npy", None),
        ("stimuli", "images.h5", b"not hdf5"),
        ("finetune", "history.csv", b"lr\n1\n"),
        ("evaluate", "metrics.csv", b""),
        ("evaluate", "manifest.json", b"{"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(demo_job, role, name, damage):
    # The second object is the default variant's with most sessions, whose pictures are shown.
    path = demo_job.inputs[role][:2][-1] / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    try:
        with pytest.raises(UserError, match=re.escape(str(path))) as caught:
            tables.run(demo_job)
    finally:
        path.write_bytes(whole)
    assert "\n" not in str(caught.value)
    assert "build it again" in str(caught.value)


def test_a_model_that_was_imported_has_no_history(tmp_path):
    """Its curve is left out; where nothing was trained, the page says so."""
    job = FakeRun(tmp_path, demo_config()).job()
    runs = [folder / "history.csv" for role in ("pretrain", "finetune") for folder in job.inputs[role]]
    runs[0].unlink()
    tables.run(job)
    assert "all were imported" not in page_of(job.work).text
    for path in runs[1:]:
        path.unlink()
    tables.run(job)
    assert "No model was trained here: all were imported" in page_of(job.work).text


def test_names_are_escaped(tmp_path):
    job = FakeRun(tmp_path, demo_config()).job()
    folder = job.inputs["reconstruct"][1]
    (folder / "captions.json").write_text(json.dumps(['<script>alert("&")</script>'] * 8))
    tables.run(job)
    page = page_of(job.work)
    assert "script" not in page.tags
    assert '<script>alert("&")</script>' in page.text


@pytest.fixture
def ablated(tmp_path):
    """Variants that decode no pictures, refine none, or were trained on another number of sessions."""
    variants = {
        "all": {},
        "retrieval": {"reconstruct": {"num_images": 0}},
        "refined": {"sessions": [3], "refine": {"strength": 0.5}},
    }
    matrix = {"subjects": [1], "sessions": [1], "variants": variants}
    return page_of(written(tmp_path, demo_config(matrix=matrix, refine={"strength": 0.0})))


def test_variants_without_pictures_have_their_retrieval(ablated):
    def variants(label):
        return [line[0] for line in ablated.table(label) if line[0] in ("all", "retrieval", "refined")]

    assert variants("Retrieval and identification") == ["all", "retrieval", "refined"]
    assert variants("Unrefined pictures") == ["all", "refined"]
    assert variants("Refined pictures") == ["refined"]
    assert "sessions = [3]" in ablated.text


def test_the_leading_pictures_are_the_kind_that_the_default_has(ablated, demo):
    """Of "all" that is unrefined, so that it can stand beside the variant that refines."""
    head, *lines = ablated.table("Leading metrics")
    shown = {line[0]: line[head.index("SSIM ↑")] for line in lines if len(line) == len(head)}
    detail = {line[0]: line for line in ablated.table("Unrefined pictures")}
    for variant in ("all", "refined"):
        assert shown[variant] in detail[variant]
    assert shown["retrieval"] == "–"
    assert "Metrics of pictures are those of the unrefined pictures." in ablated.text
    assert "Metrics of pictures are those of the refined pictures." in demo.text


def test_nothing_is_said_of_numbers_of_sessions_that_were_not_tried(ablated):
    assert "does not reach" not in ablated.text


def test_pictures_are_shown_of_those_who_have_some(ablated):
    texts = [image["alt"] for image in ablated.images]
    compared = [text for text in texts if ": reconstruction of picture" in text]
    assert {text.split(",")[0] for text in compared} == {"all", "refined"}
    assert any(text.startswith("Unrefined") for text in texts) and not any(text.startswith("Refined") for text in texts)


def test_a_run_without_any_pictures_says_so(tmp_path):
    matrix = {"subjects": [1], "sessions": [1], "variants": {"all": {}}}
    page = page_of(written(tmp_path, demo_config(matrix=matrix, reconstruct={"num_images": 0})))
    assert "no pictures were decoded" in " ".join(page.text.split())
    assert not page.images
