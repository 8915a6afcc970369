"""The linear baseline against another solver, and its choice of penalty."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mindeye2.errors import UserError
from mindeye2.metrics import linear_ridge as module
from mindeye2.metrics.linear_ridge import linear_ridge

ROWS = [[2 * item, 2 * item + 1] for item in range(20)]


def world(noise: float, *, voxels: int = 50):
    """Trials of 100 images, three each, and two trials each of 20 others; tokens linear in what voxels carry.

    Training voxels, images, groups (the images), tokens, test voxels.
    """
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((120, voxels)).astype(np.float32)
    tokens = (factors @ rng.standard_normal((voxels, 24)) + 3).reshape(120, 4, 6).astype(np.float16)
    image, shown = np.repeat(np.arange(100), 3), np.repeat(np.arange(100, 120), 2)
    train, test = (factors[which] + noise * rng.standard_normal((len(which), voxels)) + 1 for which in (image, shown))
    return train.astype(np.float32), image, image, tokens, test.astype(np.float32)


def chosen(monkeypatch, *world) -> tuple[np.ndarray, float]:
    """Predictions, and the penalty behind them."""
    penalties = []

    def spying(*arguments):
        penalties.append(penalty(*arguments))
        return penalties[0]

    penalty = module._penalty
    monkeypatch.setattr(module, "_penalty", spying)
    predicted = linear_ridge(*world, ROWS, generator=np.random.default_rng(1))
    monkeypatch.undo()
    return predicted.numpy(), penalties[0]


@pytest.mark.parametrize("block", [7, 4096])
def test_predictions_are_those_of_sklearns_ridge_averaged_over_repeats_and_as_long_as_targets(monkeypatch, block):
    train, image, group, tokens, test = world(0.8)
    monkeypatch.setattr(module, "BLOCK", block)
    predicted, penalty = chosen(monkeypatch, train, image, group, tokens, test)
    targets = tokens.reshape(120, -1)[image].astype(np.float64)
    mean = targets.mean(axis=0)
    wanted = Ridge(alpha=penalty).fit(train.astype(np.float64), targets).predict(test)
    wanted = wanted.reshape(20, 2, 24).mean(axis=1) - mean
    wanted *= np.sqrt(np.square(targets - mean).sum(axis=1).mean()) / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(predicted.reshape(20, 24), mean + wanted, atol=2e-4)


def test_more_noise_asks_for_a_larger_penalty(monkeypatch):
    penalties = [chosen(monkeypatch, *world(noise))[1] for noise in (0.01, 0.5, 5.0)]
    assert penalties[0] < penalties[1] < penalties[2]


def test_trials_of_a_group_are_never_in_two_folds(monkeypatch):
    """Voxels that name the image and nothing else: the smallest penalty is best for new trials, none for new images."""
    _, image, _, tokens, _ = world(0.0)
    code = np.random.default_rng(2).standard_normal((120, 200)).astype(np.float32)
    train, test = code[image], code[np.repeat(np.arange(100, 120), 2)]
    unit = np.square(train - train.mean(axis=0)).sum(axis=1).mean()
    assert chosen(monkeypatch, train, image, image, tokens, test)[1] > 10 * unit
    session = np.tile([1, 2, 3], 100)
    assert chosen(monkeypatch, train, image, session, tokens, test)[1] < 0.1 * unit


def test_one_group_leaves_nothing_to_choose_by():
    train, image, _, tokens, test = world(0.8)
    with pytest.raises(UserError, match=r"evaluate\.baselines: linear_ridge leaves out images or sessions"):
        linear_ridge(train, image, np.ones(300, np.int64), tokens, test, ROWS, generator=np.random.default_rng(1))


def test_the_same_stream_gives_the_same_predictions():
    one, two = (linear_ridge(*world(0.8), ROWS, generator=np.random.default_rng(5)) for _ in range(2))
    assert one.equal(two)
