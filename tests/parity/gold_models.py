"""The original's models, inputs and outputs (README of the gold set: parts a to m).

``MINDEYE2_GOLD`` names the folder of another set of the same files: sizes and tolerances come from the files.
"""

import json
import os
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from mindeye2.model.upstream import from_released

GOLD = Path(os.environ.get("MINDEYE2_GOLD") or Path(__file__).parents[1] / "gold" / "mindeye2")


def numbers(stem):
    """Content of a JSON file of the set."""
    return json.loads((GOLD / f"{stem}.json").read_text())


TOLERANCES = numbers("tolerances")
LAYOUTS = numbers("a_layouts")
STEMS = {name: layout["file_stem"] for name, layout in LAYOUTS["models"].items()}


def released_state(name):
    """State dict of model a1, a2 or a3 by the original's names."""
    return load_file(GOLD / f"{STEMS[name]}.safetensors")


def gold_model(name):
    return from_released(released_state(name))


@cache
def arrays(stem):
    """Arrays of an npz file of the set; text stays numpy's."""
    with np.load(GOLD / f"{stem}.npz") as file:
        content = {name: file[name] for name in file.files}
    return {name: value if value.dtype.kind == "U" else torch.from_numpy(value) for name, value in content.items()}


def atol(case, name):
    return TOLERANCES[case][name]["suggested_atol"]


def rounding(float32, float64):
    """The set's rule for a number without a tolerance of its own: 20 x what float32 cost, 2e-6 x scale at least."""
    return max(20 * abs(float32 - float64), 2e-6 * abs(float64))


def assert_close(actual, expected, case, name):
    """Within the tolerance that the gold set suggests for that array, relative tolerance 0."""
    torch.testing.assert_close(actual.detach().reshape(expected.shape), expected, atol=atol(case, name), rtol=0)
