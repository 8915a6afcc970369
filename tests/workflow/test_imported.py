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
TRAINED = {"trained": {}, "onwards": {"finetune": {"init": "pretrained"}}}
IMPORTED = {
    "imported": {"finetune": {"source": "imported"}},
    "onwards_imported": {"pretrain": {"source": "imported"}, "finetune": {"init": "pretrained"}},
}


def run(checkout, *arguments):
    answer = checkout.run(*arguments)
    assert answer.returncode == 0, answer.stdout


@pytest.fixture(scope="module")
def checkout(data, tmp_path_factory):
    """A decoder and a pretraining, exported and imported again, and then all in one run."""
    folder = tmp_path_factory.mktemp("imported")
    checkout = make_checkout(folder / "clone", data, folder / "store")
    checkout.edit_config(**SMALL, pretrain={"num_epochs": 1, "contrastive_scale": 0.0}, matrix={"variants": TRAINED})
    keys = {
        row["stage"]: row["key"] for row in checkout.plan() if row["names"][0].startswith(("trained", "onwards/with"))
    }
    run(checkout, *checkout.snakemake_command("--until", "finetune"))
    for stage, name, whose in (("finetune", "subj01-1sess", "--subject"), ("pretrain", "without-subj01", "--held-out")):
        run(checkout, "mindeye2", "export-weights", f"{folder}/store/{stage}/{keys[stage]}", "--out", f"{name}.pth")
        out = ("--out", f"models/{name}", "--config", "micro.yaml")
        run(checkout, "mindeye2", "import-weights", f"{name}.pth", whose, "1", *out)
    checkout.edit_config(matrix={"variants": TRAINED | IMPORTED})
    run(checkout, *checkout.snakemake_command())
    yield checkout
    shutil.rmtree(folder)


@pytest.mark.parametrize(("here", "elsewhere"), [("trained", "imported"), ("onwards", "onwards_imported")])
def test_imported_and_trained_give_the_same_numbers(checkout, here, elsewhere):
    table = pd.read_csv(checkout.root / "results" / "micro" / "matrix.csv")
    trained, imported = (
        table[table.variant == variant].drop(columns="variant").reset_index(drop=True) for variant in (here, elsewhere)
    )
    assert len(trained) > 5 and trained.value.notna().any()
    pd.testing.assert_frame_equal(trained, imported, check_exact=True)


def test_nothing_was_trained_for_what_is_imported(checkout):
    """One pretraining and one finetuning were taken over, so they have no history."""
    store = Path(checkout.environment["MINDEYE2_STORE"])
    histories = {
        stage: sorted((folder / "history.csv").exists() for folder in (store / stage).iterdir() if folder.is_dir())
        for stage in ("pretrain", "finetune")
    }
    assert histories == {"pretrain": [False, True], "finetune": [False, True, True, True]}


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
