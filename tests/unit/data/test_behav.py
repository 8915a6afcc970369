import numpy as np

from mindeye2.data.behav import shards
from mindeye2.data.shards import COLUMNS, IMAGE, ROW, SESSION, SHARED


def _trials(images, sessions, shared):
    trials = np.zeros((len(images), len(COLUMNS)))
    trials[:, IMAGE], trials[:, SESSION], trials[:, ROW] = images, sessions, np.arange(len(images))
    trials[:, SHARED] = np.isin(images, shared)
    return trials


def _rows(array):
    return array[:, ROW].astype(int).tolist()


def test_windows_stop_at_session_borders_and_count_outwards():
    trials = _trials(images=[0, 1, 2, 3, 4, 5], sessions=[1, 1, 1, 1, 2, 2], shared=[])
    (_, _, first), (_, _, second), (split, number, test) = shards(trials, window=2)
    assert (split, number, test) == ("test", 0, [])
    assert _rows(first[2].arrays["past_behav"]) == [1, 0]
    assert _rows(first[2].arrays["future_behav"]) == [3, -1]
    assert _rows(first[0].arrays["past_behav"]) == [-1, -1]
    assert _rows(second[0].arrays["past_behav"]) == [-1, -1]
    assert _rows(second[0].arrays["future_behav"]) == [5, -1]


def test_olds_are_all_other_presentations_in_order_and_at_most_three():
    trials = _trials(images=[7, 7, 8, 7, 7, 7], sessions=[1, 1, 1, 2, 2, 2], shared=[])
    samples = [sample for _, _, found in shards(trials, window=1) for sample in found]
    assert _rows(samples[1].arrays["olds_behav"]) == [0, 3, 4]
    assert _rows(samples[2].arrays["olds_behav"]) == [-1, -1, -1]
    assert _rows(samples[5].arrays["olds_behav"]) == [0, 1, 3]


def test_shared_images_go_to_the_test_shard_and_each_split_counts_its_samples():
    trials = _trials(images=[0, 9, 1, 9, 2, 9], sessions=[1, 1, 1, 2, 2, 2], shared=[9])
    found = list(shards(trials, window=1))
    assert [(split, number) for split, number, _ in found] == [("train", 0), ("train", 1), ("test", 0)]
    assert [[sample.number for sample in samples] for *_, samples in found] == [[0, 1], [2], [0, 1, 2]]
    assert [_rows(sample.arrays["behav"]) for sample in found[2][2]] == [[1], [3], [5]]
    # Windows hold trials of both splits.
    assert _rows(found[0][2][1].arrays["past_behav"]) == [1]
