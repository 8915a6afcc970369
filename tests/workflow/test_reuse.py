"""What must hold of the store, asked of the real Snakefile."""

import json
import shutil
from pathlib import Path

import pytest

from mindeye2.identity import STAGES

BELOW_FINETUNE = {"finetune", "reconstruct", "refine", "evaluate", "tables"}


def test_two_checkouts_at_once_build_nothing_twice(two_runs):
    built = [name for checkout in two_runs for name in checkout.built()]
    assert len(built) == len(set(built))
    assert set(built) == {f"{row['stage']}/{row['key']}" for row in two_runs[0].plan()}


def test_second_run_has_nothing_to_do(two_runs):
    answer = two_runs[0].snakemake()
    assert answer.returncode == 0
    assert "Nothing to be done" in answer.stdout


def test_fresh_clone_on_a_filled_store_runs_no_stage(checkout):
    assert checkout.planned_jobs() == {}
    answer = checkout.snakemake()
    assert answer.returncode == 0, answer.stdout
    assert checkout.built() == []
    assert (checkout.root / "results/micro/matrix.csv").read_text().startswith("variant,subject,sessions,metric")


def test_comment_and_docstring_edits_cost_nothing(checkout):
    checkout.edit_code("mindeye2/train/losses.py", '"""', '"""Edited. ')
    checkout.edit_code("mindeye2/model/prior.py", "import torch\n", "import torch  # a comment\n")
    assert checkout.planned_jobs() == {}


def test_code_edit_rekeys_the_stages_that_import_it(checkout):
    checkout.edit_code("mindeye2/train/losses.py", "def ", "EDITED = 1\n\n\ndef ")
    assert set(checkout.planned_jobs()) == {"pretrain", *BELOW_FINETUNE}


def test_changed_setting_reruns_its_stage_and_below_and_back_costs_nothing(checkout):
    checkout.edit_config(finetune={"max_lr": 5.0e-4})
    assert checkout.planned_jobs() == dict.fromkeys(BELOW_FINETUNE, 1)
    checkout.edit_config(finetune={"max_lr": 3.0e-4})
    assert checkout.planned_jobs() == {}


def test_a_preset_reruns_what_its_settings_touch(checkout):
    """The explicit pixel range of the file wins, so the targets stay."""
    checkout.config.write_text(f"preset: released\n{checkout.config.read_text()}")
    planned = checkout.planned_jobs()
    assert set(planned) == {"pretrain", *BELOW_FINETUNE}
    missing = [row["stage"] for row in checkout.plan() if row["state"] == "missing"]
    assert planned == {stage: missing.count(stage) for stage in planned}
    assert {row["state"] for row in checkout.plan("--set", "preset=null")} == {"stored"}


@pytest.mark.parametrize(
    ("section", "field", "value", "stages"),
    [
        ("betas", "scope", "all", {"betas", "pretrain", *BELOW_FINETUNE}),
        ("behav", "window", 3, {"behav", "betas", "pretrain", *BELOW_FINETUNE}),
        ("stimuli", "image_px", 48, {"stimuli", "targets", "pretrain", *BELOW_FINETUNE}),
        ("pretrain", "weight_decay", 0.1, {"pretrain", *BELOW_FINETUNE}),
        ("refine", "strength", 0.75, {"refine", "evaluate", "tables"}),
        ("evaluate", "blend_weight", 0.5, {"evaluate", "tables"}),
        ("tables", "pictures_per_subject", 1, {"tables"}),
        ("finetune", "checkpoint_minutes", 5.0, set()),
        ("reconstruct", "batch_size", 1, set()),
    ],
)
def test_each_setting_rekeys_exactly_the_stages_it_reaches(checkout, section, field, value, stages):
    before = {row["key"] for row in checkout.plan()}
    after = checkout.plan("--set", f"{section}.{field}={json.dumps(value)}")
    assert {row["stage"] for row in after if row["key"] not in before} == stages


def test_new_variant_plans_its_own_branch_only(checkout):
    checkout.edit_config(matrix={"variants": {"default": {}, "soft": {"finetune": {"mixup_pct": 0.0}}}})
    assert checkout.planned_jobs() == dict.fromkeys(BELOW_FINETUNE, 1)


def test_plan_names_and_explains(checkout):
    rows = checkout.plan()
    assert {row["stage"] for row in rows} == set(STAGES) - {"unclip"}, "which is trained only where asked for"
    assert {row["state"] for row in rows} == {"stored"}
    assert all(set(row) == {"stage", "key", "state", "names"} and row["names"] for row in rows)

    answer = checkout.mindeye2("plan", "--config", "micro.yaml", "--explain", "--set", "finetune.max_lr=5.0e-4")
    assert "finetune.max_lr is 0.0005, stored with 0.0003" in answer.stdout
    assert "input finetune is another object" in answer.stdout


def test_deleted_intermediate_with_descendants_is_not_rebuilt(checkout):
    checkout.snakemake()
    (row,) = [row for row in checkout.plan() if row["stage"] == "refine"]
    shutil.rmtree(Path(checkout.environment["MINDEYE2_STORE"]) / "refine" / row["key"])
    assert checkout.planned_jobs() == {}


def test_parsing_the_snakefile_imports_no_torch(checkout):
    checkout.edit_code("workflow/rules/view.smk", "rule view:", 'assert "torch" not in sys.modules\n\n\nrule view:')
    assert checkout.planned_jobs() == {}


def test_snakemake_lint_is_quiet(checkout):
    answer = checkout.snakemake("--lint")
    assert answer.returncode == 0, answer.stdout
