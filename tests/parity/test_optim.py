"""Parameter groups and schedules against the original's (gold f)."""

import json
from pathlib import Path

import pytest
import torch

from mindeye2.train.optim import linear_decay, one_cycle, parameter_groups, warmup_share

GOLD = json.loads((Path(__file__).parents[1] / "gold" / "mindeye2" / "f_optimizer.json").read_text())


@pytest.mark.parametrize("model", ["a1", "a2", "a3"])
def test_legacy_groups(model):
    """The original keeps five groups; what a parameter meets is its weight decay."""
    expected = {name: group["weight_decay"] for group in GOLD[f"groups_{model}"] for name in group["names"]}
    named = [(name, torch.nn.Parameter(torch.zeros(2, 2))) for name in expected]
    groups = parameter_groups(named, weight_decay=0.01, legacy=True)
    ours = {name: group["weight_decay"] for group in groups for name in group["names"]}
    assert ours == expected


@pytest.mark.parametrize(("case", "warmup"), [("5x7", None), ("other", None), ("3x5", None), ("2x6", 1.0)])
def test_one_cycle(case, warmup):
    """Two epochs need the original's share of 1: ours stops the warm-up at two thirds."""
    gold = GOLD[f"onecycle_{case}"]
    share = warmup or warmup_share(gold["epochs"])
    rates = [
        one_cycle(step, gold["total_steps"], max_lr=gold["max_lr"], warmup=share) for step in range(gold["total_steps"])
    ]
    assert [rate.lr for rate in rates] == pytest.approx(gold["lr"], rel=1e-9, abs=0)
    assert [rate.beta1 for rate in rates] == pytest.approx(gold["beta1"], rel=1e-9, abs=0)


@pytest.mark.parametrize("case", [case for case in GOLD if case.startswith("linear_")])
def test_legacy_linear_warms_up_to_the_end_where_ours_decays(case):
    gold = GOLD[case]
    total, max_lr = gold["total_steps"], gold["max_lr"]
    rates = [legacy_linear(step, total, max_lr=max_lr) for step in range(total)]
    assert [rate.lr for rate in rates] == pytest.approx(gold["lr"], rel=1e-9, abs=0)
    assert [rate.beta1 for rate in rates] == pytest.approx(gold["beta1"], rel=1e-9, abs=0)
    lrs = [linear_decay(step, total, max_lr=max_lr).lr for step in range(total)]
    assert lrs == sorted(lrs, reverse=True)
    assert (lrs[0], lrs[-1]) == pytest.approx((max_lr, max_lr / total))
