import numpy as np

from mindeye2.data.betas import Moments, usable_voxels, z_scores


def _session(trials, voxels, seed, shift=0.0):
    return (np.random.default_rng(seed).normal(2.0 + shift, 3.0, (trials, voxels))).astype(np.float32)


def test_statistics_are_those_of_the_counted_trials_only():
    values = _session(40, 6, 0)
    counted = np.arange(40) % 4 > 0
    values[~counted] += 100
    usable = usable_voxels(values, counted)
    moments = Moments(6)
    moments.add(values[counted], usable)
    scores = z_scores(values, moments, usable)
    np.testing.assert_allclose(scores[counted].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scores[counted].std(axis=0), 1, atol=1e-6)
    assert scores[~counted].min() > 20


def test_moments_of_several_sessions_are_those_of_all_trials_together():
    sessions = [_session(trials, 5, seed, shift=50 * seed) for seed, trials in enumerate((7, 30, 2))]
    moments = Moments(5)
    for values in sessions:
        moments.add(values, np.ones(5, dtype=bool))
    everything = np.concatenate(sessions).astype(np.float64)
    np.testing.assert_allclose(moments.mean, everything.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.deviation, everything.std(axis=0), rtol=1e-12)


def test_a_voxel_counts_only_where_it_is_usable():
    good, bad = _session(20, 3, 0), _session(20, 3, 1)
    bad[4, 0], bad[:, 1] = np.nan, 5.0
    moments, everything = Moments(3), np.ones(20, dtype=bool)
    for values in (good, bad):
        moments.add(values, usable_voxels(values, everything))
    np.testing.assert_allclose(moments.mean[:2], good.astype(np.float64).mean(axis=0)[:2])
    np.testing.assert_allclose(moments.deviation[:2], good.astype(np.float64).std(axis=0)[:2])
    scores = z_scores(bad, moments, usable_voxels(bad, everything))
    assert (scores[:, :2] == 0).all() and (scores[:, 2] != 0).all()


def test_usable_voxels():
    values, counted = _session(10, 5, 0), np.arange(10) < 8
    values[9, 0] = np.nan  # not counted, but it would be stored
    values[2, 1] = np.inf
    values[:, 2] = 1 / 3  # a mean of equal values can be off by a rounding
    values[:8, 3] = 7.0  # varies only over trials that do not count
    assert usable_voxels(values, counted).tolist() == [False, False, False, False, True]
