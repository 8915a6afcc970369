"""The paper's ablations at the smallest size: each trains, decodes what it can, and stands in the report."""

import csv
import shutil

import pytest

VARIANTS = {
    "default": {},
    "mlp": {
        "model": {"alignment": "mlp", "retrieval": False},
        "finetune": {"init": "scratch"},
        "refine": {"strength": 0.0},
    },
    "clip_l": {
        "targets": {"network": "openai_clip"},
        "finetune": {"init": "scratch"},
        "reconstruct": {"num_images": 0},
    },
    "no_prior": {
        "sessions": [2],
        "finetune": {"prior_scale": 0.0, "trials_per_session": 24},
        "reconstruct": {"num_images": 0},
    },
    "all_named": {"pretrain": {"subjects": [2]}},
    "empty_prompt": {"refine": {"prompt": "empty"}},
}


@pytest.fixture
def ablated(checkout, tmp_path):
    """A clone whose store holds the default variant, and another CLIP among its weights (here the same one)."""
    weights = tmp_path / "weights"
    shutil.copytree(checkout.environment["MINDEYE2_WEIGHTS"], weights)
    shutil.copytree(weights / "clip", weights / "openai_clip")
    checkout.environment["MINDEYE2_WEIGHTS"] = str(weights)
    checkout.edit_config(matrix={"variants": VARIANTS})
    return checkout


def test_every_ablation_builds_its_own_branch_and_is_told_of(ablated):
    # mlp and no_prior: finetune, reconstruct, evaluate. clip_l: targets before them. empty_prompt: refine, evaluate.
    # all_named is the default, since subject 2 is all there is to pretrain on.
    assert ablated.planned_jobs() == {
        "targets": 1,
        "finetune": 3,
        "reconstruct": 3,
        "refine": 1,
        "evaluate": 4,
        "tables": 1,
    }
    answer = ablated.snakemake()
    assert answer.returncode == 0, answer.stdout
    results = ablated.root / "results/micro"

    with (results / "matrix.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["value"]]
    pictures = {variant: {row["picture"] for row in rows if row["variant"] == variant} - {""} for variant in VARIANTS}
    metrics = {variant: {row["metric"] for row in rows if row["variant"] == variant} for variant in VARIANTS}
    everything = {"lowlevel", "unrefined", "refined"}
    assert pictures == {
        "default": everything,
        "mlp": {"lowlevel", "unrefined"},
        "clip_l": set(),
        "no_prior": set(),
        "all_named": everything,
        "empty_prompt": everything,
    }
    retrieval = {"retrieval_brain_to_image", "retrieval_image_to_brain"}
    assert metrics["clip_l"] == metrics["no_prior"] == retrieval
    assert not metrics["mlp"] & retrieval
    assert {row["sessions"] for row in rows if row["variant"] == "no_prior"} == {"2"}
    assert (results / "clip_l/subj01/1sess/reconstruct/retrieval.npy").exists()
    assert not (results / "clip_l/subj01/1sess/refine").exists()
    text = (results / "report.html").read_text()
    assert all(f"<code>{variant}</code>" in text for variant in VARIANTS)
    assert ablated.planned_jobs() == {}
