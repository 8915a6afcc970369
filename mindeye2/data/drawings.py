"""Drawn stand-ins for the photographs of Haxby et al. 2001."""

import numpy as np
from jaxtyping import UInt8

from mindeye2.data.haxby import CATEGORIES, EXEMPLARS
from mindeye2.demo.world import Scene, captions, render, sample_scene
from mindeye2.seeds import numpy_generator


def exemplars(px: int) -> tuple[UInt8[np.ndarray, "images height width 3"], list[list[str]]]:
    """``EXEMPLARS`` pictures of each category, category by category, and five captions of each.

    Each shows one thing alone before a plain wall, as the photographs did.
    """
    scenes = [
        Scene(sample_scene(numpy_generator(0, "haxby", kind, exemplar), kind=kind).things[:1], "wall")
        for kind in CATEGORIES
        for exemplar in range(EXEMPLARS)
    ]
    return np.stack([render(scene, px) for scene in scenes]), [captions(scene) for scene in scenes]
