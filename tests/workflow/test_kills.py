"""Real kills of real runs: nothing half-written under a final name, and a plain rerun gives the same numbers."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from conftest import Checkout

from mindeye2.locks import read_owner

TRAINED_AND_TOLD = ("finetune", "tables")
"""What has to be built again for a whole matrix: what lies between is there and of the same weights."""
STEP = "self.done += steps\n"
WITHOUT_ROOTS_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def make_training_slow(checkout: Checkout, seconds: float) -> Callable[[], None]:
    """Let every step of a loop take that long, by code that is in no key; returns what takes it back."""
    slow = f"{STEP}        time.sleep({seconds})\n"
    checkout.edit_code("mindeye2/progress.py", STEP, slow)
    return lambda: checkout.edit_code("mindeye2/progress.py", slow, STEP)


def wait_for(found: Callable[[], object], process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 240
    while not found():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_checkpoint(checkout: Checkout, process: subprocess.Popen, after: int = 0) -> None:
    folder = checkout.store.work("finetune", checkout.key("finetune")) / "checkpoint"
    wait_for(lambda: any(int(path.name) > after for path in folder.glob("[0-9]" * 9)), process)


def assert_a_plain_rerun_finishes(checkout: Checkout, numbers: dict[str, str]) -> str:
    """Returns what Snakemake said."""
    checkout.assert_sound()
    answer = checkout.snakemake()
    assert answer.returncode == 0, answer.stdout
    assert checkout.numbers() == numbers
    checkout.assert_sound()
    assert (checkout.root / "results" / "micro" / "matrix.csv").exists()
    return answer.stdout


def test_stage_killed_in_training_goes_on_from_its_checkpoint(checkout):
    numbers, key = checkout.numbers(), checkout.key("finetune")
    checkout.lose(*TRAINED_AND_TOLD)
    undo = make_training_slow(checkout, 1.0)
    process = checkout.start(*checkout.snakemake_command())
    wait_for_checkpoint(checkout, process)
    os.kill(read_owner(checkout.store.lock("finetune", key).path)["pid"], signal.SIGKILL)
    said, _ = process.communicate()
    assert process.returncode == 1
    assert f"(log: logs/finetune/{key}.log)" in said
    assert not checkout.store.has("finetune", key)

    undo()
    assert_a_plain_rerun_finishes(checkout, numbers)
    assert "finetune: going on after step" in (checkout.root / f"logs/finetune/{key}.log").read_text()


@pytest.mark.parametrize("jobs", ["go on", "die too"])
def test_killed_snakemake_needs_no_unlocking(checkout, jobs):
    numbers = checkout.numbers()
    checkout.lose(*TRAINED_AND_TOLD)
    make_training_slow(checkout, 0.3)
    process = checkout.start(*checkout.snakemake_command(), start_new_session=True)
    wait_for_checkpoint(checkout, process)
    if jobs == "die too":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()

    assert_a_plain_rerun_finishes(checkout, numbers)
    built = [name.split("/")[0] for name in checkout.built()]
    # The log of a job that outlives Snakemake is gone where its successor waited for it.
    assert built == ["finetune", "tables"] or (jobs == "go on" and built == ["tables"])


def test_second_snakemake_in_the_same_folder_is_refused(checkout):
    checkout.lose("tables")
    check = "    _check_code(spec, key)\n"
    checkout.edit_code(
        "mindeye2/runner.py", check, f"    while not Path('go').exists():\n        time.sleep(0.1)\n{check}"
    )
    first = checkout.start(*checkout.snakemake_command())
    wait_for(lambda: checkout.store.locked("tables", checkout.key("tables")), first)
    second = checkout.snakemake()
    assert second.returncode == 1, second.stdout
    (line,) = [line for line in second.stdout.splitlines() if "runs the workflow in this folder" in line]
    assert line.startswith(f"mindeye2: error: .plan/lock: process {first.pid} on ")
    assert "Traceback" not in second.stdout
    (checkout.root / "go").touch()
    said, _ = first.communicate()
    assert first.returncode == 0, said


@pytest.mark.parametrize(
    "before",
    [
        "        listed = json.loads",
        "        os.rename(work, self.object(stage, key))",
        "        _sync(work.parent)",
    ],
    ids=["clearing", "renaming", "stamping"],
)
def test_runner_killed_between_build_and_name(checkout, before):
    """By somebody without root's rights, to whom a file that was made read-only is read-only. What it built is kept."""
    numbers, key = checkout.numbers(), checkout.key("tables")
    checkout.lose("tables")
    if os.geteuid() == 0:
        checkout.python = (*WITHOUT_ROOTS_RIGHTS, *checkout.python)
    killed = f"        os.kill(os.getpid(), 9)\n{before}"
    checkout.edit_code("mindeye2/store.py", before, killed)
    checkout.snakemake("-n")
    answer = checkout.run(*checkout.stage_command("tables"))
    assert answer.returncode == -signal.SIGKILL
    assert checkout.store.has("tables", key) == (before == "        _sync(work.parent)")

    checkout.edit_code("mindeye2/store.py", killed, before)
    assert_a_plain_rerun_finishes(checkout, numbers)
    log = checkout.root / f"logs/tables/{key}.log"
    assert not log.exists() or "building" not in log.read_text()


