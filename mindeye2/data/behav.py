"""Samples of the behavioural shards: each trial with its neighbours in time and its image's other showings."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Literal

import numpy as np
from jaxtyping import Float64

from mindeye2.data.shards import IMAGE, NOT_AVAILABLE, SESSION, SHARED, Sample

NUM_OLDS = 3
"""Rows for other presentations of the same image; where there are more, the first ones count."""


def shards(
    trials: Float64[np.ndarray, "trials 17"], *, window: int
) -> Iterator[tuple[Literal["train", "test"], int, list[Sample]]]:
    """(split, shard number, samples): one training shard per session, then the one test shard.

    ``trials`` holds every trial of the subject in the order of presentation. Trials of shared images go to the
    test shard. Windows run outwards from the trial (t-1, t-2, ... and t+1, t+2, ...) and stop at the borders of
    its session; other presentations of its image may lie in any session, before or after. Samples of a split are
    numbered over all sessions, from 0.
    """
    presentations = defaultdict(list)
    for position, image in enumerate(trials[:, IMAGE]):
        presentations[image].append(position)

    train_numbers, test_numbers, test = count(), count(), []
    padding = np.full((window, trials.shape[1]), NOT_AVAILABLE)
    for session in np.unique(trials[:, SESSION]):
        (positions,) = np.nonzero(trials[:, SESSION] == session)
        padded = np.concatenate([padding, trials[positions], padding])
        train = []
        for place, position in enumerate(positions):
            others = [other for other in presentations[trials[position, IMAGE]] if other != position][:NUM_OLDS]
            olds = np.full((NUM_OLDS, trials.shape[1]), NOT_AVAILABLE)
            olds[: len(others)] = trials[others]
            arrays = {
                "behav": trials[position][None],
                "past_behav": padded[place : place + window][::-1],
                "future_behav": padded[place + window + 1 : place + 2 * window + 1],
                "olds_behav": olds,
            }
            if trials[position, SHARED]:
                test.append(Sample(next(test_numbers), arrays))
            else:
                train.append(Sample(next(train_numbers), arrays))
        yield "train", int(session) - 1, train
    yield "test", 0, test
