"""Storage that is full, read-only, damaged, or tells another time: one line, nothing wrong stored, a rerun finishes."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Checkout
from test_kills import WITHOUT_ROOTS_RIGHTS, assert_a_plain_rerun_finishes

TOMORROW = 86400


def error_of(said: str) -> str:
    """The line that says it all, the last one of a failed run."""
    assert "Traceback" not in said, said
    return [line for line in said.splitlines() if "mindeye2: error: " in line][-1]


@pytest.fixture
def mounted(checkout, tmp_path) -> Iterator[Checkout]:
    """The checkout with its store on a file system of its own, 64 MB in memory."""
    place = tmp_path / "mounted"
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], check=False).returncode
    ):
        pytest.skip("mounting is not permitted here")
    try:
        shutil.copytree(checkout.store.root, place / "store")
        checkout.environment["MINDEYE2_STORE"] = str(place / "store")
        yield checkout
    finally:
        subprocess.run(["umount", place], check=True)


def remount(checkout: Checkout, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", checkout.store.root.parent], check=True)


@pytest.mark.parametrize(
    ("stage", "room"),
    [("stimuli", 64 << 10), ("finetune", 256 << 10), ("reconstruct", 8 << 10)],
    ids=["stimuli", "finetune", "reconstruct"],
)
def test_full_disk(mounted, stage, room):
    """HDF5, safetensors and plain files say it each in their own way."""
    numbers, key = mounted.numbers(), mounted.key(stage)
    mounted.lose(stage)
    mounted.snakemake("-n")
    filler = mounted.store.root.parent / "filler"
    status = os.statvfs(filler.parent)
    filler.write_bytes(bytes(status.f_bavail * status.f_frsize - room))
    answer = mounted.run(*mounted.stage_command(stage))
    assert answer.returncode == 1
    line = error_of(answer.stdout)
    assert f"{stage} {key} is left unfinished" in line or "cannot be written" in line
    assert "make room" in line
    assert not mounted.store.has(stage, key)

    filler.unlink()
    assert mounted.run(*mounted.stage_command(stage)).returncode == 0
    assert_a_plain_rerun_finishes(mounted, numbers)


def test_full_disk_stops_the_workflow_with_the_same_line(mounted):
    numbers = mounted.numbers()
    mounted.lose("tables")
    filler = mounted.store.root.parent / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    answer = mounted.snakemake()
    assert answer.returncode == 1
    assert "No space left on device" in error_of(answer.stdout)
    filler.unlink()
    assert_a_plain_rerun_finishes(mounted, numbers)


def test_store_mounted_read_only(mounted):
    numbers = mounted.numbers()
    assert mounted.snakemake().returncode == 0
    mounted.lose("tables")
    remount(mounted, "ro")
    answer = mounted.snakemake()
    assert answer.returncode == 1
    assert "Read-only file system; make room or grant access" in error_of(answer.stdout)
    for command in ("plan", "status"):
        assert mounted.mindeye2(command, "--config", "micro.yaml").returncode == 0
    remount(mounted, "rw")
    assert_a_plain_rerun_finishes(mounted, numbers)


def test_store_without_write_permission(checkout):
    """Not even for root, whose rights are dropped."""
    numbers, folder = checkout.numbers(), checkout.store.root / "tables"
    if os.geteuid() == 0:
        checkout.python = (*WITHOUT_ROOTS_RIGHTS, *checkout.python)
    shutil.rmtree(folder)
    folder.mkdir(mode=0o500)
    answer = checkout.snakemake()
    assert answer.returncode == 1
    assert f"{folder}" in error_of(answer.stdout) and "Permission denied" in error_of(answer.stdout)
    assert list(folder.iterdir()) == []
    folder.chmod(0o700)
    assert_a_plain_rerun_finishes(checkout, numbers)


def harm(path: Path, how: str) -> None:
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    path.chmod(0o400)


@pytest.mark.parametrize("found", ["by verify", "at use"])
@pytest.mark.parametrize("how", ["truncated", "bit-flipped"])
def test_damaged_object_is_set_aside_and_rebuilt(checkout, how, found):
    numbers = checkout.numbers()
    name = f"stimuli/{checkout.key('stimuli')}"
    checkout.lose("tables")
    harm(checkout.store.root / name / "captions.json", how)
    what = "content does not match its sha256" if how == "bit-flipped" else "bytes instead of"
    answer = checkout.mindeye2("verify", "--config", "micro.yaml") if found == "by verify" else checkout.snakemake()
    assert answer.returncode == 1
    (line,) = {
        line for line in answer.stdout.splitlines() if what in line and line.startswith((name, "failed: tables"))
    }
    assert f"{name}: damaged (captions.json: " in line and "set aside as" in line
    assert not (checkout.store.root / name).exists()
    (aside,) = (checkout.store.root / ".damaged").iterdir()
    assert aside.name.startswith(name.replace("/", "-"))
    assert_a_plain_rerun_finishes(checkout, numbers)


def leave_lock(path: Path, **owner: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"token": "x", "host": "gone", "boot": "b", "pid": 1, "started": "1", **owner}))


def test_locks_of_a_dead_host_are_waited_for_and_taken_over(checkout):
    """One with a time of yesterday, one of tomorrow: neither is compared with the clock here."""
    numbers = checkout.numbers()
    checkout.edit_code("mindeye2/locks.py", "TAKEOVER_S = 600.0", "TAKEOVER_S = 3.0")
    for stage, ahead in (("stimuli", -TOMORROW), ("tables", TOMORROW)):
        path = checkout.store.lock(stage, checkout.key(stage)).path
        checkout.lose(stage)
        leave_lock(path, since=time.time() + ahead)
        os.utime(path, (time.time() + ahead,) * 2)
    assert_a_plain_rerun_finishes(checkout, numbers)
    for stage in ("stimuli", "tables"):
        key = checkout.key(stage)
        log = (checkout.root / f"logs/{stage}/{key}.log").read_text()
        assert "which process 1 on gone holds" in log
        assert float(log.split("done in ")[1].split()[0]) > 0
        assert not checkout.store.locked(stage, key)


def test_clocks_that_disagree(checkout, tmp_path):
    """Everything there is from tomorrow, and a node whose clock is ahead touches the stamps: nothing is built twice."""
    numbers = checkout.numbers()
    checkout.snakemake("-n")
    stamp = "    stamp.touch()\n"
    checkout.edit_code("mindeye2/runner.py", stamp, f"{stamp}    os.utime(stamp, (time.time() + 86400,) * 2)\n")
    checkout.lose("stimuli", "tables")
    for top in (checkout.store.root, checkout.root):
        for path in (top, *top.rglob("*")):
            os.utime(path, (time.time() + TOMORROW,) * 2)
    said = assert_a_plain_rerun_finishes(checkout, numbers)
    assert "older modification time" not in said
    assert sorted(name.split("/")[0] for name in checkout.built()) == ["stimuli", "tables"]
    answer = checkout.snakemake()
    assert answer.returncode == 0 and "Nothing to be done" in answer.stdout
