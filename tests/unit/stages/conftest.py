"""One set of finished objects for all tests of a module; one released data set for all tests of its readers."""

import shutil

import pytest
from finished_objects import House
from released_objects import PX, SESSIONS, TRIALS, behav_and_betas, values_of
from released_tree import write_released

from mindeye2.config import parse_config
from mindeye2.demo.simulate import simulate
from mindeye2.presets import PRESETS


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    return House(tmp_path_factory.mktemp("house"))


@pytest.fixture
def name(request):
    """A folder name of the test's own."""
    return request.node.name.translate(str.maketrans("[]/", "---"))


@pytest.fixture(scope="session")
def trees(tmp_path_factory):
    """A simulated official tree, the released files made from it, and the objects that the official tree gives."""
    root = tmp_path_factory.mktemp("tree")
    content = {
        "paths": {"dataset": str(root / "nsd"), "captions": str(root / "coco")},
        "dataset": {"sessions": {1: SESSIONS, 2: SESSIONS}},
        "matrix": {"subjects": [1], "sessions": [1]},
        "simulate": {"trials_per_session": TRIALS, "shared_images": 6, "image_px": PX, "voxels": {1: 60, 2: 40}},
    }
    simulate(parse_config(content))
    for subject in (1, 2):
        behav_and_betas(root / f"objects/{subject}", root, "nsd", subject=subject, **PRESETS["released"]["betas"])
    rebuilt = {subject: values_of(root / f"objects/{subject}/betas") for subject in (1, 2)}
    write_released(root / "nsd", root / "released", rebuilt)
    return root


@pytest.fixture
def released_alone(trees, tmp_path):
    """Released files to damage, and nothing of the official tree."""
    shutil.copytree(trees / "released", tmp_path / "tree/released")
    return tmp_path / "tree"
