"""Objects appear whole, are never changed, and damage is found."""

import errno
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

from mindeye2 import usage
from mindeye2.errors import UserError
from mindeye2.garbage import collect, register_root, register_run, release_run, unfinished, verify
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
    ((name, problem, aside),) = list(verify(store))
    assert name == f"betas/{key}"
    assert problem
    assert aside.is_dir()
    assert not store.has("betas", key)


def test_any_flipped_bit_of_a_manifest_is_damage_or_harmless(tmp_path):
    store = Store(tmp_path)
    key = put(store, "betas", {"x": 1})
    path = store.object("betas", key) / MANIFEST
    path.chmod(0o600)
    told = {"seconds": 1.5, "gpus": 1, "device": "cpu", "run": "a"}
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    content = path.read_bytes()
    found = set()
    for place in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            found.add(store.damage("betas", key, whole=True) is None)
            usage.records(store)
    assert found == {True, False}


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_what_cannot_be_read_at_present_is_no_damage(tmp_path, monkeypatch, number):
    store = Store(tmp_path)
    bad, good = sorted(put(store, "betas", {"x": x}) for x in (1, 2))
    read = Path.read_text

    def fail(path, *options):
        if path.parent.name == bad:
            raise OSError(number, os.strerror(number), str(path))
        return read(path, *options)

    monkeypatch.setattr(Path, "read_text", fail)
    (store.object("betas", good) / "data.txt").chmod(0o600)
    (store.object("betas", good) / "data.txt").write_text("?")
    first, second = verify(store)
    assert first == (f"betas/{bad}", f"{store.object('betas', bad) / MANIFEST}: {os.strerror(number)}", None)
    assert second[0] == f"betas/{good}" and second[2].is_dir()
    assert store.has("betas", bad)


def test_size_of_a_folder_in_which_files_come_and_go(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(10))
    lstat = os.lstat

    def gone(path):
        if str(path).endswith("/a"):
            raise FileNotFoundError
        return lstat(path)

    monkeypatch.setattr(os, "lstat", gone)
    assert Store(tmp_path).size(tmp_path) == 10


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


def test_whoever_waits_long_asks_seldom(tmp_path, monkeypatch):
    path, pauses = tmp_path / "lock", []
    path.write_text(json.dumps({"token": "x", "host": "there", "pid": 7}))

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 30:
            path.unlink()

    monkeypatch.setattr("mindeye2.locks.time.sleep", sleep)
    with Lock(path):
        pass
    assert (pauses[0], pauses[-1]) == (0.5, 10.0)
    assert all(pause <= 0.5 + 0.2 * sum(pauses[:number]) for number, pause in enumerate(pauses))


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
