"""A small head: which voxels of the grid are brain, cortex, nsdgeneral and which visual area."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from mindeye2.seeds import numpy_generator

LABELS = {"V1v": 1, "V1d": 2, "V2v": 3, "V2d": 4, "V3v": 5, "V3d": 6, "hV4": 7}
"""Values of NSD's prf-visualrois."""
AREAS = {"V1": 0.16, "V2": 0.14, "V3": 0.12, "V4": 0.10, "higher": 0.48}
"""Areas from the back of the head forwards, with their shares of nsdgeneral."""
_DROPPED = 0.08
"""Voxels inside the visual areas that nsdgeneral leaves out, as a share of those it keeps."""


@dataclass(frozen=True)
class Anatomy:
    """Volumes (X, Y, Z) of one subject: x to the right, y to the front, z up."""

    brain: np.ndarray
    """Boolean; betas are zero outside."""
    nsdgeneral: np.ndarray
    """int16: -1 outside cortex, 0 in cortex but not in the region, 1 in."""
    visual: np.ndarray
    """int16: -1 outside cortex, 0 in no area, 1...7 as in ``LABELS``."""
    area: np.ndarray
    """str: a key of ``AREAS``, "cortex" or "" elsewhere."""


def make_anatomy(subject: int, *, voxels: int, seed: int) -> Anatomy:
    """A head with ``voxels`` voxels in nsdgeneral, its grid a little different for every subject."""
    generator = numpy_generator(seed, "simulate", "anatomy", subject)
    scale = (voxels / 400) ** (1 / 3)
    extra = (subject % 2, subject // 2 % 2, subject // 4 % 2)
    shape = tuple(max(5, round(side * scale) + more) for side, more in zip((13.5, 16.0, 12.5), extra, strict=True))

    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2) + 0.05 * gaussian_filter(generator.normal(size=shape), 1.0)
    brain = radius <= 1.0
    cortex = brain & (radius > np.quantile(radius[brain], 0.25))

    # From the back of the head forwards, with a ragged border.
    front = y + 0.15 * gaussian_filter(generator.normal(size=shape), 1.5) / 0.1
    posterior = np.flatnonzero(cortex)[np.argsort(front[cortex], kind="stable")]
    candidates = posterior[: voxels + round(_DROPPED * voxels)]
    kept = np.sort(generator.permutation(len(candidates))[:voxels])

    nsdgeneral = np.where(cortex, 0, -1).astype(np.int16)
    nsdgeneral.ravel()[candidates[kept]] = 1
    area = np.where(cortex, "cortex", "").astype("<U6")
    ends = np.round(np.cumsum(list(AREAS.values())) * len(candidates)).astype(int)
    for name, part in zip(AREAS, np.split(candidates, ends[:-1]), strict=True):
        area.ravel()[part] = name
    return Anatomy(brain, nsdgeneral, _visual(area, z), area)


def _visual(area: np.ndarray, z: np.ndarray) -> np.ndarray:
    visual = np.where(area == "", -1, 0).astype(np.int16)
    for label, value in LABELS.items():
        if label == "hV4":
            visual[area == "V4"] = value
            continue
        inside = area == label[:2]
        above = z > np.median(z[inside]) if inside.any() else inside
        visual[inside & (above if label[-1] == "d" else ~above)] = value
    return visual
