"""The shipped tiny networks, and copies of their folders to damage."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mindeye2.demo import world

WEIGHTS = Path(world.__file__).parent / "weights"


@pytest.fixture(scope="session")
def weights():
    return WEIGHTS


@pytest.fixture
def copied(tmp_path):
    """Copy one network's folder and return the copy."""

    def copy(name):
        return Path(shutil.copytree(WEIGHTS / name, tmp_path / name))

    return copy


@pytest.fixture(scope="session")
def drawn():
    """Four drawn pictures (4, 3, 64, 64) in [0, 1] and their first wordings."""
    scenes = [world.sample_scene(np.random.default_rng(seed)) for seed in range(4)]
    pictures = np.stack([world.render(scene, 64) for scene in scenes])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255, [world.captions(scene)[0] for scene in scenes]
