"""A finished run's crate: valid RO-Crate, nothing of the machine, and the same keys from it elsewhere."""

import getpass
import json
import shutil
import socket

import pytest
from finished_run import data_in, finish

from mindeye2.cli import main
from mindeye2.config import parse_config
from mindeye2.crate import FILE, build, portable, read_crate
from mindeye2.errors import UserError
from mindeye2.identity import code_label
from mindeye2.plan import shown_config
from mindeye2.reproduce import config_of


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Configuration, plan and results of a run with its data."""
    root = tmp_path_factory.mktemp("here")
    data_in(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        config, plan, results = finish(root)
    return config, plan, root / results


@pytest.fixture
def elsewhere(finished, tmp_path, monkeypatch):
    """A copy of the data under other paths, known by the environment; the present folder has no plan yet."""
    here = finished[2].parents[1]
    for name in ("dataset", "captions", "weights"):
        shutil.copytree(here / name, tmp_path / f"my-{name}")
        monkeypatch.setenv(f"MINDEYE2_{name.upper()}", str(tmp_path / f"my-{name}"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def reproduce(finished, capsys, *options):
    status = main(["reproduce", str(finished[2] / FILE), *options])
    return status, capsys.readouterr().out


def test_is_a_flat_graph_whose_references_resolve(finished):
    crate = json.loads((finished[2] / FILE).read_text())
    assert crate["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    descriptor, root = entities[FILE], entities["./"]
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert {"@type", "name", "description", "datePublished", "license", "hasPart"} <= root.keys()
    for entity in entities.values():
        assert isinstance(entity["@type"], str)
        for name, value in entity.items():
            assert not isinstance(value, list) or len(value) != 1, f"{entity['@id']}: {name} is a list of one"
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict):
                    assert list(item) == ["@id"], f"{entity['@id']}: {name} is nested"
                    assert item["@id"] in entities or name == "conformsTo", item


def test_lists_the_runs_files_with_their_hashes(finished):
    results = finished[2]
    entities = {entity["@id"]: entity for entity in json.loads((results / FILE).read_text())["@graph"]}
    parts = [part["@id"] for part in entities["./"]["hasPart"]]
    assert parts == ["matrix.csv", "matrix.md", "matrix.tex", "report.html", "methods.md", "methods.bib"]
    for name in parts:
        assert entities[name]["contentSize"] == str((results / name).stat().st_size)
        assert len(entities[name]["sha256"]) == 64
        assert entities[name]["description"]


def test_names_every_object_with_what_built_it(finished):
    _, plan, results = finished
    graph = json.loads((results / FILE).read_text())["@graph"]
    actions = {entity["result"]["@id"]: entity for entity in graph if entity["@type"] == "CreateAction"}
    assert actions.keys() == {f"#{name}" for name in plan.nodes}
    assert all(action["instrument"] == {"@id": "#mindeye2-3f2a9c1d5e7b8a6049c2"} for action in actions.values())
    assert {"#torch-2.14.1", "#snakemake-9.27.0"} <= {entity["@id"] for entity in graph}


def test_nothing_of_the_machine_is_in_it(finished):
    root = finished[2].parents[1]
    for name in (FILE, "methods.md", "methods.bib"):
        text = (finished[2] / name).read_text()
        assert str(root) not in text and socket.gethostname() not in text
        assert f"/{getpass.getuser()}/" not in text and '"paths"' not in text


def test_places_of_models_and_weights_stay_out():
    imported = {"source": "imported", "folder": "/home/somebody/subj{subject:02d}"}
    variants = {"default": {}, "theirs": {"pretrain": {**imported, "folder": "~/theirs"}}}
    variants["other_sdxl"] = {"refine": {"weights": "/home/somebody/sdxl.safetensors"}}
    config = parse_config(
        {"finetune": imported, "refine": {"weights": "/home/somebody/sdxl"}, "matrix": {"variants": variants}}
    )
    content = portable(config)
    assert "somebody" not in str(content) and "theirs'}" not in str(content["matrix"])
    shown = shown_config(config)
    assert "somebody" not in str(shown) and "theirs'}" not in str(shown["matrix"])
    assert parse_config(content).finetune.source == "imported"
    assert content["matrix"]["variants"]["theirs"] == {"pretrain": {"source": "imported"}}


def test_the_same_data_elsewhere_give_the_same_keys(finished, elsewhere, capsys):
    status, output = reproduce(finished, capsys)
    count = len(finished[1].nodes)
    assert status == 0
    assert output == f"{count} objects in the run, {count} planned with the same key, 0 with another, 0 not planned\n"


def test_a_changed_weight_file_is_named(finished, elsewhere, capsys):
    (elsewhere / "my-weights/convnext/config.json").write_text("[]")
    status, output = reproduce(finished, capsys)
    assert status == 1
    assert "because raw file weights/convnext/config.json was changed\n" in output
    assert "because input convnext is another object\n" in output
    assert "stimuli" not in output and "check it out" not in output


def test_changed_data_are_named(finished, elsewhere, capsys):
    mask = "nsddata/ppdata/subj02/func1pt8mm/roi/nsdgeneral.nii.gz"
    shutil.copy(elsewhere / "my-dataset" / mask, elsewhere / "copy")
    (elsewhere / "my-dataset" / mask).write_bytes((elsewhere / "copy").read_bytes() * 2)
    status, output = reproduce(finished, capsys)
    assert status == 1
    assert [line for line in output.splitlines() if "raw file" in line] == [
        f"{'':<12} because raw file dataset/{mask} was changed"
    ]


def test_changed_code_is_named_with_the_commit_to_check_out(finished, elsewhere, capsys, monkeypatch):
    monkeypatch.setattr("mindeye2.nodes.code_label", lambda stage: "edited" if stage == "refine" else code_label(stage))
    status, output = reproduce(finished, capsys)
    assert status == 1
    assert f"because its code is edited, recorded with {code_label('refine')}" in output
    assert "commit 3f2a9c1d5e7b8a6049c2; check it out" in output
    assert not [line for line in output.splitlines() if line.startswith("finetune")]


def test_a_crate_does_not_say_who_may_read_the_store(finished):
    recorded = read_crate(finished[2] / FILE)
    recorded.config["store"], recorded.config["paths"] = {"group": "everybody"}, {"store": "/srv"}
    config = config_of(recorded, [])
    assert config.store.group is None and config.paths.store == "store"


def test_a_changed_setting_is_named(finished, elsewhere, capsys):
    status, output = reproduce(finished, capsys, "--set", "finetune.max_lr=0.001")
    assert status == 1
    assert "because finetune.max_lr is 0.001, recorded with 0.0003" in output


def test_missing_data_are_named_in_one_line(finished, elsewhere, capsys):
    shutil.rmtree(elsewhere / "my-weights/sdxl")
    assert main(["reproduce", str(finished[2] / FILE)]) == 1
    assert "my-weights/sdxl: no such network" in capsys.readouterr().err


def test_out_writes_a_configuration_with_this_machines_paths(finished, elsewhere, capsys, monkeypatch):
    assert reproduce(finished, capsys, "--out", "again.yaml")[0] == 0
    for name in ("DATASET", "CAPTIONS", "WEIGHTS"):
        monkeypatch.delenv(f"MINDEYE2_{name}")
    assert main(["plan", "--config", "again.yaml", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {f"{row['stage']}/{row['key']}" for row in rows} == finished[1].nodes.keys()


def test_an_edited_spec_is_refused(finished, tmp_path):
    path = tmp_path / FILE
    text = (finished[2] / FILE).read_text()
    assert '\\"num_epochs\\":150' in text
    path.write_text(text.replace('\\"num_epochs\\":150', '\\"num_epochs\\":151'))
    with pytest.raises(UserError, match="does not give its key, so it was edited"):
        read_crate(path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"@graph": [{}]}', '{"@graph": [{"@id": "./"}]}', '{"@graph": 1}']
)
def test_any_other_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(UserError, match=r"no crate of a mindeye2 run .*; give results/"):
        read_crate(tmp_path / "other.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="No such file or directory; give the ro-crate-metadata"):
        read_crate(tmp_path / FILE)


def test_an_object_that_is_gone_has_a_spec_but_no_build(finished):
    from mindeye2.crate import Record

    _, plan, _ = finished
    record = Record(plan.tables.id, plan.tables.names, plan.tables.spec, None)
    graph = build(run="small", config={}, records=[record], files={})["@graph"]
    assert [entity["@type"] for entity in graph if plan.tables.key in entity["@id"]] == ["CreativeWork"]
