"""Voxel-wise z-scores: (beta - mean) / standard deviation, over one session or over all of them.

Mean and (population) standard deviation are those of the counted trials, by default those of training images,
and are applied to every trial. A voxel that is constant over a session's counted trials, or not finite anywhere
in the session, says nothing there: it becomes 0 in that session and enters no statistic.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64


def usable_voxels(
    values: Float32[np.ndarray, "trials voxels"], counted: Bool[np.ndarray, " trials"]
) -> Bool[np.ndarray, " voxels"]:
    """True where a session's voxel is finite throughout and varies over the counted trials."""
    with np.errstate(invalid="ignore"):
        varies = np.ptp(values[counted], axis=0) > 0
    return np.isfinite(values).all(axis=0) & varies


class Moments:
    """Mean and standard deviation of each voxel, gathered session by session (Chan's parallel update).

    A voxel counts only in the sessions where it is usable.
    """

    def __init__(self, voxels: int):
        self._count, self._mean, self._squares = (np.zeros(voxels) for _ in range(3))

    def add(self, values: Float32[np.ndarray, "counted voxels"], usable: Bool[np.ndarray, " voxels"]) -> None:
        new = values[:, usable].astype(np.float64)
        mean = new.mean(axis=0)
        before, count = self._count[usable], len(new)
        total, shift = before + count, mean - self._mean[usable]
        self._mean[usable] += shift * count / total
        self._squares[usable] += ((new - mean) ** 2).sum(axis=0) + shift**2 * before * count / total
        self._count[usable] = total

    @property
    def mean(self) -> Float64[np.ndarray, " voxels"]:
        return self._mean

    @property
    def deviation(self) -> Float64[np.ndarray, " voxels"]:
        """0 for a voxel that was usable in no session."""
        return np.sqrt(self._squares / np.maximum(self._count, 1))


def z_scores(
    values: Float32[np.ndarray, "trials voxels"], moments: Moments, usable: Bool[np.ndarray, " voxels"]
) -> Float32[np.ndarray, "trials voxels"]:
    """One session's z-scores, 0 where a voxel is not usable."""
    scores = np.zeros(values.shape, np.float32)
    scores[:, usable] = (values[:, usable] - moments.mean[usable]) / moments.deviation[usable]
    return scores
