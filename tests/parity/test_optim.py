"""Parameter groups and schedules against the original's (gold f)."""

import pytest
import torch
from gold_models import STEMS, gold_model, numbers

from mindeye2.model.upstream import released_name
from mindeye2.train.optim import legacy_linear, linear_decay, one_cycle, parameter_groups, warmup_share

GOLD = numbers("f_optimizer")
CYCLES = [case for case, value in GOLD.items() if case.startswith("onecycle_") and isinstance(value, dict)]
LINEAR = [case for case in GOLD if case.startswith("linear_")]


def original_decay(model):
    """The original keeps five groups; what a parameter meets is its weight decay."""
    return {name: group["weight_decay"] for group in GOLD[f"groups_{model}"] for name in group["names"]}


def decay_by_name(named):
    groups = parameter_groups(named, weight_decay=0.01, legacy=True)
    return {name: group["weight_decay"] for group in groups for name in group["names"]}


@pytest.mark.parametrize("model", STEMS)
def test_legacy_groups_by_the_originals_names(model):
    expected = original_decay(model)
    assert decay_by_name((name, torch.nn.Parameter(torch.zeros(2, 2))) for name in expected) == expected


@pytest.mark.parametrize("model", STEMS)
def test_legacy_groups_by_our_names(model):
    """Frozen there: the rotary frequencies. Frozen here too: the width mixers and gains that no output depends on."""
    expected = original_decay(model)
    parameters = dict(gold_model(model).requires_grad_(True).named_parameters())
    ours = {released_name(name): decay for name, decay in decay_by_name(parameters.items()).items()}
    assert ours == {name: decay for name, decay in expected.items() if "rotary" not in name}


@pytest.mark.parametrize("case", CYCLES)
def test_one_cycle(case):
    """Two epochs need the original's share of 1: ours stops the warm-up at two thirds."""
    gold = GOLD[case]
    share = 1.0 if gold["epochs"] == 2 else warmup_share(gold["epochs"])
    rates = [
        one_cycle(step, gold["total_steps"], max_lr=gold["max_lr"], warmup=share) for step in range(gold["total_steps"])
    ]
    assert [rate.lr for rate in rates] == pytest.approx(gold["lr"], rel=1e-9, abs=0)
    assert [rate.beta1 for rate in rates] == pytest.approx(gold["beta1"], rel=1e-9, abs=0)


@pytest.mark.parametrize("case", LINEAR)
def test_legacy_linear_warms_up_to_the_end_where_ours_decays(case):
    gold = GOLD[case]
    total, max_lr = gold["total_steps"], gold["max_lr"]
    rates = [legacy_linear(step, total, max_lr=max_lr) for step in range(total)]
    assert [rate.lr for rate in rates] == pytest.approx(gold["lr"], rel=1e-9, abs=0)
    assert [rate.beta1 for rate in rates] == pytest.approx(gold["beta1"], rel=1e-9, abs=0)
    lrs = [linear_decay(step, total, max_lr=max_lr).lr for step in range(total)]
    assert lrs == sorted(lrs, reverse=True)
    assert (lrs[0], lrs[-1]) == pytest.approx((max_lr, max_lr / total))


def test_every_case_is_compared():
    assert CYCLES and LINEAR
