"""One builder at a time, whoever is killed, sleeps or is cut off."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

from mindeye2.locks import Lock
from mindeye2.store import Store, write_atomically


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
