"""Which trials stand for an image that was shown more than once."""

import numpy as np

from mindeye2.errors import UserError


def repeat_rows(images: np.ndarray, *, legacy: bool = False) -> tuple[np.ndarray, list[list[int]]]:
    """Images (ascending) and, for each, the positions of its trials in ``images``, in their order.

    ``images`` (trials,) holds the image of each trial. Every trial counts once; with ``legacy`` there are
    three per image as in the original: one trial three times, two trials a, b as a, a, b (weights 2:1), and
    more than three are refused (UserError). tests/parity/test_model.py holds the legacy rule.
    """
    unique = np.unique(images)
    rows = [np.flatnonzero(images == image).tolist() for image in unique]
    if not legacy:
        return unique, rows
    for image, trials in zip(unique, rows, strict=True):
        if len(trials) > 3:
            raise UserError(
                f"image {image}: {len(trials)} trials, but the legacy rule knows at most 3; set repeats: equal"
            )
    return unique, [[trials[0]] * (3 - len(trials)) + trials for trials in rows]
