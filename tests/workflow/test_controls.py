"""On the miniature, a decoder that is given noise or another picture's trials finds no more than chance."""

import shutil

import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY, make_checkout
from scipy.stats import binom

TEST_IMAGES = 64
DIRECTIONS = ("retrieval_brain_to_image", "retrieval_image_to_brain")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """config/controls.yaml without pretraining and without pictures, run once."""
    folder = tmp_path_factory.mktemp("controls")
    checkout = make_checkout(folder / "clone", folder, folder / "store")
    content = yaml.safe_load((REPOSITORY / "config" / "controls.yaml").read_text())
    content["dataset"] = {"sessions": {1: 4}}
    content["simulate"] |= {"voxels": {1: 420}}
    content["model"] |= {"lowlevel": False}
    content["finetune"] |= {"init": "scratch"}
    content["reconstruct"] = {"num_images": 0}
    checkout.config.write_text(yaml.safe_dump(content))
    assert checkout.mindeye2("simulate", "--config", "micro.yaml").returncode == 0
    answer = checkout.snakemake()
    assert answer.returncode == 0, answer.stdout
    yield checkout
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def retrieval(checkout) -> pd.Series:
    table = pd.read_csv(checkout.root / "results" / "controls" / "matrix.csv")
    rows = table[table.metric.isin(DIRECTIONS)]
    assert set(rows.n) == {TEST_IMAGES}
    return rows.set_index(["variant", "metric"]).value


def test_the_controls_share_all_training(checkout):
    built = [name.split("/")[0] for name in checkout.built()]
    counts = {stage: built.count(stage) for stage in ("betas", "finetune", "reconstruct", "evaluate")}
    assert counts == {"betas": 1, "finetune": 1, "reconstruct": 4, "evaluate": 4}


@pytest.mark.parametrize("metric", DIRECTIONS)
@pytest.mark.parametrize("control", ["noise", "shuffled"])
def test_controls_fall_to_chance(retrieval, control, metric):
    low, high = binom.interval(0.95, TEST_IMAGES, 1 / TEST_IMAGES)
    assert low <= retrieval[control, metric] * TEST_IMAGES <= high
    assert retrieval["default", metric] * TEST_IMAGES > 3 * high


@pytest.mark.parametrize("metric", DIRECTIONS)
def test_the_linear_baseline_stands_beside_them(retrieval, metric):
    _, high = binom.interval(0.95, TEST_IMAGES, 1 / TEST_IMAGES)
    assert retrieval["linear_ridge", metric] * TEST_IMAGES > high
