"""A preset is short for settings: it changes what they change, and nothing by itself."""

from pathlib import Path

import pytest

from mindeye2.config import Config, load_config, merged, parse_config
from mindeye2.errors import UserError
from mindeye2.plan import shown_config
from mindeye2.presets import PRESETS
from mindeye2.run_settings import Variant
from mindeye2.settings import Evaluate, Finetune, Pretrain, Reconstruct

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_the_settings_it_stands_for(name):
    short, long = parse_config({"preset": name}), parse_config(PRESETS[name])
    assert short == long != parse_config({})
    assert shown_config(short) == shown_config(long), "the preset's name is in what the tables' key is made of"


def test_what_released_weights_need():
    config = parse_config({"preset": "released"})
    assert config.model.backbone == "legacy_mixer"
    assert config.targets.pixel_range == "legacy01"
    assert config.reconstruct.repeats == config.evaluate.repeats == "legacy"
    assert config.finetune == parse_config({}).finetune, "weights do not care how the next ones are trained"


def test_original_trains_as_the_published_code_too():
    config = parse_config({"preset": "original"})
    for settings in (config.pretrain, config.finetune):
        assert (settings.mixing_targets, settings.decay_groups) == ("legacy", "legacy")
    assert (config.pretrain.batch_size, config.finetune.batch_size) == (42, 24)


def test_explicit_settings_win(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("preset: released\ntargets: {pixel_range: pm1}\nreconstruct: {steps: 5}\n")
    config = load_config(path)
    assert config.targets.pixel_range == "pm1"
    assert (config.reconstruct.steps, config.reconstruct.repeats) == (5, "legacy")
    assert load_config(path, ["model.backbone=linear"]).model.backbone == "linear"


def test_set_gives_and_takes_a_preset(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: {hidden_dim: 8}\n")
    assert load_config(path, ["preset=original"]).finetune.decay_groups == "legacy"
    path.write_text("preset: original\n")
    assert load_config(path, ["preset=null"]) == parse_config({})


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", ["paper", "light"])
def test_nothing_in_the_shipped_files_stands_in_a_presets_way(name, preset):
    """paper.yaml's header says that one line takes the original's side; what it spelt out would win over that line."""
    config = load_config(REPOSITORY / f"config/{name}.yaml", [f"preset={preset}"]).model_dump()
    for section, settings in PRESETS[preset].items():
        assert {field: config[section][field] for field in settings} == settings


def test_a_variant_may_name_one():
    variants = {"clean": {}, "theirs": {"preset": "released", "evaluate": {"repeats": "equal"}}}
    config = parse_config({"targets": {"pixel_range": "pm1"}, "matrix": {"variants": variants}})
    assert config.variant("clean").model.backbone == "residual_mlp"
    theirs = config.variant("theirs")
    assert (theirs.model.backbone, theirs.evaluate.repeats, theirs.reconstruct.repeats) == (
        "legacy_mixer",
        "equal",
        "legacy",
    )
    assert theirs.targets.pixel_range == "legacy01", "an overlay goes over the sections of the file"
    written_out = merged(PRESETS["released"], {"evaluate": {"repeats": "equal"}})
    assert config.matrix.variants["theirs"] == Variant(**written_out)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"preset": "relesed"}, ["preset: 'relesed'", "released, original"]),
        ({"preset": ["released"]}, ["preset: ['released']", "released, original"]),
        ({"matrix": {"variants": {"x": {"preset": "y"}}}}, ["matrix.variants.x.preset: 'y'", "released, original"]),
        ({"preset": "released", "matrix": 3}, ["matrix: 3"]),
        ({"preset": "released", "model": {"backbone": "mixer"}}, ["model.backbone", "mixer"]),
    ],
)
def test_mistakes_are_one_line(content, words):
    with pytest.raises(UserError) as caught:
        parse_config(content)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_presets_name_sections_that_a_variant_may_overlay():
    for sections in PRESETS.values():
        assert sections.keys() <= Variant.model_fields.keys() - {"sessions"} <= Config.model_fields.keys()


@pytest.mark.parametrize("section", [Pretrain, Finetune, Reconstruct, Evaluate])
def test_choices_named_since_the_first_version_leave_stored_keys_alone(section):
    added = {"mixing_targets", "decay_groups", "cycle_beta1", "repeats", "antialias"} & section.model_fields.keys()
    assert added and not added & section().keyed().keys()
    legacy = section.parse(
        {name: PRESETS["original"][section.__name__.lower()][name] for name in added - {"antialias"}}
    )
    assert section.from_keyed(legacy.keyed()) == legacy != section()
