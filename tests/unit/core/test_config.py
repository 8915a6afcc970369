"""Every config error is one line that names field, value, rule and remedy."""

from datetime import date
from pathlib import Path

import pytest

from mindeye2.config import Config, load_config, parse_config
from mindeye2.errors import UserError
from mindeye2.section import Section, since, unkeyed
from mindeye2.settings import Finetune

NESTED_IN_ITSELF: list = []
NESTED_IN_ITSELF.append(NESTED_IN_ITSELF)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"finetun": {}}, ["finetun", "no such setting", "config/README.md"]),
        ({"finetune": {"max_rl": 1.0}}, ["finetune.max_rl", "no such setting"]),
        ({"finetune": {"max_lr": "1e-4"}}, ["finetune.max_lr", "'1e-4'", "1.0e-4"]),
        ({"finetune": {"num_epochs": 1.5}}, ["finetune.num_epochs", "1.5", "integer"]),
        ({"finetune": {"num_epochs": True}}, ["finetune.num_epochs", "true", "integer"]),
        ({"finetune": {"max_lr": float("nan")}}, ["finetune.max_lr", "NaN", "finite"]),
        ({"finetune": {"init": "imported"}}, ["finetune.init", "imported", "'pretrained' or 'scratch'"]),
        ({"evaluate": {"blend_weight": 2}}, ["evaluate.blend_weight", "2", "less than or equal to 1"]),
        ({"matrix": {"subjects": [9]}}, ["matrix.subjects", "9", "dataset.sessions"]),
        ({"matrix": {"subjects": [4]}}, ["matrix.sessions", "40 sessions of subject 4", "30"]),
        ({"matrix": {"subjects": [1, 1]}}, ["matrix.subjects", "[1, 1]", "once"]),
        ({"matrix": {"variants": {"x": {"finetune": {"lr": 1}}}}}, ["matrix.variants.x.finetune.lr", "no such"]),
        ({"matrix": {"variants": {"x": {"tables": {}}}}}, ["matrix.variants.x.tables", "no such setting"]),
        ({"dataset": {"sessions": {1: 2}}, "matrix": {"subjects": [1], "sessions": [1]}}, ["pretrain", "scratch"]),
        ({"pretrain": {"subjects": [1, 9]}}, ["pretrain.subjects", "9", "dataset.sessions"]),
        ({"pretrain": {"subjects": [2]}}, ["pretrain.subjects", "no subject to pretrain on but 2 itself", "scratch"]),
        ({"matrix": {"variants": {"x": {"sessions": [41]}}}}, ["matrix.variants.x.sessions", "41 sessions", "40"]),
        ({"matrix": {"variants": {"x": {"sessions": [1, 1]}}}}, ["matrix.variants.x.sessions", "[1, 1]", "once"]),
        ({"finetune": {"prior_scale": 0.0}}, ["finetune.prior_scale", "no prior", "reconstruct.num_images: 0"]),
        ({"targets": {"network": "openai_clip"}}, ["targets.network", "openai_clip", "reconstruct.num_images: 0"]),
        ({"refine": {"steps": 4, "strength": 0.2}}, ["refine.strength: 0.2 of 4 steps", "at least 0.25", "or 0"]),
        ({"finetune": {"folder": "subj{subjects}"}}, ["finetune.folder", "subj{subjects}", "{subject} and {sessions}"]),
        ({"pretrain": {"folder": "{sessions}"}}, ["pretrain.folder", "only {subject} can"]),
        *(
            ({"pretrain": {"source": "imported", "folder": folder}}, ["pretrain.folder", "only {subject}"])
            for folder in ("{subject.__class__}", "{subject:>99999999999}", "{subject!r}", "{sessions}", "{", "{}")
        ),
        (
            {"finetune": {"source": "imported"}, "matrix": {"split": "leave_one_session_out"}},
            ["finetune.source is imported", "matrix.split: shared"],
        ),
        ({"run": {"name": "../up"}}, ["run.name", "../up"]),
        ({"simulate": {"voxels": {1: 5}}}, ["simulate.voxels", "dataset.sessions"]),
        ({"matrix": {"subjects": []}}, ["matrix.subjects: [] must hold at least one value"]),
        ({"matrix": {"sessions": 1}}, ["matrix.sessions: 1 must be a list, such as [1, 2]"]),
        ({"matrix": {"variants": {"a b": {}}}}, ['matrix.variants.a b: "a b" must match pattern']),
        ({"dataset": {"sessions": {}}}, ["dataset.sessions: {} must hold at least one value"]),
        ({"finetune": 1}, ["finetune: 1 must be a mapping"]),
        ({"simulate": {"seed": "1.0e30"}}, ["simulate.seed", "'1.0e30' is text", "1.0e+4"]),
        ({"model": {"lowlevel_widths": [8, 8]}}, ["model.lowlevel_widths.2: not given; add the value"]),
        ({"model": {"lowlevel_groups": 3}}, ["model.lowlevel_groups: 3 does not divide", "[32, 64, 128]", "change"]),
        ({"matrix": {"variants": {"x": {"model": {"lowlevel_groups": 3}}}}}, ["model.lowlevel_groups: 3"]),
        ({"run": {"name": date(2024, 1, 2)}}, ["run.name", "2024-01-02 as a date", "quotes"]),
        ({"run": {date(2024, 1, 2): 3}}, ["run", "2024-01-02 as a date", "quotes"]),
        ({"matrix": {"subjects": NESTED_IN_ITSELF}}, ["nested in itself", "alias"]),
    ],
)
def test_error_names_field_value_rule_and_remedy(content, words):
    with pytest.raises(UserError) as caught:
        parse_config(content)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_paper_is_the_default():
    config = parse_config({})
    assert config.matrix.subjects == (1, 2, 5, 7)
    assert config.finetune.max_lr == 3e-4
    assert config.pretrain.batch_size == 42


