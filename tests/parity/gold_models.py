"""The original's models, inputs and outputs (README of the gold set: parts a, b, c, d, h, l)."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from mindeye2.model.upstream import from_released

GOLD = Path(__file__).parents[1] / "gold" / "mindeye2"
TOLERANCES = json.loads((GOLD / "tolerances.json").read_text())
LAYOUTS = json.loads((GOLD / "a_layouts.json").read_text())
STEMS = {name: layout["file_stem"] for name, layout in LAYOUTS["models"].items()}


def released_state(name):
    """State dict of model a1, a2 or a3 by the original's names."""
    return load_file(GOLD / f"{STEMS[name]}.safetensors")


def gold_model(name):
    return from_released(released_state(name))


@cache
def arrays(stem):
    return {name: torch.from_numpy(value) for name, value in np.load(GOLD / f"{stem}.npz").items()}


def assert_close(actual, expected, case, name):
    """Within the tolerance that the gold set suggests for that array, relative tolerance 0."""
    atol = TOLERANCES[case][name]["suggested_atol"]
    torch.testing.assert_close(actual.detach().reshape(expected.shape), expected, atol=atol, rtol=0)
