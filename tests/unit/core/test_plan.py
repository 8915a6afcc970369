"""Which objects variants share, on the real brain that comes with the project."""

from pathlib import Path

import pytest

from mindeye2.config import load_config
from mindeye2.errors import UserError
from mindeye2.plan import make_plan
from mindeye2.presets import PRESETS

HAXBY = Path(__file__).parents[3] / "config" / "haxby.yaml"
EMPTY_SAFETENSORS = (2).to_bytes(8, "little") + b"{}"


@pytest.fixture
def plan_of(tmp_path, monkeypatch):
    monkeypatch.chdir(HAXBY.parents[1])

    def plan_of(*assignments):
        return make_plan(load_config(HAXBY, assignments), tmp_path)

    return plan_of


def test_controls_share_all_training(plan_of):
    variants = "{default: {}, noise: {reconstruct: {voxels: noise}}, shuffled: {reconstruct: {voxels: shuffled}}}"
    plan = plan_of(f"matrix.variants={variants}")
    stages = [node.stage for node in plan.nodes.values()]
    assert {stage: stages.count(stage) for stage in ("finetune", "reconstruct", "refine", "evaluate")} == {
        "finetune": 12,
        "reconstruct": 36,
        "refine": 36,
        "evaluate": 3,
    }


def test_evaluate_knows_the_training_sessions_only_where_a_baseline_asks(plan_of):
    (svm,) = [cell.evaluate for cell in plan_of("evaluate.baselines=[linear_svm]").cells]
    (ridge,) = [cell.evaluate for cell in plan_of("evaluate.baselines=[linear_ridge]").cells]
    assert "folds" not in svm.spec["config"]
    folds = ridge.spec["config"]["folds"]
    assert [fold["test"] for fold in folds] == [[session] for session in range(1, 13)]
    assert folds[2]["train"] == [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12]


def test_a_preset_plans_what_its_settings_plan(plan_of):
    """Haxby's file names its pixel range and betas, which win."""
    written_out = [
        f"{section}.{field}={value}"
        for section, values in PRESETS["original"].items()
        for field, value in values.items()
        if section not in ("betas", "targets")
    ]
    short, plain = plan_of("preset=original"), plan_of()
    assert short.nodes.keys() == plan_of(*written_out).nodes.keys()
    changed = {node.stage for node in short.nodes.values() if node.id not in plain.nodes}
    assert changed == {"finetune", "reconstruct", "refine", "evaluate", "tables"}


def test_nothing_that_decodes_sees_the_truth(plan_of):
    roles = {node.stage: node.spec["inputs"].keys() for node in plan_of().nodes.values()}
    assert roles["reconstruct"] == {"finetune", "behav", "betas"}
    assert roles["refine"] == {"reconstruct"}


def test_an_imported_model_stands_where_one_is_trained(plan_of, tmp_path):
    """With its content in the key, its place beside it, and neither seeds nor settings of a training."""
    for name in ("subj01-1sess", "subj01-2sess", "without-subj01"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.json").write_text(f'{{"name": "{name}"}}')
        (tmp_path / "models" / name / "model.safetensors").write_bytes(EMPTY_SAFETENSORS)
    shared = (
        "matrix.split=shared",
        "matrix.sessions=[1, 2]",
        "matrix.seeds=[1, 2]",
        f"paths.models={tmp_path / 'models'}",
    )

    plan = plan_of(*shared, "finetune.source=imported", "finetune.max_lr=0.1")
    found = [node for node in plan.nodes.values() if node.stage == "finetune"]
    assert [node.networks["imported"].name for node in found] == ["subj01-1sess", "subj01-2sess"]
    assert not [node for node in plan.nodes.values() if node.stage == "pretrain"]
    for node in found:
        assert node.spec["config"].keys() == {"model", "finetune", "subject"}
        assert node.spec["config"]["finetune"] == {"source": "imported"}
        assert node.spec["sources"].keys() == {"imported/model.safetensors", "imported/model.json"}
        assert str(tmp_path) not in str(node.spec)

    plan = plan_of(*shared, "pretrain.source=imported", "finetune.init=pretrained")
    (node,) = [node for node in plan.nodes.values() if node.stage == "pretrain"]
    assert node.networks["imported"] == tmp_path / "models" / "without-subj01"
    assert {cell.pretrain.key for cell in plan.cells} == {node.key}


def test_an_imported_model_that_is_not_there_is_named(plan_of, tmp_path):
    with pytest.raises(
        UserError, match=r"subj01-1sess/model\.safetensors: No such file .* mindeye2 import-weights, or"
    ):
        plan_of("matrix.split=shared", "matrix.sessions=[1]", "finetune.source=imported", f"paths.models={tmp_path}")
