"""Training an unCLIP network: what is learned from, what survives a kill, what precision and devices change."""

import csv

import numpy as np
import pytest
import torch
from toy_training import same_weights, weights
from toy_unclip import PICTURES, TOKENS, WIDTH, Dying, Killed, toy_pictures, toy_unclip

from mindeye2.errors import UserError
from mindeye2.train import checkpoint, precision
from mindeye2.train.denoising import inexact_tokens
from mindeye2.train.optim import warmed_up
from mindeye2.train.precision import LossScale

INEXACT = {"null_share": 0.2, "exact_share": 0.3, "least_kept": 0.5, "most_noise": 0.8}


def without_times(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("settings", [INEXACT, {"precision": "float16", "average": 0.0}])
def test_a_killed_training_goes_on_to_the_same_weights(tmp_path, capsys, settings):
    whole = toy_unclip(tmp_path / "whole", **settings)
    rows = whole.fit()
    dying = toy_unclip(tmp_path / "killed", kind=Dying, checkpoint_minutes=1e-9, **settings)
    with pytest.raises(Killed):
        dying.fit()
    assert checkpoint.steps(dying.checkpoints) == [7, 6]
    resumed = toy_unclip(tmp_path / "killed", **settings)
    again = resumed.fit()
    assert "going on after step 7 of 12" in capsys.readouterr().err
    assert same_weights(weights(resumed), weights(whole))
    assert without_times(again) == without_times(rows)
    assert not same_weights(weights(toy_unclip(tmp_path / "fresh")), weights(whole))


def test_the_history_has_a_row_for_each_round_of_steps(tmp_path, monkeypatch):
    monkeypatch.setattr("mindeye2.train.unclip.ROUNDS", 3)
    toy_unclip(tmp_path, steps=11).fit()
    table = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [int(row["step"]) for row in table] == [4, 8, 11]
    assert list(table[0]) == ["step", "loss", "lr", "seconds"]
    assert all(0.5 < float(row["loss"]) < 2 for row in table)


def test_it_learns_what_the_tokens_say(tmp_path):
    """Two pictures; before, the noise is not found at all (a loss of 1)."""
    trainer = toy_unclip(tmp_path, pictures=toy_pictures(trained=[3, 8]), steps=80, batch_size=4, max_lr=2e-2)
    rows = trainer.fit()
    late = np.mean([row["loss"] for row in rows[-20:]])
    assert late < 0.75 * np.mean([row["loss"] for row in rows[:10]])


def test_only_pictures_to_train_on_are_read_each_once_a_pass(tmp_path):
    trained = [0, 2, 3, 7, 9]
    trainer = toy_unclip(tmp_path, pictures=toy_pictures(trained=trained), batch_size=4)
    tokens = toy_pictures().tokens
    seen = [row for step in range(5) for row in trainer._load(step).tokens.numpy()]
    found = [next(i for i in range(PICTURES) if np.array_equal(row, tokens[i])) for row in seen]
    passes = [found[first : first + 5] for first in range(0, 20, 5)]
    assert [sorted(each) for each in passes] == [trained] * 4
    assert len({tuple(each) for each in passes}) > 1, "the order is drawn anew"


def test_the_averaged_weights_are_kept(tmp_path):
    last, averaged = (toy_unclip(tmp_path / str(decay), average=decay) for decay in (0.0, 0.9))
    for trainer in (last, averaged):
        trainer.fit()
    (name, *_) = averaged._kept.beside
    kept = averaged.model.state_dict()[name.removeprefix("average/")]
    assert torch.equal(kept, averaged._kept.beside[name])
    assert not torch.equal(kept, last.model.state_dict()[name.removeprefix("average/")])


def test_recomputing_activations_keeps_few_of_them_and_changes_nothing(tmp_path):
    plain, recomputed = (toy_unclip(tmp_path / str(flag), steps=3, recompute=flag) for flag in (False, True))
    kept = []
    for trainer in (plain, recomputed):
        numbers = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, into=numbers: into.append(x.numel()) or x, lambda x: x):
            trainer.fit()
        kept.append(sum(numbers))
    assert kept[1] < kept[0] / 3
    for one, other in zip(weights(plain).values(), weights(recomputed).values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_a_loss_that_is_no_number_is_named(tmp_path):
    pictures = toy_pictures()
    pictures.latents[:] = np.nan
    with pytest.raises(UserError, match=r"unclip: the loss is nan at step 1 of 12; lower unclip.max_lr \(now 0.001\)"):
        toy_unclip(tmp_path, pictures=pictures).fit()


def test_loss_scaling_leaves_an_overflowing_step_out(tmp_path):
    trainer = toy_unclip(tmp_path, precision="float16", steps=1)
    before = weights(trainer)
    trainer.scaling.state[0] = torch.inf
    trainer.fit()
    assert same_weights(weights(trainer), before)


def test_loss_scale_halves_and_doubles(monkeypatch):
    monkeypatch.setattr(precision, "STEPS_TO_DOUBLE", 2)
    scale, weight = LossScale(torch.device("cpu")), torch.nn.Parameter(torch.zeros(2))
    found = []
    for gradient in (2.0**17, torch.inf, 2.0**15, 2.0**15):
        weight.grad = torch.full((2,), gradient)
        before = scale.value.item()
        sound = scale.unscale([weight])
        assert not sound or torch.equal(weight.grad, torch.full((2,), gradient / before))
        found.append((sound, scale.value.item()))
    assert found == [(True, 2.0**16), (False, 2.0**15), (True, 2.0**15), (True, 2.0**16)]


def test_inexact_tokens_are_exact_noise_or_between():
    generator = torch.Generator().manual_seed(0)
    tokens, noise = torch.randn(2, 4, TOKENS, WIDTH, generator=generator)
    mean = torch.randn(TOKENS, WIDTH, generator=generator)
    uniform = torch.tensor([[0.1, 0.95, 0.5, 0.5], [0.3, 0.3, 0.0, 1.0], [1.0, 1.0, 0.0, 0.5]])
    seen = inexact_tokens(
        tokens,
        mean=mean,
        exact_share=0.4,
        least_kept=0.5,
        most_noise=0.8,
        null_share=0.1,
        uniform=uniform,
        noise=noise,
    )
    assert torch.equal(seen[0], tokens[0]) and torch.equal(seen[1], noise[1])
    torch.testing.assert_close(seen[2], (tokens[2] + mean) / 2)
    torch.testing.assert_close(seen[3], tokens[3] + 0.4 * noise[3])


def test_the_learning_rate_warms_up_and_stays_or_falls():
    rates = [warmed_up(step, 100, max_lr=1e-5, warmup_steps=10).lr for step in range(100)]
    assert rates[0] == pytest.approx(1e-11) and rates[5] == pytest.approx(5e-6, rel=1e-5)
    assert rates[10:] == [1e-5] * 90
    falling = [warmed_up(step, 100, max_lr=1e-5, warmup_steps=10, cosine=True).lr for step in range(100)]
    assert falling[:11] == pytest.approx(rates[:11]) and falling[-1] == pytest.approx(1e-7)
    assert falling[10:] == sorted(falling[10:], reverse=True)
