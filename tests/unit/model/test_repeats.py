import numpy as np
import pytest

from mindeye2.errors import UserError
from mindeye2.model.repeats import repeat_rows

IMAGES = np.array([7, 3, 7, 5, 3, 7])


def test_every_trial_once_in_ascending_order_of_images():
    images, rows = repeat_rows(IMAGES)
    assert images.tolist() == [3, 5, 7]
    assert rows == [[1, 4], [3], [0, 2, 5]]


def test_legacy_triples():
    _, rows = repeat_rows(IMAGES, legacy=True)
    assert rows == [[1, 1, 4], [3, 3, 3], [0, 2, 5]]


def test_more_than_three_trials():
    four = np.array([1, 1, 1, 1])
    assert repeat_rows(four)[1] == [[0, 1, 2, 3]]
    with pytest.raises(UserError, match="image 1: 4 trials, but the legacy rule knows at most 3"):
        repeat_rows(four, legacy=True)
