"""What the setting of a shared store does to the files that real jobs write, and two users at work in one store."""

import grp
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import REPOSITORY, Checkout, make_checkout
from test_kills import TRAINED_AND_TOLD, make_training_slow, wait_for_checkpoint

ALICE, BOB, CAROL = 40_001, 40_002, 40_003


def another_group() -> grp.struct_group:
    """One that the tests' user may hand files to, not the user's first where there is another."""
    groups = [entry for entry in grp.getgrall() if entry.gr_gid in os.getgroups() or os.geteuid() == 0]
    return next((entry for entry in groups if entry.gr_gid != os.getegid()), grp.getgrgid(os.getegid()))


def assert_only_the_groups(store: Path, group: grp.struct_group) -> None:
    for path in (store, *store.rglob("*")):
        if not path.is_symlink():
            status = path.stat()
            assert status.st_gid == group.gr_gid, path
            wanted = {0o2770} if path.is_dir() else {0o440, 0o660}
            assert stat.S_IMODE(status.st_mode) in wanted, path


def test_jobs_write_what_the_group_can_read_and_nobody_else(checkout):
    store, group = checkout.store.root, another_group()
    checkout.edit_config(store={"group": group.gr_name})
    assert {row["state"] for row in checkout.plan()} == {"stored"}, "the setting is in no key"
    tables = store / "tables" / checkout.key("tables")
    checkout.lose("tables")
    answer = checkout.snakemake()
    assert answer.returncode == 0, answer.stdout
    assert_only_the_groups(store, group)
    assert stat.S_IMODE((tables / "manifest.json").stat().st_mode) == 0o440
    assert json.loads((tables / "manifest.json").read_text())["run"] == "micro"

    checkout.edit_config(store={"group": "nobody-has-this"})
    answer = checkout.snakemake("-n")
    assert answer.returncode == 1
    (line,) = [line for line in answer.stdout.splitlines() if "nobody-has-this" in line]
    assert line.startswith("mindeye2: error: store.group: there is no group nobody-has-this here")


@pytest.fixture
def place(two_runs, data) -> Iterator[Path]:
    """A folder that every user reaches: Python and its packages, the raw data, and a private store of Alice's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    mounts = {folder / "python": sys.base_prefix, folder / "packages": sysconfig.get_paths()["purelib"]}
    made = []
    try:
        for target, source in mounts.items():
            target.mkdir()
            if os.geteuid() or subprocess.run(["mount", "--bind", source, target], check=False).returncode:
                pytest.skip("acts as other users, and mounts what they run where they reach it")
            made.append(target)
        for name in ("nsd", "coco"):
            shutil.copytree(data / name, folder / name)
        shutil.copytree(REPOSITORY / "mindeye2/demo/weights", folder / "weights")
        shutil.copytree(two_runs[0].store.root, folder / "store", ignore=shutil.ignore_patterns(".roots"))
        give(folder / "store", ALICE)
        yield folder
    finally:
        for target in made:
            subprocess.run(["umount", target], check=True)
        shutil.rmtree(folder)


def give(folder: Path, user: int) -> None:
    subprocess.run(["chown", "-R", f"{user}:{user}", folder], check=True)


def person(place: Path, user: int, group: grp.struct_group, *, member: bool = True) -> Checkout:
    """A user's clone, whose commands run as that user."""
    home = place / f"home{user}"
    checkout = make_checkout(home / "clone", place, place / "store")
    checkout.edit_config(store={"group": group.gr_name})
    checkout.environment |= {
        "HOME": str(home),
        "USER": f"user{user}",
        "LOGNAME": f"user{user}",
        "MINDEYE2_WEIGHTS": str(place / "weights"),
        "PYTHONPATH": f"{checkout.root}:{place / 'packages'}",
    }
    give(home, user)
    groups = f"--groups={group.gr_gid}" if member else "--clear-groups"
    python = place / "python" / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    checkout.python = ("setpriv", f"--reuid={user}", f"--regid={user}", groups, str(python))
    return checkout


def test_one_user_goes_on_where_another_was_killed_and_both_finish_at_once(place):
    group = another_group()
    alice, bob = (person(place, user, group) for user in (ALICE, BOB))
    numbers = alice.numbers()
    alice.lose(*TRAINED_AND_TOLD)
    make_training_slow(alice, 1.0)
    process = alice.start(*alice.snakemake_command(), start_new_session=True)
    wait_for_checkpoint(alice, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert_only_the_groups(place / "store", group)

    running = [checkout.start(*checkout.snakemake_command()) for checkout in (bob, alice)]
    for process in running:
        said, _ = process.communicate()
        assert process.returncode == 0, said
    built = [name.split("/")[0] for checkout in (alice, bob) for name in checkout.built()]
    assert sorted(built) == sorted(TRAINED_AND_TOLD)
    logs = [checkout.root / f"logs/finetune/{alice.key('finetune')}.log" for checkout in (alice, bob)]
    assert any("going on after step" in log.read_text() for log in logs)
    assert alice.numbers() == bob.numbers() == numbers
    alice.assert_sound()
    assert_only_the_groups(place / "store", group)

    carol = person(place, CAROL, group, member=False)
    answer = carol.snakemake("-n")
    assert answer.returncode == 1 and "Traceback" not in answer.stdout
    assert f"mindeye2: error: store.group: you are not in the group {group.gr_name}" in answer.stdout
