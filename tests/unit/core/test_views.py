"""``results/<run>/`` shows the plan that was built, and what else lies in it is not lost."""

import json
import os
from pathlib import Path

import pytest
from finished_run import data_in, finish, settings_in

from mindeye2.config import parse_config
from mindeye2.plan import make_plan, plan_digest
from mindeye2.specs import sync_stamps
from mindeye2.store import Store
from mindeye2.views import freeze_view, shows, write_view


@pytest.fixture
def finished(tmp_path, monkeypatch):
    """Plan and results of a run, in the present folder."""
    data_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    _, plan, results = finish(tmp_path)
    return plan, results, Store(tmp_path / "store")


def test_settings_edited_and_planned_during_a_run_are_not_what_its_view_shows(finished, tmp_path):
    plan, results, store = finished
    other = make_plan(parse_config(settings_in(tmp_path, finetune={"max_lr": 1.0e-5})))
    freeze_view(other)
    write_view(plan_digest(plan), store)
    assert shows(plan) and not shows(other)
    assert json.loads((results / "manifest.json").read_text())["objects"] == sorted(plan.nodes)
    assert (results / "matrix.csv").resolve() == store.object("tables", plan.tables.key) / "matrix.csv"


def test_stamp_of_what_a_job_stores_meanwhile_stays(finished, monkeypatch):
    """A dry run beside a run in progress looks first at the store and then at the stamps."""
    plan, _, store = finished
    sync_stamps(plan, store)
    monkeypatch.setattr(type(plan), "missing", lambda self, store: list(self.nodes.values()))
    sync_stamps(plan, store)
    assert {f"{path.parent.name}/{path.name}" for path in Path(".stamps").glob("*/*")} == plan.nodes.keys()


def test_files_of_the_users_own_survive_a_new_view_and_a_kill_in_the_middle_of_it(finished, monkeypatch):
    plan, results, store = finished
    (results / "notes.txt").write_text("mine")
    (results / "default" / "subj01" / "figure.svg").write_text("mine")
    (results / "matrix.md").unlink()
    (results / "matrix.md").write_text("edited")
    rename = os.rename

    def killed(source, target):
        if Path(target) == results:
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        write_view(plan_digest(plan), store)
    monkeypatch.setattr(os, "rename", rename)
    # Snakemake makes the folder of an output before it runs the job.
    results.mkdir()
    write_view(plan_digest(plan), store)
    assert (results / "notes.txt").read_text() == "mine"
    assert (results / "default" / "subj01" / "figure.svg").read_text() == "mine"
    assert (results / "matrix.md").is_symlink()
    assert json.loads((results / "manifest.json").read_text())["run"] == "small"
    assert not (results.parent / ".small.before").exists()
