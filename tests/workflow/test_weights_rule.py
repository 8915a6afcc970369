"""Weights come first: planning refuses without them, and one local rule brings them."""

from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY, make_checkout
from publisher import serve

DEMO = REPOSITORY / "mindeye2" / "demo" / "weights"


@pytest.fixture
def published():
    """The demo's networks on loopback."""
    with serve() as publisher:
        for path in DEMO.rglob("*.*"):
            if path.is_file():
                publisher.files[str(path.relative_to(DEMO))] = path.read_bytes()
        yield publisher


def _table(url: str) -> dict:
    table = {}
    for folder in sorted(path for path in DEMO.iterdir() if path.is_dir()):
        names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
        origin = {"url": f"{url}/{folder.name}", "files": {name: {"about": 1000} for name in names}}
        table[folder.name] = {"what": "-", "licence": "-", "stages": [], "from": [origin]}
    return table


def test_a_run_without_weights_is_refused_and_the_rule_brings_them(published, data, tmp_path):
    checkout = make_checkout(tmp_path / "clone", data, tmp_path / "store")
    weights = tmp_path / "weights"
    checkout.environment["MINDEYE2_WEIGHTS"] = str(weights)
    (checkout.root / "mindeye2/frozen/weights.yaml").write_text(yaml.safe_dump(_table(published.url)))

    answer = checkout.snakemake("-n")
    assert answer.returncode == 1
    assert f"{weights}/clip: no such network; run mindeye2 weights fetch" in answer.stdout
    assert "Traceback" not in answer.stdout

    answer = checkout.snakemake("-n", "weights")
    assert answer.returncode == 0 and "weights        1" in answer.stdout, answer.stdout
    assert published.sent == {}

    answer = checkout.snakemake("--", "weights")
    assert answer.returncode == 0, answer.stdout
    files = {str(Path(path).relative_to(weights)) for path in weights.rglob("*") if path.is_file()}
    assert set(published.files) - {"manifest.json"} <= files
    assert "clip: there" in (checkout.root / "logs/weights.log").read_text()

    answer = checkout.snakemake("--", "weights")
    assert answer.returncode == 0 and "nothing to fetch" in answer.stdout, answer.stdout
    assert checkout.planned_jobs()["targets"] > 0

    (weights / "clip").rename(tmp_path / "clip")
    published.clear()
    assert checkout.snakemake("--", "weights").returncode == 0
    assert (weights / "clip/model.safetensors").is_file() and not any("vae" in path for path in published.sent)
