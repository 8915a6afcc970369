"""Where a metric's network is found, and that what is found is in the key wherever it lies."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mindeye2.config import load_config
from mindeye2.errors import UserError
from mindeye2.networks import find_network, network_files
from mindeye2.plan import make_plan
from mindeye2.specs import freeze, frozen_file

HAXBY = Path(__file__).parents[3] / "config" / "haxby.yaml"
ALEXNET = "alexnet-owt-7be5be79.pth"


def put(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Empty caches of the three libraries, and an empty weights folder."""
    for variable, name in (("TORCH_HOME", "torch"), ("HF_HOME", "hf"), ("NLTK_DATA", "nltk")):
        monkeypatch.setenv(variable, str(tmp_path / name))
    (tmp_path / "weights").mkdir()
    return tmp_path


def found(caches: Path, name: str, *, look: bool = True) -> Path | None:
    return find_network(name, weights=caches / "weights", caches=look)


def test_torch_hub(caches):
    assert found(caches, "alexnet") is None
    path = put(caches / "torch/hub/checkpoints" / ALEXNET)
    put(caches / "torch/hub/checkpoints/resnet50-0676ba61.pth")
    assert found(caches, "alexnet") == path
    assert network_files("alexnet", path) == {ALEXNET: path}
    assert found(caches, "alexnet", look=False) is None


def test_hugging_face(caches):
    repository = caches / "hf/hub/models--sentence-transformers--all-MiniLM-L6-v2"
    put(repository / "snapshots/old/config.json")
    assert found(caches, "sentence") is None
    put(repository / "refs/main", "new\n")
    config = put(repository / "snapshots/new/1_Pooling/config.json")
    assert network_files("sentence", found(caches, "sentence")) == {"1_Pooling/config.json": config}


def test_nltk_needs_both_parts_and_reads_nothing_else(caches):
    put(caches / "nltk/corpora/wordnet.zip")
    put(caches / "nltk/corpora/brown/a01")
    assert found(caches, "nltk") is None
    put(caches / "nltk/tokenizers/punkt_tab/english/abbrev_types.txt")
    put(caches / "nltk/tokenizers/punkt_tab/german/abbrev_types.txt")
    files = network_files("nltk", found(caches, "nltk"))
    assert list(files) == ["corpora/wordnet.zip", "tokenizers/punkt_tab/english/abbrev_types.txt"]


def test_the_weights_folder_comes_first(caches):
    put(caches / "torch/hub/checkpoints" / ALEXNET)
    put(caches / "weights/alexnet/model.safetensors")
    assert found(caches, "alexnet") == caches / "weights" / "alexnet"


def test_the_key_tells_what_was_found_and_the_job_where(caches, monkeypatch):
    def evaluate(*assignments):
        monkeypatch.chdir(HAXBY.parents[1])
        plan = make_plan(load_config(HAXBY, assignments), caches / ".plan")
        monkeypatch.chdir(caches)
        freeze(plan)
        (cell,) = plan.cells
        content = json.loads(frozen_file("evaluate", cell.evaluate.key).read_text())
        return cell.evaluate.key, content["spec"]["sources"], content["networks"]

    without, sources, networks = evaluate("evaluate.usual_caches=true")
    assert "alexnet" not in networks and networks["clip"].endswith("mindeye2/demo/weights/clip")
    path = put(caches / "torch/hub/checkpoints" / ALEXNET)
    assert evaluate("evaluate.usual_caches=false")[0] == without
    key, sources, networks = evaluate("evaluate.usual_caches=true")
    assert key != without and networks["alexnet"] == str(path)
    assert sources[f"weights/alexnet/{ALEXNET}"]["size"] == 1
    put(path, "y")
    assert evaluate("evaluate.usual_caches=true")[0] not in (key, without)


def test_the_refiner_is_its_content_wherever_it_lies(tmp_path, monkeypatch):
    monkeypatch.chdir(HAXBY.parents[1])
    shipped = Path("mindeye2/demo/weights").resolve()

    def planned(*assignments):
        plan = make_plan(load_config(HAXBY, assignments), tmp_path / ".plan")
        (cell,) = plan.cells
        return plan, cell.refine[0]

    plan, usual = planned()
    assert usual.networks == {"sdxl": Path("mindeye2/demo/weights/sdxl")}
    copy = tmp_path / "zavychroma"
    shutil.copytree(shipped / "sdxl", copy)
    _, same = planned(f"refine.weights={copy}")
    assert same.key == usual.key and same.networks == {"sdxl": copy}

    file = tmp_path / "zavychroma.safetensors"
    save_file({"one": np.zeros(1)}, file)
    other_plan, other = planned(f"refine.weights={file}")
    assert other.key != usual.key and "weights/sdxl/zavychroma.safetensors" in other.spec["sources"]
    changed = {node.stage for node in other_plan.nodes.values() if node.id not in plan.nodes}
    assert changed == {"refine", "evaluate", "tables"}
    with pytest.raises(UserError, match=r"none\.safetensors: no such network"):
        planned("refine.weights=none.safetensors")


@pytest.mark.parametrize(
    "assignment",
    ["reconstruct.compile=true", "reconstruct.offload=true", "refine.compile=true", "reconstruct.sampler=euler"],
)
def test_what_changes_no_picture_is_in_no_key(tmp_path, monkeypatch, assignment):
    monkeypatch.chdir(HAXBY.parents[1])
    keys = [set(make_plan(load_config(HAXBY, given), tmp_path / ".plan").nodes) for given in ((), (assignment,))]
    assert keys[0] == keys[1]


@pytest.mark.parametrize("assignment", ["reconstruct.sampler=dpmpp_2m", "reconstruct.unconditional=zeros"])
def test_what_changes_pictures_is_in_the_keys(tmp_path, monkeypatch, assignment):
    monkeypatch.chdir(HAXBY.parents[1])
    before, after = (
        set(make_plan(load_config(HAXBY, given), tmp_path / ".plan").nodes) for given in ((), (assignment,))
    )
    assert {name.split("/")[0] for name in after - before} == {"reconstruct", "refine", "evaluate", "tables"}
