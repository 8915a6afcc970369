"""Variants that differ in one setting are compared seed by seed, in words."""

import pytest

from mindeye2.report.contrasts import contrasts, single_differences
from mindeye2.report.rows import Row

COLUMN = ("retrieval_brain_to_image", "")
BACKBONE = {"linear": ("model.backbone", "linear", "residual_mlp")}


def config(**variants):
    return {"model": {"backbone": "residual_mlp"}, "finetune": {"init": "scratch"}, "matrix": {"variants": variants}}


def rows(variant: str, *values: float | None, subject: int = 1, metric: str = COLUMN[0]) -> list[Row]:
    return [Row(variant, subject, 4, metric, "", seed, v, 64, None, None) for seed, v in enumerate(values)]


def said(found: list[Row], column=COLUMN, differing=BACKBONE) -> list[str]:
    lines = contrasts(found, column, differing, default="default", sessions=[4], unit="session")
    return [str(line.striptags()).replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def test_only_variants_that_differ_in_one_setting_are_compared():
    linear, both = {"model": {"backbone": "linear"}}, {"model": {"backbone": "linear"}, "finetune": {"init": "x"}}
    found = single_differences(config(default={}, linear=linear, both=both, same={}), "default")
    assert found == {"linear": ("model.backbone", "linear", "residual_mlp")}


def test_a_default_with_an_overlay_of_its_own_is_what_others_differ_from():
    default = {"model": {"backbone": "linear"}, "evaluate": {"baselines": ["linear_ridge"]}}
    found = single_differences(config(default=default, plain={}, same={"model": {"backbone": "linear"}}), "default")
    assert found == {"plain": ("model.backbone", "residual_mlp", "linear")}


def test_a_setting_that_the_configuration_leaves_out_is_the_default():
    found = single_differences(config(default={}, mean={"model": {"input": "mlp"}}), "default")
    assert found == {"mean": ("model.input", "mlp", None)}


def test_the_better_variant_is_named_with_difference_and_spread_over_seeds():
    (line,) = said(rows("default", 0.30, 0.32, 0.34) + rows("linear", 0.40, 0.41, 0.45))
    assert line == (
        "linear is better than default by 10.0 ± 1.0 points in brain → image retrieval after 4 sessions "
        "(model.backbone, linear against residual_mlp): 42.0 ± 2.6 % against 32.0 ± 2.0 %, "
        "mean and standard deviation over 3 seeds; better in 3 of them."
    )


def test_the_order_follows_the_better_one():
    (line,) = said(rows("default", 0.40, 0.41, 0.45) + rows("linear", 0.30, 0.32, 0.34))
    assert line.startswith("default is better than linear by 10.0 ± 1.0 points")
    assert "(model.backbone, residual_mlp against linear): 42.0 ± 2.6 % against 32.0 ± 2.0 %" in line


def test_for_distances_less_is_better():
    column = ("efficientnet", "")
    found = rows("default", 0.8, 0.81, metric=column[0]) + rows("linear", 0.6, 0.62, metric=column[0])
    assert said(found, column)[0].startswith("linear is better than default by 0.195 ± 0.007 in ")


def test_a_difference_within_its_spread_is_none():
    (line,) = said(rows("default", 0.30, 0.40, 0.35) + rows("linear", 0.40, 0.30, 0.37))
    assert line.startswith("linear and default cannot be told apart, 0.7 ± 10.1 points in favour of the first in ")
    assert line.endswith("better in 2 of them.")


@pytest.mark.parametrize("values", [[0.4], [0.4, None]])
def test_one_seed_says_nothing(values):
    assert said(rows("default", 0.3, 0.3) + rows("linear", *values)) == []


def test_subjects_are_averaged_within_a_seed():
    found = rows("default", 0.1, 0.2) + rows("default", 0.3, 0.4, subject=2)
    found += rows("linear", 0.5, 0.6) + rows("linear", 0.7, 0.8, subject=2)
    assert "by 40.0 ± 0.0 points" in said(found)[0]
