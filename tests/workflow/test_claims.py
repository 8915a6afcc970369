"""What the miniature must show, over three seeds: decoding far above chance, and the gain from other subjects."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY, make_checkout

SEEDS = [1, 2, 3]
TEST_IMAGES = 64


@pytest.fixture(scope="module")
def retrieval(tmp_path_factory) -> pd.Series:
    """Top-1 retrieval of images from brain, by variant and seed: the demo at one session, with almost no pictures."""
    folder = tmp_path_factory.mktemp("claims")
    checkout = make_checkout(folder / "clone", folder, folder / "store")
    content = yaml.safe_load((REPOSITORY / "config" / "demo.yaml").read_text())
    content["matrix"] = {"subjects": [1], "sessions": [1], "seeds": SEEDS}
    content["model"] |= {"lowlevel": False}
    content["reconstruct"] = {"num_images": 1, "steps": 1, "prior_steps": 2}
    content["refine"] = {"steps": 2}
    checkout.config.write_text(yaml.safe_dump(content))
    assert checkout.mindeye2("simulate", "--config", "micro.yaml").returncode == 0
    answer = checkout.snakemake()
    assert answer.returncode == 0, answer.stdout
    table = pd.read_csv(checkout.root / "results" / "demo" / "matrix.csv")
    shutil.rmtree(folder)
    rows = table[table.metric == "retrieval_brain_to_image"]
    assert set(rows.n) == {TEST_IMAGES}
    return rows.set_index(["variant", "seed"]).value


def test_decoding_is_far_above_chance(retrieval):
    assert retrieval["default"].min() > 10 / TEST_IMAGES


def test_pretraining_on_other_subjects_helps_at_one_session(retrieval):
    gain = np.array([retrieval["default", seed] - retrieval["scratch", seed] for seed in SEEDS])
    assert (gain > 0).all(), gain
    # The mean gain clears its own spread over seeds, and is not a matter of one image in 64.
    assert gain.mean() > max(2 * gain.std(ddof=1) / np.sqrt(len(SEEDS)), 3 / TEST_IMAGES), gain
