"""The text of the methods: this run's numbers, whole sentences, works cited where they were used."""

import csv
import json
import re

import pytest
from fake_run import FakeRun, demo_config, haxby_config

from mindeye2.config import parse_config
from mindeye2.report.citations import WORKS, bibliography
from mindeye2.report.facts import Facts, gather
from mindeye2.report.methods import Methods, write_methods
from mindeye2.stages import tables

PAPER = Facts(
    voxels={1: 15724, 2: 14278, 5: 13039, 7: 12682},
    tokens=(256, 1664),
    lowlevel=True,
    retrieval=True,
    steps={
        ("pretrain", 1): [107100],
        ("pretrain", 40): [107100],
        ("finetune", 1): [3750],
        ("finetune", 40): [187500],
    },
    counts={
        ("retrieval_brain_to_image", ""): [1000],
        ("pixel_correlation", "refined"): [1000],
        ("clip", "refined"): [1000],
        ("brain_correlation_V1", ""): [1000],
        ("brain_correlation_V2", ""): [1000],
        ("meteor_git", ""): [1000],
        ("meteor", ""): [982, 1000],
    },
    absent=["swav"],
    versions={"python": ["3.11.9"], "torch": ["2.14.1"], "snakemake": ["9.27.0"]},
    commits=["3f2a9c1d5e7b8a6049c2"],
    own_networks=False,
)


def text_of(content, facts=PAPER, variant="default"):
    return Methods("paper", parse_config(content), variant, facts).markdown()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Folder with the text and the works of a finished run of the miniature's kind."""
    return written(FakeRun(tmp_path_factory.mktemp("demo"), demo_config(), without=("inception",)))


def written(fake):
    job = fake.job()
    tables.run(job)

    def names(cell, stage):
        places = cell[stage] if isinstance(cell[stage], list) else [cell[stage]]
        return [f"{stage}/{job.inputs[stage][place].name}" for place in places if place is not None]

    cells = []
    for cell in job.config["cells"]:
        objects = {stage: names(cell, stage) for stage in ("finetune", "pretrain")}
        cells.append({**cell, **objects, "pretrain": next(iter(objects["pretrain"]), None)})
    for folder in (folder for stage in ("finetune", "pretrain") for folder in job.inputs.get(stage, [])):
        sizes = {"voxels": [420], "tokens": 16, "clip_dim": 64, "retrieval": True, "lowlevel_latents": [4, 8, 8]}
        (folder / "model.json").write_text(json.dumps({"sizes": sizes}))
    manifests = [
        json.loads((folder / "manifest.json").read_text()) for folders in job.inputs.values() for folder in folders
    ]
    write_methods(job.work, run="demo", config=fake.content, cells=cells, store=fake.root, manifests=manifests)
    return job.work


def test_every_citation_is_a_work_and_every_work_is_cited(demo):
    text, works = (demo / "methods.md").read_text(), (demo / "methods.bib").read_text()
    body, references = text.split("## References")
    cited = set(re.findall(r"@(\w+)", body))
    assert cited == set(re.findall(r"^- \[@(\w+)\]", references, flags=re.MULTILINE))
    assert cited == set(re.findall(r"^@\w+\{(\w+),", works, flags=re.MULTILINE))
    assert {"scotti2024mindeye2", "allen2022nsd", "molder2021snakemake"} - cited == {"molder2021snakemake"}


def test_states_the_runs_numbers(demo):
    text = (demo / "methods.md").read_text()
    for said in (
        "subject 1 (420 voxels) and subject 2 (420 voxels)",
        "Nothing was measured on a person",
        "first 1 or 3 sessions",
        "all other subjects of the data (2 each)",
        "150 epochs (600 steps) with batches of 42 trials",
        "150 epochs (800 steps) with batches of 24 trials",
        "16 × 64 tokens",
        "n = 24",
        "Not computed: two-way identification by InceptionV3",
        "- `scratch`: `finetune.init` = scratch",
        "PyTorch 2.14.1",
        "at commit 3f2a9c1d5e7b",
    ):
        assert said in text, said


def test_the_papers_configuration_as_a_reader_meets_it():
    text = text_of({})
    for said in (
        "recorded at 7 T",
        "subject 5 (13039 voxels)",
        "256 × 1664 tokens of OpenCLIP's ViT-bigG/14 [@radford2021clip; @ilharco2021openclip; @cherti2023scaling]",
        "(107100 steps)",
        "(3750 and 187500 steps, respectively)",
        "the last 12 of 25 steps",
        "brain correlation by region [@styves2023gnet] (n = 1000)",
        "METEOR [@banerjee2005meteor] (n = 982 to 1000)",
        "Snakemake 9.27.0 [@molder2021snakemake]",
    ):
        assert said in text, said
    assert "haxby2001" not in text
    assert text.count("brain correlation") == 1 and text.count("METEOR [") == 1
    assert "with the captioner's of the seen picture" in text


