"""Objects appear whole, are never changed, and damage is found."""

import errno
import json
import os
import stat
import time
from pathlib import Path

import pytest
from stored_object import put

from mindeye2 import usage
from mindeye2.garbage import verify
from mindeye2.store import MANIFEST, Store, spec_key, write_atomically


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
