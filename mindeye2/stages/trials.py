"""Which trials of a subject are trained on and which are decoded."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from mindeye2.data.shards import Trials, read_trials


def training_trials(behav: Path, sessions: Collection[int]) -> Trials:
    """Trials of images that are not shared, in these sessions."""
    every = read_trials(behav, "train")
    inside = np.isin(every.session, sorted(sessions))
    return Trials(image=every.image[inside], row=every.row[inside], session=every.session[inside])


def decoded_trials(behav: Path, sessions: Collection[int] | None) -> Trials:
    """Trials of the shared images, or all trials of the sessions that were left out of training."""
    return read_trials(behav, "test") if sessions is None else training_trials(behav, sessions)
