"""Objects appear whole, are never changed, and damage is found."""

import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mindeye2.garbage import collect, register_root, verify
from mindeye2.locks import Lock
from mindeye2.store import MANIFEST, Store, spec_key, write_atomically


def put(store: Store, stage: str, config: dict, inputs: dict | None = None) -> str:
    """Build a small finished object; returns its key."""
    spec = {"format": 1, "stage": stage, "config": config, "code": "1", "inputs": inputs or {}, "sources": {}}
    key = spec_key(spec)
    work = store.work(stage, key)
    work.mkdir(parents=True)
    (work / "data.txt").write_text(json.dumps(config))
    with store.lock(stage, key) as lock:
        store.seal(stage, key, {"spec": spec})
        assert store.publish(stage, key, lock)
    return key


def test_spec_key_is_pinned():
    spec = {
        "format": 1,
        "stage": "betas",
        "config": {"b": 1.0, "a": [1, "x"]},
        "code": "1",
        "inputs": {},
        "sources": {},
    }
    assert spec_key(spec) == spec_key(dict(reversed(spec.items())))
    assert spec_key(spec) == "00672ecf7349680d0a50"


def test_finished_object_is_whole_and_read_only(tmp_path):
    store = Store(tmp_path)
    key = put(store, "betas", {"x": 1})
    folder = store.object("betas", key)
    assert store.keys("betas") == {key}
    assert not store.work("betas", key).exists()
    assert sorted(path.name for path in folder.iterdir()) == ["data.txt", MANIFEST]
    assert all(not path.stat().st_mode & 0o222 for path in folder.iterdir())
    assert store.damage("betas", key, whole=True) is None


def test_work_folder_is_no_object(tmp_path):
    store = Store(tmp_path)
    store.work("betas", "0" * 20).mkdir(parents=True)
    assert not store.keys("betas")
    assert not store.has("betas", "0" * 20)


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "manifest", "spec"])
def test_damage_is_found_and_set_aside(tmp_path, harm):
    store = Store(tmp_path)
    key = put(store, "betas", {"x": 1})
    path = store.object("betas", key) / ("data.txt" if harm not in ("manifest", "spec") else MANIFEST)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    text = path.read_text()
    if harm == "flip":
        path.write_text(text.replace("1", "2"))
    elif harm == "spec":
        path.write_text(text.replace('"x": 1', '"x": 3'))
    elif harm == "remove":
        path.unlink()
    else:
        path.write_text(text[:3])
    ((name, problem, aside),) = verify(store)
    assert name == f"betas/{key}"
    assert problem
    assert aside.is_dir()
    assert not store.has("betas", key)


def sealed(store: Store) -> tuple[str, Path]:
    """A work folder as a kill between its manifest and its final name leaves it: key and folder."""
    key = put(store, "betas", {"x": 1})
    work = store.object("betas", key).rename(store.work("betas", key))
    (work / "checkpoint").write_text("x")
    return key, work


def test_what_was_sealed_before_a_kill_is_published_as_it_is(tmp_path):
    store = Store(tmp_path)
    key, _ = sealed(store)
    assert store.sealed("betas", key)
    with store.lock("betas", key) as lock:
        assert store.publish("betas", key, lock)
    assert store.damage("betas", key, whole=True) is None
    assert {path.name for path in store.object("betas", key).iterdir()} == {"data.txt", MANIFEST}


@pytest.mark.parametrize("name", ["data.txt", MANIFEST])
def test_broken_seal_leaves_what_a_new_attempt_can_write(tmp_path, name):
    store = Store(tmp_path)
    key, work = sealed(store)
    (work / name).chmod(0o600)
    (work / name).write_text("{")
    (work / name).chmod(0o400)
    assert not store.sealed("betas", key)
    assert [path.name for path in work.iterdir()] == ["checkpoint"]


def test_seal_lists_declared_outputs_and_nothing_else(tmp_path):
    store = Store(tmp_path)
    work = store.work("betas", "d" * 20)
    (work / "wds").mkdir(parents=True)
    for name in ("a.npy", "wds/0.tar", "notes.json"):
        (work / name).write_text(name)
    store.seal("betas", "d" * 20, {}, ("*.npy", "wds/*.tar"))
    assert json.loads((work / MANIFEST).read_text())["files"].keys() == {"a.npy", "wds/0.tar"}


def test_gc_keeps_what_a_view_reaches_and_nothing_else(tmp_path):
    store = Store(tmp_path / "store")
    upstream = put(store, "betas", {"x": 1})
    kept = put(store, "finetune", {"y": 1}, {"betas": [f"betas/{upstream}"]})
    loose = put(store, "finetune", {"y": 2}, {"betas": [f"betas/{upstream}"]})
    abandoned = store.work("finetune", "a" * 20)
    abandoned.mkdir()
    view = tmp_path / "manifest.json"
    view.write_text(json.dumps({"objects": [f"finetune/{kept}"]}))
    register_root(view, store)

    listed = {path.name for path, _ in collect(store, dry_run=True)}
    assert listed == {loose, abandoned.name}
    assert store.has("finetune", loose)
    collect(store, dry_run=False)
    assert store.keys("finetune") == {kept}
    assert store.keys("betas") == {upstream}
    assert not abandoned.exists()

    view.unlink()
    collect(store, dry_run=False)
    assert not store.keys("betas")


