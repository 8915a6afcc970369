"""A decoder that leaves as a released file and comes back is the same decoder: every number of the report agrees."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import make_checkout

SMALL = {
    "targets": {"pixel_range": "legacy01"},
    "model": {"backbone": "legacy_mixer"},
    "finetune": {"init": "scratch", "num_epochs": 2, "contrastive_scale": 0.0},
    "reconstruct": {"num_images": 1},
    "refine": {"strength": 0.0},
}
BOTH = {"trained": {}, "imported": {"finetune": {"source": "imported"}}}


def run(checkout, *arguments):
    answer = checkout.run(*arguments)
    assert answer.returncode == 0, answer.stdout


@pytest.fixture(scope="module")
def checkout(data, tmp_path_factory):
    """One trained decoder, exported and imported again, and then both in one run."""
    folder = tmp_path_factory.mktemp("imported")
    checkout = make_checkout(folder / "clone", data, folder / "store")
    checkout.edit_config(**SMALL, matrix={"variants": {"trained": {}}})
    (trained,) = [row["key"] for row in checkout.plan() if row["stage"] == "finetune"]
    run(checkout, *checkout.snakemake_command("--until", "finetune"))

    run(checkout, "mindeye2", "export-weights", f"{folder}/store/finetune/{trained}", "--out", "last.pth")
    out = ("--out", "models/subj01-1sess", "--config", "micro.yaml")
    run(checkout, "mindeye2", "import-weights", "last.pth", "--subject", "1", *out)
    checkout.edit_config(matrix={"variants": BOTH})
    run(checkout, *checkout.snakemake_command())
    yield checkout
    shutil.rmtree(folder)


def test_imported_and_trained_give_the_same_numbers(checkout):
    table = pd.read_csv(checkout.root / "results" / "micro" / "matrix.csv")
    trained, imported = (
        table[table.variant == variant].drop(columns="variant").reset_index(drop=True)
        for variant in ("trained", "imported")
    )
    assert len(trained) > 5 and trained.value.notna().any()
    pd.testing.assert_frame_equal(trained, imported, check_exact=True)


def test_nothing_was_trained_for_the_imported_one(checkout):
    built = [name.split("/")[0] for name in checkout.built()]
    assert {stage for stage in built if built.count(stage) > 1} == {"targets", "finetune", "reconstruct", "evaluate"}
    assert "pretrain" not in built
    histories = [
        (folder / "history.csv").exists()
        for folder in (Path(checkout.environment["MINDEYE2_STORE"]) / "finetune").iterdir()
        if (folder / "model.json").exists()
    ]
    assert sorted(histories) == [False, True]


def test_another_file_is_another_decoder(checkout):
    """The place of the imported model is in no key, its content is."""
    before = {row["key"] for row in checkout.plan()}
    models = checkout.root / "models"
    models.rename(checkout.root / "elsewhere")
    assert {row["key"] for row in checkout.plan("--set", "paths.models=elsewhere")} == before
    answer = checkout.mindeye2("plan", "--config", "micro.yaml")
    assert "models/subj01-1sess/model.safetensors: No such file or directory; write it by" in answer.stdout
    (checkout.root / "elsewhere").rename(models)

    note = models / "subj01-1sess" / "model.json"
    text = note.read_text()
    note.unlink()
    note.write_text(f"{text}\n")
    changed = {row["stage"] for row in checkout.plan() if row["key"] not in before}
    assert changed == {"finetune", "reconstruct", "evaluate", "tables"}