@pytest.mark.parametrize("edited", ["settings", "code"])
def test_edits_while_jobs_wait(checkout, edited):
    """Settings are built as they were planned, whatever the file says now; a stage whose code was edited is refused."""
    numbers, planned = checkout.numbers(), {(row["stage"], row["key"]) for row in checkout.plan()}
    checkout.lose(*TRAINED_AND_TOLD)
    undo_slow = make_training_slow(checkout, 0.5)
    process = checkout.start(*checkout.snakemake_command())
    wait_for_checkpoint(checkout, process)
    text, page, title = checkout.config.read_text(), "mindeye2/report/page.html", "</title>"
    if edited == "settings":
        checkout.edit_config(finetune={"max_lr": 1.0e-3}, tables={"pictures_per_subject": 1})
    else:
        checkout.edit_code(page, title, f" edited{title}")
    undo_slow()
    said, _ = process.communicate()
    stored = set(checkout.store.objects())
    checkout.assert_sound()
    if edited == "settings":
        assert process.returncode == 0, said
        assert stored == planned
    else:
        assert process.returncode == 1
        assert "code changed since planning" in said
        assert stored == {name for name in planned if name[0] != "tables"}

    checkout.config.write_text(text)
    if edited == "code":
        checkout.edit_code(page, f" edited{title}", title)
    assert_a_plain_rerun_finishes(checkout, numbers)


def test_builder_that_slept_through_a_takeover_leaves(checkout):
    """As on a node that was suspended: another host waits, takes over, goes on, and the sleeper wakes up."""
    numbers, key = checkout.numbers(), checkout.key("finetune")
    checkout.lose("finetune")
    checkout.edit_code("mindeye2/locks.py", "HEARTBEAT_S = 20.0", "HEARTBEAT_S = 0.2")
    checkout.edit_code("mindeye2/locks.py", "TAKEOVER_S = 600.0", "TAKEOVER_S = 2.0")
    undo_slow = make_training_slow(checkout, 2.0)
    checkout.snakemake("-n")
    command, lock = checkout.stage_command("finetune"), checkout.store.lock("finetune", key).path
    sleeper = checkout.start(*command)
    wait_for_checkpoint(checkout, sleeper)
    sleeper.send_signal(signal.SIGSTOP)
    lock.write_text(json.dumps({**read_owner(lock), "host": "elsewhere"}))
    undo_slow()

    other = checkout.start(*command)
    wait_for(lambda: read_owner(lock) and read_owner(lock)["host"] != "elsewhere", other)
    sleeper.send_signal(signal.SIGCONT)
    said, _ = other.communicate()
    assert other.returncode == 0, said
    assert f"waiting for {lock}, which process {sleeper.pid} on elsewhere holds" in said
    assert "going on after step" in said
    complaint, _ = sleeper.communicate()
    assert sleeper.returncode == 128 + signal.SIGTERM, complaint
    assert "taken over by process" in complaint
    assert checkout.numbers() == numbers
    checkout.assert_sound()
