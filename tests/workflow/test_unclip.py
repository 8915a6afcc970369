"""An unCLIP network trained in the workflow: pictures are decoded with it, and Table 9 is of true tokens."""

import csv
import json
import re
from pathlib import Path

import numpy as np

TRUTH = {"reconstruct": {"unclip": "trained", "tokens": "targets"}, "refine": {"strength": 0.0}}
VARIANTS = {"default": {}, "truth": TRUTH}
RECIPE = {"image_px": 64, "decode_px": 64, "steps": 8, "batch_size": 4, "warmup_steps": 2, "precision": "float32"}


def test_a_trained_network_is_used_and_table_9_appears(checkout):
    checkout.edit_config(unclip=RECIPE, matrix={"variants": VARIANTS})
    # The network's tokens are the decoder's; its latents are its own, since they come with their deviations.
    assert checkout.planned_jobs() == {"targets": 1, "unclip": 1, "reconstruct": 1, "evaluate": 1, "tables": 1}
    answer = checkout.snakemake()
    assert answer.returncode == 0, answer.stdout
    results = checkout.root / "results/micro"

    assert not (results / "default/subj01/1sess/unclip").exists()
    trained = results / "truth/subj01/1sess/unclip"
    steps = [row["step"] for row in csv.DictReader((trained / "history.csv").open())]
    assert steps == list("12345678") and (trained / "unet/config.json").exists()
    assert not list(trained.glob("checkpoint*"))
    store = Path(checkout.environment["MINDEYE2_STORE"])
    made, given = (results / f"{variant}/subj01/1sess/reconstruct" for variant in ("truth", "default"))
    prior, shown = np.load(made / "prior.npy"), np.load(made / "test.npz")["image"][:2]
    manifest = json.loads((made / "manifest.json").read_text())
    (clip,) = manifest["spec"]["inputs"]["clip"]
    assert manifest["spec"]["inputs"]["unclip"] == [f"unclip/{trained.resolve().name}"]
    assert np.array_equal(prior, np.load(store / clip / "tokens.npy")[shown])
    assert not np.array_equal(np.load(made / "unrefined.npy"), np.load(given / "unrefined.npy"))

    with (results / "matrix.csv").open() as file:
        rows = {(row["variant"], row["metric"], row["picture"]): row["value"] for row in csv.DictReader(file)}
    correlation = float(rows["truth", "pixel_correlation", "unrefined"])
    assert "Table 9: pictures decoded from true tokens" in (results / "report.html").read_text()
    markdown = (results / "matrix.md").read_text()
    (line,) = re.findall(r"^\| SDXL unCLIP: truth \|.*$", markdown, flags=re.MULTILINE)
    assert f"| {correlation:.3f} (paper 0.676, " in line
    assert "Of the paper's tables only Table 9 is rebuilt" in markdown
    assert checkout.planned_jobs() == {}