def test_variant_overlays_its_sections_only():
    config = parse_config({"matrix": {"variants": {"wide": {"model": {"prior": {"depth": 3}}}}}})
    wide = config.variant("wide")
    assert wide.model.prior.depth == 3
    assert wide.model.prior.heads == config.model.prior.heads
    assert wide.finetune == config.finetune


def test_variant_may_have_other_numbers_of_sessions():
    config = parse_config({"matrix": {"sessions": [1], "variants": {"all": {}, "long": {"sessions": [10, 40]}}}})
    assert config.sessions_of("all") == (1,)
    assert config.sessions_of("long") == (10, 40)
    assert config.variant("long").finetune == config.finetune


def test_the_evaluated_subject_is_left_out_of_pretraining():
    config = parse_config({"pretrain": {"subjects": [7, 2, 5]}, "matrix": {"subjects": [1, 2]}})
    assert config.pretraining_subjects(1) == [2, 5, 7]
    assert config.pretraining_subjects(2) == [5, 7]
    assert parse_config({}).pretraining_subjects(1) == [2, 3, 4, 5, 6, 7, 8]


def test_environment_moves_paths(monkeypatch):
    monkeypatch.setenv("MINDEYE2_STORE", "/elsewhere")
    assert parse_config({}).paths.store == "/elsewhere"
    assert parse_config({}).paths.dataset == "nsd"


def test_paths_that_lead_nowhere_are_named(tmp_path, monkeypatch):
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for path in (str(circle), "~nobody-of-that-name/nsd", "a\0b"):
        with pytest.raises(UserError, match=r"paths\.dataset: .*; correct it, or MINDEYE2_DATASET"):
            parse_config({"paths": {"dataset": path}})
    monkeypatch.setenv("MINDEYE2_STORE", "~nobody-of-that-name/store")
    with pytest.raises(UserError, match=r"paths\.store"):
        parse_config({})


def test_set_reads_yaml(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("finetune: {num_epochs: 3}\n")
    config = load_config(path, ["finetune.max_lr=2.0e-3", "matrix.sessions=[1, 2]", "finetune.init=scratch"])
    assert (config.finetune.num_epochs, config.finetune.max_lr) == (3, 2e-3)
    assert config.matrix.sessions == (1, 2)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a: [1", "line"),
        ("- 1\n", "list"),
        ("a: {b: }}", "YAML"),
        ("a: \x00", "YAML"),
        ("[" * 3000, "deeply"),
    ],
)
def test_bad_files_are_named(tmp_path, text, word):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=word) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes("run: {name: kö}".encode("latin-1"))
    with pytest.raises(UserError, match=r"c\.yaml: not UTF-8 text \(byte 13\); save it as UTF-8"):
        load_config(path)


def test_missing_file_and_malformed_set_are_named(tmp_path):
    with pytest.raises(UserError, match=r"No such file.*config/demo\.yaml"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "c.yaml").write_text("")
    with pytest.raises(UserError, match=r"section\.field=value"):
        load_config(tmp_path / "c.yaml", ["finetune"])


def test_unkeyed_fields_stay_out_of_the_key():
    assert "checkpoint_minutes" not in Finetune().keyed()
    assert "max_lr" in Finetune().keyed()


def test_an_imported_model_is_keyed_by_that_alone():
    assert Finetune(source="imported", max_lr=1.0).keyed() == {"source": "imported"}
    assert "source" not in Finetune().keyed()
    assert Finetune.from_keyed({"source": "imported", "folder": "x"}).folder == "x"


def test_imported_models_need_no_other_subjects():
    content = {"dataset": {"sessions": {1: 2}}, "matrix": {"subjects": [1], "sessions": [1], "variants": {"a": {}}}}
    parse_config({**content, "finetune": {"source": "imported"}})
    assert parse_config({**content, "pretrain": {"source": "imported"}}).pretrains


def test_setting_added_later_costs_no_stored_object():
    class Old(Section):
        width: int = 4

    class New(Section):
        width: int = 4
        depth: int = since(2, before=1)
        workers: int = unkeyed(0)

    old = Old().keyed()
    assert New(depth=1).keyed() == old
    assert New().keyed() == {**old, "depth": 2}
    assert New.from_keyed(old).depth == 1


def test_every_section_of_a_variant_exists():
    from mindeye2.run_settings import Variant

    assert set(Variant.model_fields) - {"sessions"} < set(Config.model_fields)


def test_every_setting_is_documented():
    from mindeye2.reference import config_reference

    page = (Path(__file__).parents[3] / "config" / "README.md").read_text()
    assert page == config_reference(), "run `make reference`"
    assert "|  |" not in page, "a setting lacks its docstring"


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[3] / "config").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configurations_are_valid(path):
    config = load_config(path)
    assert config.run.name == path.stem
    for variant in config.matrix.variants:
        config.variant(variant)
