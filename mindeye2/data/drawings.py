"""Drawn stand-ins for the photographs of Haxby et al. 2001."""

import numpy as np
from jaxtyping import UInt8

from mindeye2.data.haxby import CATEGORIES
from mindeye2.demo.world import Scene, captions, render, sample_scene
from mindeye2.seeds import numpy_generator


def category_pictures(px: int) -> tuple[UInt8[np.ndarray, "images height width 3"], list[list[str]]]:
    """One picture of each category, and five captions of each.

    Each shows one thing alone before a plain wall, as the photographs did.
    """
    scenes = [
        Scene(sample_scene(numpy_generator(0, "haxby", kind), kind=kind).things[:1], "wall") for kind in CATEGORIES
    ]
    return np.stack([render(scene, px) for scene in scenes]), [captions(scene) for scene in scenes]