def test_gc_leaves_an_object_being_built(tmp_path):
    store = Store(tmp_path)
    work = store.work("finetune", "b" * 20)
    work.mkdir(parents=True)
    with store.lock("finetune", "b" * 20):
        assert collect(store, dry_run=False) == []
    assert work.exists()


def test_gc_finishes_a_removal_that_was_killed_and_drops_the_work_of_what_is_there(tmp_path):
    store = Store(tmp_path / "store")
    key = put(store, "betas", {"x": 1})
    view = tmp_path / "manifest.json"
    view.write_text(json.dumps({"objects": [f"betas/{key}"]}))
    register_root(view, store)
    store.work("betas", key).mkdir()
    begun = tmp_path / "store" / "betas" / f".{'e' * 20}.removed"
    begun.mkdir()
    (begun / "data.txt").write_text("x")
    collect(store, dry_run=False)
    assert [path.name for path in (tmp_path / "store" / "betas").iterdir()] == [key]


def _count(path, counter, rounds):
    for _ in range(rounds):
        with Lock(path):
            value = int(counter.read_text())
            time.sleep(0.001)
            counter.write_text(str(value + 1))


def test_lock_lets_one_in_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("mindeye2.locks.POLL_S", 0.002)
    counter = tmp_path / "counter"
    counter.write_text("0")
    processes = [
        multiprocessing.get_context("fork").Process(target=_count, args=(tmp_path / "lock", counter, 20))
        for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert counter.read_text() == "80"


def test_lock_of_a_killed_process_is_taken_over_at_once(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import os; from pathlib import Path; from mindeye2.locks import Lock; "
        f"assert Lock(Path({str(path)!r})).acquire(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert path.exists()
    lock = Lock(path)
    assert not lock.acquire()
    assert lock.acquire()


def test_lock_of_a_silent_host_is_taken_over_after_the_wait_only(tmp_path):
    path = tmp_path / "lock"
    path.write_text(json.dumps({"token": "x", "host": "gone", "boot": "", "pid": 1, "started": "1"}))
    waiting = Lock(path, takeover_s=0.3)
    assert not waiting.acquire()
    assert not waiting.acquire()
    time.sleep(0.35)
    os.utime(path)
    assert not waiting.acquire(), "a heartbeat starts the wait anew"
    time.sleep(0.35)
    assert not waiting.acquire()
    assert waiting.acquire()


def test_holder_notices_a_takeover(tmp_path):
    store = Store(tmp_path)
    work = store.work("betas", "c" * 20)
    work.mkdir(parents=True)
    (work / "data.txt").write_text("x")
    with store.lock("betas", "c" * 20) as lock:
        store.seal("betas", "c" * 20, {})
        lock.path.write_text(json.dumps({"token": "somebody else"}))
        assert not store.publish("betas", "c" * 20, lock)
    assert not store.has("betas", "c" * 20)


def test_owner_that_slept_through_a_takeover_is_told_to_leave(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import time; from pathlib import Path; from mindeye2.locks import Lock; "
        f"Lock(Path({str(path)!r}), heartbeat_s=0.05).acquire(); print(flush=True); time.sleep(20)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    path.unlink()
    time.sleep(0.2)
    assert process.poll() is None, "a file that is away for a moment is no takeover"
    write_atomically(path, json.dumps({"token": "x", "host": "there", "pid": 7}))
    _, said = process.communicate(timeout=10)
    assert process.returncode == -signal.SIGTERM
    assert said == f"{path}: taken over by process 7 on there; leaving\n"


def test_link_that_was_made_and_is_denied_by_nfs_is_the_lock(tmp_path, monkeypatch):
    link = os.link

    def answer_lost(source, target):
        link(source, target)
        raise FileExistsError

    monkeypatch.setattr(os, "link", answer_lost)
    lock = Lock(tmp_path / "lock")
    assert lock.acquire() and lock.held()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_whoever_waits_says_for_whom(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mindeye2.locks.POLL_S", 0.02)
    path = tmp_path / "lock"
    path.write_text(json.dumps({"token": "x", "host": "there", "pid": 7}))
    with Lock(path, takeover_s=0.1):
        pass
    assert capsys.readouterr().err == f"waiting for {path}, which process 7 on there holds\n"


def test_write_atomically_leaves_no_draft(tmp_path):
    write_atomically(tmp_path / "a.txt", "one")
    write_atomically(tmp_path / "a.txt", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "two"


def test_lookup_of_ten_thousand_objects_is_one_listing(tmp_path):
    store = Store(tmp_path)
    for number in range(10_000):
        (tmp_path / "betas" / f"{number:020x}").mkdir(parents=True)
    started = time.process_time()
    assert len(store.keys("betas")) == 10_000
    assert time.process_time() - started < 1.0
