import math

import pytest
import torch
from torch import nn

from mindeye2.train.optim import AdamW, one_cycle, parameter_groups, schedule, warmup_share


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.ridge = nn.Linear(3, 2)
        self.norm = nn.LayerNorm(2)
        self.relative_bias = nn.Embedding(4, 2)
        self.null_brain = nn.Parameter(torch.zeros(5, 2))
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def decay_by_name(groups):
    return {name: group["weight_decay"] for group in groups for name in group["names"]}


def test_only_matrices_are_decayed():
    assert decay_by_name(parameter_groups(Small().named_parameters(), weight_decay=0.1)) == {
        "ridge.weight": 0.1,
        "null_brain": 0.1,
        "ridge.bias": 0.0,
        "norm.weight": 0.0,
        "norm.bias": 0.0,
        "relative_bias.weight": 0.0,
    }


def test_legacy_decays_norm_gains_and_ridge_biases():
    decay = decay_by_name(parameter_groups(Small().named_parameters(), weight_decay=0.1, legacy=True))
    assert decay["norm.weight"] == decay["ridge.bias"] == 0.1
    assert decay["norm.bias"] == decay["relative_bias.weight"] == 0.0


def trained_for(steps, make_step, model):
    generator = torch.Generator().manual_seed(0)
    for k in range(steps):
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
        make_step(one_cycle(k, steps, max_lr=0.1, warmup=0.4))
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def ours(model):
    return AdamW(parameter_groups(model.named_parameters(), weight_decay=0.1))


def test_steps_are_torchs_to_the_bit():
    torch.manual_seed(0)
    model, twin = Small(), Small()
    twin.load_state_dict(model.state_dict())
    groups = parameter_groups(twin.named_parameters(), weight_decay=0.1)
    theirs = torch.optim.AdamW(groups, eps=1e-8, fused=True)

    def their_step(rate):
        for group in theirs.param_groups:
            group["lr"], group["betas"] = rate.lr, (rate.beta1, 0.999)
        theirs.step()

    before = {name: value.clone() for name, value in model.named_parameters()}
    after = trained_for(6, ours(model).step, model)
    assert same(after, trained_for(6, their_step, twin))
    assert {name for name in before if torch.equal(before[name], after[name])} == {"frozen.weight", "frozen.bias"}


def test_state_goes_out_and_in():
    torch.manual_seed(0)
    model, twin = Small(), Small()
    optimizer, resumed = ours(model), ours(twin)
    trained_for(3, optimizer.step, model)
    twin.load_state_dict(model.state_dict())
    resumed.load_state_dict({name: value.clone() for name, value in optimizer.state_dict().items()})
    assert same(trained_for(3, optimizer.step, model), trained_for(3, resumed.step, twin))


@pytest.mark.parametrize("kind", ["cycle", "linear", "legacy_linear"])
@pytest.mark.parametrize(("num_epochs", "steps"), [(1, 1), (1, 2), (1, 7), (2, 1), (2, 6), (3, 1), (150, 3)])
def test_runs_of_every_length(kind, num_epochs, steps):
    rates = [
        schedule(kind, max_lr=1e-3, num_epochs=num_epochs, steps_per_epoch=steps)(k) for k in range(num_epochs * steps)
    ]
    assert all(math.isfinite(rate.lr) and 0 < rate.lr <= 1e-3 for rate in rates)
    assert all(0.85 <= rate.beta1 <= 0.95 for rate in rates)
    if len(rates) > 4 and kind != "legacy_linear":
        assert rates[-1].lr < 0.5 * max(rate.lr for rate in rates)


def test_peak_at_the_end_of_the_second_epoch():
    rates = [one_cycle(k, 10 * 5, max_lr=1.0, warmup=warmup_share(10)) for k in range(50)]
    assert max(range(50), key=lambda k: rates[k].lr) == 9
    assert rates[9] == pytest.approx((1.0, 0.85))
    assert rates[0] == pytest.approx((1 / 25, 0.95))
    assert rates[-1] == pytest.approx((1 / 25 / 1000, 0.95))


def test_beta1_stays_when_it_is_not_cycled():
    steady = schedule("cycle", max_lr=1.0, num_epochs=10, steps_per_epoch=2, cycle_beta1=False)
    cycled = schedule("cycle", max_lr=1.0, num_epochs=10, steps_per_epoch=2)
    assert {steady(k).beta1 for k in range(20)} == {0.9}
    assert [steady(k).lr for k in range(20)] == [cycled(k).lr for k in range(20)]
    assert cycled(3).beta1 == pytest.approx(0.85)


def test_legacy_linear_rises_where_linear_falls():
    kinds = [schedule(kind, max_lr=3.0, num_epochs=4, steps_per_epoch=1) for kind in ("legacy_linear", "linear")]
    rising, falling = ([rate(k).lr for k in range(4)] for rate in kinds)
    assert rising == pytest.approx([1.0, 1.5, 2.0, 2.5])
    assert falling == pytest.approx([3.0, 2.25, 1.5, 0.75])
