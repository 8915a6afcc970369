"""docs/fidelity.md says what is true: its tests exist, its settings are settings, its presets are complete."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from mindeye2.config import parse_config
from mindeye2.presets import PRESETS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "fidelity.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]
QUIRKS = [row for row in ROWS if row[0] != "what" and len(row) > 4]
SETTING = re.compile(r"`([a-z]+)\.(\w+): ([^`]+)`")


@cache
def names_of_tests(path):
    return {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}


def settings():
    """(section, field, value) of every setting that the page offers for the original."""
    for row in QUIRKS:
        for section, field, value in SETTING.findall(row[4]):
            yield section, field, yaml.safe_load(value)


def test_every_named_test_exists():
    named = re.findall(r"`(tests/\S+?\.py)::(\w+)`", PAGE)
    assert len(named) > 50 and all("tests/" in row[6] for row in QUIRKS)
    missing = [
        f"{path}::{name}" for path, name in named if not (ROOT / path).is_file() or name not in names_of_tests(path)
    ]
    assert not missing, "renamed or removed: correct docs/fidelity.md"


def test_every_row_says_how_to_get_the_original_or_that_it_is_not_offered():
    assert len(QUIRKS) > 30 and {len(row) for row in QUIRKS} == {7}
    for what, _, _, _, setting, why, _ in QUIRKS:
        assert SETTING.search(setting) or setting in ("not offered", "the same setting"), what
        assert why or setting == "not offered", what


@pytest.mark.parametrize(("section", "field", "value"), sorted(settings(), key=str))
def test_every_named_setting_is_one(section, field, value):
    assert getattr(getattr(parse_config({section: {field: value}}), section), field) == value


def test_the_page_names_what_the_presets_turn_on():
    """A preset holds what the page gives as the original's, and nothing that changes a default without a row there."""
    offered, default = {(section, field): value for section, field, value in settings()}, parse_config({})
    for sections in PRESETS.values():
        for section, values in sections.items():
            for field, value in values.items():
                if value != getattr(getattr(default, section), field):
                    assert offered[section, field] == value
    full = PRESETS["original"]
    outside = {(section, field) for section, field in offered if field not in full.get(section, {})}
    assert {section for section, _ in outside} == {"betas", "pretrain", "finetune"}
    assert {field for section, field in outside if section != "betas"} == {"grad_clip"}


def test_each_preset_is_described():
    for name in PRESETS:
        assert f"`preset: {name}`" in PAGE
