"""``snakemake --profile slurm all``, to the letter, for a slice of the demo on a Slurm of one node with fake GPUs.

``make test-slurm`` starts the node (one_node.sh beside this file) and then the tests of this folder.
"""

import json

import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY, Checkout, make_checkout
from on_slurm import DEADLINE_S, adapt_profile, submitted

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(DEADLINE_S + 60)]

COMMAND = ("snakemake", "--profile", "slurm", "all")
MOST_JOBS = 25
GPU = {"slurm_partition": "gpu", "gpu": 1}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> tuple[Checkout, str]:
    """A checkout that ran one evaluated subject of the demo, its default configuration; and what Snakemake said."""
    folder = tmp_path_factory.mktemp("cluster")
    checkout = make_checkout(folder / "clone", folder / "data", folder / "store")
    adapt_profile(checkout, pretrain=GPU, finetune=GPU)
    demo = yaml.safe_load((REPOSITORY / "config" / "demo.yaml").read_text())
    demo["matrix"] = {"subjects": [1], "sessions": [1, 2]}
    default = checkout.root / "config" / "paper.yaml"
    default.parent.mkdir()
    default.write_text(yaml.safe_dump(demo))
    answer = checkout.mindeye2("simulate")
    assert answer.returncode == 0, answer.stdout
    process = checkout.start(*COMMAND)
    said, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    return checkout, said


def test_each_object_is_built_once_in_few_jobs(cluster):
    checkout, said = cluster
    view = json.loads((checkout.root / "results" / "demo" / "manifest.json").read_text())
    built = checkout.built()
    assert sorted(built) == sorted(view["objects"])
    stages = [name.split("/")[0] for name in built]
    assert stages.count("finetune") == stages.count("evaluate") == 4
    # The preparation of four subjects shares one job, and so do the last three stages of each of four cells.
    assert len(submitted(said)) == len(built) - 7 - 4 * 2
    assert len(submitted(said)) <= MOST_JOBS


def test_the_matrix_is_whole(cluster):
    checkout, _ = cluster
    table = pd.read_csv(checkout.root / "results" / "demo" / "matrix.csv")
    assert set(zip(table.variant, table.sessions, strict=True)) == {
        (variant, sessions) for variant in ("default", "scratch") for sessions in (1, 2)
    }
    assert table.value.notna().any()


def test_a_second_run_has_nothing_to_do(cluster):
    checkout, _ = cluster
    answer = checkout.run(*COMMAND)
    assert answer.returncode == 0, answer.stdout
    assert "Nothing to be done" in answer.stdout
