"""A workflow on the released files says what the workflow on the official tree says of the same trials."""

import shutil
from pathlib import Path

import h5py
import pandas as pd
import pytest
from conftest import make_checkout
from released_tree import write_released

from mindeye2.data import layout


@pytest.fixture(scope="module")
def checkout(two_runs, data, tmp_path_factory):
    """A clone with an empty store whose data set is the released files, with the pictures' official identities."""
    folder = tmp_path_factory.mktemp("released")
    store = Path(two_runs[0].environment["MINDEYE2_STORE"])
    betas = {}
    for row in two_runs[0].plan():
        if row["stage"] == "betas":
            (subject,) = {int(name.split("subj")[1][:2]) for name in row["names"]}
            with h5py.File(store / "betas" / row["key"] / "betas.h5") as file:
                betas[subject] = file["betas"][:]
    write_released(data / "nsd", folder / "released", betas)
    identities = folder / "released" / layout.STIMULUS_INFO
    identities.parent.mkdir(parents=True)
    shutil.copy(data / "nsd" / layout.STIMULUS_INFO, identities)

    checkout = make_checkout(folder / "clone", data, folder / "store")
    checkout.environment["MINDEYE2_DATASET"] = str(folder / "released")
    checkout.edit_config(dataset={"source": "released"})
    yield checkout
    shutil.rmtree(folder)


def test_both_sources_give_the_same_matrix(checkout, two_runs):
    answer = checkout.mindeye2("check-data", "--config", "micro.yaml")
    assert answer.returncode == 0, answer.stdout
    answer = checkout.snakemake()
    assert answer.returncode == 0, answer.stdout
    released, official = (
        pd.read_csv(each.root / "results" / "micro" / "matrix.csv") for each in (checkout, two_runs[0])
    )
    assert len(official) > 5 and official.value.notna().any()
    pd.testing.assert_frame_equal(released, official, check_exact=True)


def test_a_released_file_that_changes_is_other_data(checkout):
    before = {(row["stage"], row["key"]) for row in checkout.plan()}
    path = Path(checkout.environment["MINDEYE2_DATASET"]) / layout.released_betas(1)
    with h5py.File(path, "a") as file:
        file["betas"][0, 0] += 1
    changed = {row["stage"] for row in checkout.plan() if (row["stage"], row["key"]) not in before}
    assert changed == {"betas", "finetune", "reconstruct", "refine", "evaluate", "tables"}
