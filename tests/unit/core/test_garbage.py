"""What a collection deletes, and what it spares."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stored_object import put

from mindeye2.errors import UserError
from mindeye2.garbage import collect, register_root, register_run, release_run, unfinished
from mindeye2.store import Store


def test_gc_keeps_what_a_view_reaches_and_nothing_else(tmp_path):
    store = Store(tmp_path / "store")
    upstream = put(store, "betas", {"x": 1})
    kept = put(store, "finetune", {"y": 1}, {"betas": [f"betas/{upstream}"]})
    loose = put(store, "finetune", {"y": 2}, {"betas": [f"betas/{upstream}"]})
    abandoned = store.work("finetune", "a" * 20)
    abandoned.mkdir()
    view = tmp_path / "results"
    view.mkdir()
    register_root(view, [f"finetune/{kept}"], store)

    listed = {path.name for path, _ in collect(store, dry_run=True)}
    assert listed == {loose, abandoned.name}
    assert store.has("finetune", loose)
    collect(store, dry_run=False)
    assert store.keys("finetune") == {kept}
    assert store.keys("betas") == {upstream}
    assert not abandoned.exists()

    view.rmdir()
    collect(store, dry_run=False)
    assert not store.keys("betas")


def test_gc_leaves_an_object_being_built(tmp_path):
    store = Store(tmp_path)
    work = store.work("finetune", "b" * 20)
    work.mkdir(parents=True)
    with store.lock("finetune", "b" * 20):
        assert collect(store, dry_run=False) == []
    assert work.exists()


def test_gc_takes_what_a_killed_build_left_and_leaves_what_another_host_builds(tmp_path):
    store, key, there, silent = Store(tmp_path), "b" * 20, "c" * 20, "d" * 20
    for name in (key, there, silent):
        store.work("finetune", name).mkdir(parents=True)
    code = (
        "import os; from pathlib import Path; from mindeye2.locks import Lock; "
        f"assert Lock(Path({str(store.lock('finetune', key).path)!r})).acquire(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    for name, age in ((there, 3600), (silent, 2 * 86400)):
        path = store.lock("finetune", name).path
        path.write_text(json.dumps({"token": "x", "host": "there", "boot": "", "pid": 1, "started": "1"}))
        os.utime(path, (time.time() - age,) * 2)
    assert [path.name for path, _ in collect(store, dry_run=True)] == [f"{key}.work", f"{silent}.work"]
    collect(store, dry_run=False)
    assert sorted(path.name for path in (tmp_path / "finetune").iterdir()) == [f".{there}.lock", f"{there}.work"]


def test_gc_touches_nothing_but_objects_and_work_folders(tmp_path):
    """Whatever folder is given for a store, a home for instance."""
    for name in ("thesis/chapter1", "thesis/0123.work", f"data/{'a' * 19}", f"data/{'a' * 20}.old", ".ssh/keys"):
        (tmp_path / name).mkdir(parents=True)
    assert collect(Store(tmp_path), dry_run=False) == []
    assert (tmp_path / "thesis/0123.work").is_dir()


def test_gc_spares_what_a_run_that_begins_meanwhile_needs(tmp_path, monkeypatch):
    store = Store(tmp_path)
    first, second = sorted(put(store, "betas", {"x": x}) for x in (1, 2))
    remove = Store.remove

    def begin_a_run(self, folder):
        remove(self, folder)
        register_run("paper", [f"betas/{second}"], store)

    monkeypatch.setattr(Store, "remove", begin_a_run)
    assert [path.name for path, _ in collect(store, dry_run=False)] == [first]
    assert store.keys("betas") == {second}


def test_gc_deletes_what_was_set_aside(tmp_path):
    store = Store(tmp_path)
    aside = store.set_aside("betas", put(store, "betas", {"x": 1}))
    assert [path for path, _ in collect(store, dry_run=False)] == [aside]
    assert not aside.exists()


def test_run_keeps_its_objects_until_it_is_finished_or_its_checkout_gone(tmp_path, monkeypatch):
    store, checkout = Store(tmp_path / "store"), tmp_path / "checkout"
    key = put(store, "betas", {"x": 1})
    half = store.work("finetune", "a" * 20)
    half.mkdir(parents=True)
    checkout.mkdir()
    monkeypatch.chdir(checkout)
    register_run("other", [], store)
    register_run("paper", [f"betas/{key}", f"finetune/{'a' * 20}"], store)
    assert collect(store, dry_run=False) == []
    assert {(run, place) for _, run, place in unfinished(store)} == {("other", str(checkout)), ("paper", str(checkout))}
    release_run("other", store)
    ((root, run, place),) = unfinished(store)
    assert root.exists() and (run, place) == ("paper", str(checkout))
    checkout.rmdir()
    assert unfinished(store) == []
    assert [path.name for path, _ in collect(store, dry_run=False)] == [key, half.name]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"objects": 1}'])
def test_root_that_cannot_be_read_is_named_before_anything_is_deleted(tmp_path, content):
    store = Store(tmp_path)
    put(store, "betas", {"x": 1})
    (tmp_path / ".roots").mkdir()
    (tmp_path / ".roots" / "view-1.json").write_text(content)
    with pytest.raises(UserError, match=r"view-1\.json: cannot be read .*; remove it if you know its run to be over"):
        collect(store, dry_run=False)
    assert store.objects()


def test_views_whose_paths_are_alike_or_long_have_roots_of_their_own(tmp_path):
    store = Store(tmp_path)
    for path in ("/home/a-b/results", "/home/a/b/results", f"/{'ü' * 300}/x", f"/y/{'ü' * 300}/x"):
        register_root(Path(path), [], store)
    assert len(list((tmp_path / ".roots").iterdir())) == 4


def test_gc_finishes_a_removal_that_was_killed_and_drops_the_work_of_what_is_there(tmp_path):
    store = Store(tmp_path / "store")
    key = put(store, "betas", {"x": 1})
    register_root(tmp_path, [f"betas/{key}"], store)
    store.work("betas", key).mkdir()
    begun = tmp_path / "store" / "betas" / f".{'e' * 20}.removed"
    begun.mkdir()
    (begun / "data.txt").write_text("x")
    collect(store, dry_run=False)
    assert [path.name for path in (tmp_path / "store" / "betas").iterdir()] == [key]