def test_what_was_not_done_is_not_described():
    retrieval_only = {"reconstruct": {"num_images": 0}, "evaluate": {"blend_weight": 0.0}}
    text = text_of(retrieval_only)
    assert "No pictures were decoded." in text and "podell2023sdxl" not in text and "wang2022git" not in text
    assert "not refined" in text_of({"refine": {"strength": 0.0}})
    scratch = {"finetune": {"init": "scratch"}}
    assert "pretrained" not in text_of(scratch).split("## Variants")[0]
    imported = {"finetune": {"source": "imported"}, "matrix": {"variants": {"default": {}}}}
    text = text_of(imported)
    assert "trained elsewhere" in text and "AdamW" not in text and "## Variants" not in text


def test_recipes_that_differ_are_told_apart():
    text = text_of({"pretrain": {"max_lr": 1e-3}})
    assert "Pretraining used AdamW" in text and "learning rate of 0.001 " in text
    assert "Fine-tuning used AdamW" in text and "learning rate of 0.0003 " in text
    assert "Pretraining and fine-tuning both used AdamW" in text_of({})


def test_haxby_is_described_by_its_runs(tmp_path):
    text = (written(FakeRun(tmp_path, haxby_config())) / "methods.md").read_text()
    assert "12 runs" in text and "[@haxby2001]" in text and "[@hanke2009pymvpa]" in text
    assert "trained on all others" in text and "allen2022nsd" not in text
    assert "linear support vector machine" in text and "8-way identification (n = 96)" in text and "Metrics are" in text


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"dataset": {"source": "released"}, "betas": {"version": "betas_fithrf"}},
        {"model": {"backbone": "linear", "alignment": "mlp", "lowlevel": False}},
        {"preset": "original", "matrix": {"seeds": [1, 2], "sessions": [1]}},
        {"evaluate": {"baselines": ["linear_ridge"]}, "pretrain": {"source": "imported"}},
    ],
    ids=["paper", "released", "smaller", "original", "baseline"],
)
def test_reads_as_sentences(content):
    body = text_of(content).split("## References")[0]
    assert not re.search(r"  |\.\.| \.| ,|None|nan|\(\)|\[\]|\{|\}", body), body
    for paragraph in body.strip().split("\n\n"):
        if not paragraph.startswith(("#", "-", "The text above")):
            assert paragraph.strip().endswith(".") and paragraph[0].isupper(), paragraph


def test_own_networks_are_called_what_they_are():
    own = Facts(**{**vars(PAPER), "own_networks": True, "tokens": (16, 64)})
    text = text_of({}, own)
    assert "tiny ones that come with the software" in text
    assert "podell2023sdxl" not in text and "radford2021clip" not in text


def test_gather_knows_the_shipped_networks(tmp_path):
    from mindeye2.report.facts import SHIPPED

    sha256 = json.loads(SHIPPED.read_text())["files"]["clip/model.safetensors"]["sha256"]
    with (tmp_path / "matrix.csv").open("w", newline="") as file:
        csv.writer(file).writerow(("variant", "metric", "picture", "value", "n"))
    for found, own in ((sha256, True), ("0" * 64, False)):
        sources = {"weights/clip/model.safetensors": {"size": 1, "sha256": found}}
        manifest = {"versions": {}, "git": None, "spec": {"sources": sources}}
        facts = gather([], tmp_path / "matrix.csv", variant="default", store=tmp_path, manifests=[manifest])
        assert facts.own_networks is own


def test_bibtex_is_well_formed():
    text = bibliography(WORKS)
    assert text.count("{") == text.count("}")
    assert len(re.findall(r"^@(article|inproceedings|misc)\{", text, flags=re.MULTILINE)) == len(WORKS)
    for work in WORKS.values():
        assert work.address.startswith("https://") and re.fullmatch(r"(10\.\d{4,5}/\S+)?", work.doi)
        assert all(", " in author or author == "others" for author in work.authors.split(" and ")), work.key


def test_losses_and_solvers_cite_who_proposed_them_where_they_were_used():
    said = text_of({"reconstruct": {"sampler": "dpmpp_2m"}})
    said_of_losses = "BiMixCo [@kim2020mixco] in the first 33 % of the epochs and after them SoftCLIP [@scotti2023"
    assert said_of_losses in said and "Pretraining and fine-tuning both used" in said
    unlike = text_of({"pretrain": {"num_epochs": 2}, "finetune": {"num_epochs": 12}})
    assert "both used" not in unlike and said_of_losses in unlike
    assert "in 38 steps of DPM-Solver++(2M) [@lu2022dpm]" in said
    # A third of two epochs is none.
    plain = text_of({name: {"num_epochs": 2, "mixup_pct": 0.33} for name in ("pretrain", "finetune")})
    assert "the contrastive loss was SoftCLIP [@scotti2023mindeye]" in plain
    assert "kim2020mixco" not in plain and "lu2022dpm" not in plain
