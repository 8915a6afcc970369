"""Noise is standard normal and independent; no image keeps its trials."""

import numpy as np
import pytest

from mindeye2.data.controls import control_responses, derangement
from mindeye2.errors import UserError


def test_noise_is_standard_normal_and_new_for_every_trial():
    betas, rows = np.full((50, 400), 7.0, np.float32), [[0, 1, 2], [3]]
    noise, same = control_responses("noise", betas, rows, np.random.default_rng(0))
    assert same == rows and noise.shape == betas.shape and noise.dtype == np.float32
    assert abs(noise.mean()) < 0.03 and abs(noise.std() - 1) < 0.03
    assert np.abs(np.corrcoef(noise) - np.eye(50)).max() < 0.3


def test_measured_responses_stay():
    betas, rows = np.ones((3, 2), np.float32), [[0, 2], [1]]
    kept, same = control_responses("measured", betas, rows, np.random.default_rng(0))
    assert kept is betas and same is rows


def test_shuffled_moves_whole_images():
    betas, rows = np.zeros((6, 2), np.float32), [[0, 3], [1], [2, 4, 5]]
    kept, moved = control_responses("shuffled", betas, rows, np.random.default_rng(0))
    assert kept is betas and sorted(moved) == sorted(rows)
    assert all(new != old for new, old in zip(moved, rows, strict=True))


def test_every_derangement_is_equally_likely():
    generator = np.random.default_rng(1)
    drawn = [tuple(derangement(4, generator)) for _ in range(1800)]
    found = {order: drawn.count(order) for order in set(drawn)}
    assert len(found) == 9 and all(order[i] != i for order in found for i in range(4))
    assert min(found.values()) > 150


def test_one_image_cannot_be_shuffled():
    with pytest.raises(UserError, match=r"reconstruct\.voxels: shuffled needs two test images"):
        derangement(1, np.random.default_rng(0))
