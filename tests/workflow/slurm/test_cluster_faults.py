"""What a cluster does to trainings, done by Slurm itself; each ends with the weights of undisturbed ones."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import Checkout, make_checkout
from on_slurm import DEADLINE_S, adapt_profile, command, jobs, submitted, wait_until

from mindeye2.locks import read_owner

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(DEADLINE_S + 60)]

REPETITIONS = 2
"""Cells of the matrix, each a training of its own, all of which every fault strikes."""
NUM_EPOCHS = 100


@dataclass
class Trainings:
    """A checkout with everything built but the models, which Slurm's jobs are to train again."""

    checkout: Checkout
    models: dict[str, str]
    """Key -> sha256 of the weights of an undisturbed training."""
    started: list[subprocess.Popen] = field(default_factory=list)

    def folder(self, key: str) -> Path:
        return Path(self.checkout.environment["MINDEYE2_STORE"]) / "finetune" / key

    def newest(self, key: str) -> int:
        """Step of the newest checkpoint; 0 where there is none."""
        checkpoints = self.folder(f"{key}.work") / "checkpoint"
        return max((int(path.name) for path in checkpoints.glob("[0-9]" * 9)), default=0)

    def said(self, key: str, pattern: str) -> int | None:
        """The number that the pattern finds in the log of the training's present or last attempt."""
        log = self.checkout.root / "logs" / "finetune" / f"{key}.log"
        found = re.search(pattern, log.read_text()) if log.exists() else None
        return found and int(found[1])

    def start(self) -> subprocess.Popen:
        stamps = [f".stamps/finetune/{key}" for key in self.models]
        options = ("--profile", "slurm", "--configfile", "micro.yaml")
        self.started.append(self.checkout.start("snakemake", *stamps, *options))
        return self.started[-1]

    def start_and_hold(self) -> "Held":
        """Start Snakemake and stop each training after its first checkpoint, so that none ends before it is struck."""
        snakemake, processes = self.start(), {}
        for key in self.models:
            wait_until(lambda key=key: self.newest(key), snakemake)
            processes[key] = read_owner(self.folder(f".{key}.lock"))["pid"]
            os.kill(processes[key], signal.SIGSTOP)
        running = jobs("RUNNING")
        assert running.keys() == self.models.keys()
        assert not any(self.folder(key).exists() for key in self.models)
        return Held(snakemake, running, processes, {key: self.newest(key) for key in self.models})

    def finish(self, snakemake: subprocess.Popen) -> list[int]:
        """Wait for the end and compare the weights; numbers of the Slurm jobs that there were."""
        said, _ = snakemake.communicate(timeout=DEADLINE_S)
        assert snakemake.returncode == 0, said
        assert {key: model_digest(self.folder(key)) for key in self.models} == self.models
        return submitted(said)

    def resumed_at(self) -> dict[str, int]:
        """Step from which the last attempt of each went on."""
        return {key: self.said(key, r"going on after step (\d+) of") for key in self.models}


@dataclass
class Held:
    """Trainings that stand still in their Slurm jobs: by key, the job, the process and the last checkpoint's step."""

    snakemake: subprocess.Popen
    jobs: dict[str, int]
    processes: dict[str, int]
    reached: dict[str, int]

    def let_go(self) -> None:
        for process in self.processes.values():
            os.kill(process, signal.SIGCONT)


def model_digest(folder: Path) -> str:
    return json.loads((folder / "manifest.json").read_text())["files"]["model.safetensors"]["sha256"]


def time_limits() -> list[str]:
    return command("squeue", "--noheader", "--states=RUNNING", "--format=%l").split()


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory) -> Trainings:
    """Everything built here, without Slurm and without a fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    checkout = make_checkout(folder / "clone", data, folder / "store")
    variants = {f"cell{number}": {"finetune": {"max_lr": number * 1.0e-4}} for number in range(1, REPETITIONS + 1)}
    checkout.edit_config(finetune={"num_epochs": NUM_EPOCHS, "checkpoint_minutes": 60}, matrix={"variants": variants})
    process = checkout.start(*checkout.snakemake_command())
    said, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    trainings = Trainings(checkout, {row["key"]: "" for row in checkout.plan() if row["stage"] == "finetune"})
    trainings.models = {key: model_digest(trainings.folder(key)) for key in trainings.models}
    # From now on after every step, which changes no key.
    checkout.edit_config(finetune={"checkpoint_minutes": 0.0001})
    return trainings


@pytest.fixture
def trainings(undisturbed) -> Iterator[Trainings]:
    for key in undisturbed.models:
        shutil.rmtree(undisturbed.folder(key), ignore_errors=True)
        shutil.rmtree(undisturbed.folder(f"{key}.work"), ignore_errors=True)
    adapt_profile(undisturbed.checkout)
    yield undisturbed
    # What a test that failed has left: Ctrl-C, since a Snakemake that is killed leaves its lock.
    while undisturbed.started:
        snakemake = undisturbed.started.pop()
        if snakemake.poll() is None:
            snakemake.send_signal(signal.SIGINT)
            snakemake.communicate(timeout=120)
    command("scancel", f"--user={os.getuid()}")


@pytest.mark.parametrize("strike", [("scancel",), ("scancel", "--signal=KILL")], ids=["cancelled", "killed"])
def test_next_attempt_goes_on_where_a_struck_job_was(trainings, strike):
    """scancel, which leaves five seconds here, and a kill that leaves none: another job resumes by itself."""
    held = trainings.start_and_hold()
    command(*strike, *map(str, held.jobs.values()))
    attempts = trainings.finish(held.snakemake)
    assert set(attempts[:REPETITIONS]) == set(held.jobs.values())
    assert len(set(attempts)) == len(attempts) == 2 * REPETITIONS
    assert all(step >= held.reached[key] for key, step in trainings.resumed_at().items())


def test_time_limit_is_announced_and_the_next_attempt_has_twice_the_time(trainings):
    """The profile's warning, five minutes before the end, which is moved to six minutes after the start."""
    held = trainings.start_and_hold()
    assert time_limits() == ["1:30:00"] * REPETITIONS
    for job in held.jobs.values():
        command("scontrol", "update", f"JobId={job}", "TimeLimit=6")
    # Slurm wakes what it sends SIGTERM to.
    stopped = {}
    for key in held.jobs:
        wait_until(lambda key=key: trainings.said(key, r"stopped after step (\d+);"), held.snakemake)
        stopped[key] = trainings.said(key, r"stopped after step (\d+);")
    assert all(step >= held.reached[key] for key, step in stopped.items())
    wait_until(lambda: len(jobs("RUNNING").items() - held.jobs.items()) == REPETITIONS, held.snakemake)
    assert time_limits() == ["3:00:00"] * REPETITIONS
    attempts = trainings.finish(held.snakemake)
    assert len(attempts) == 2 * REPETITIONS
    assert trainings.resumed_at() == stopped


def test_preempted_job_goes_on_under_its_own_number(trainings):
    """A job of a partition with priority takes the whole node; Slurm requeues the trainings."""
    adapt_profile(trainings.checkout, finetune={"slurm_partition": "low"})
    held = trainings.start_and_hold()
    command("sbatch", "--partition=high", "--exclusive", "--wait", "--output=/dev/null", "--wrap=true")
    wait_until(lambda: jobs("PENDING") == held.jobs, held.snakemake)
    for job in held.jobs.values():
        # Not after the minutes that Slurm gives a node to recover.
        command("scontrol", "update", f"JobId={job}", "StartTime=now")
    attempts = trainings.finish(held.snakemake)
    assert sorted(attempts) == sorted(held.jobs.values())
    assert all(step >= held.reached[key] for key, step in trainings.resumed_at().items())


def test_jobs_outlive_a_killed_snakemake_and_a_second_one_takes_their_models(trainings):
    held = trainings.start_and_hold()
    held.snakemake.kill()
    held.snakemake.communicate()
    time.sleep(1)  # The manifest's times have whole seconds.
    killed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    second = trainings.start()
    wait_until(lambda: len(time_limits()) == 2 * REPETITIONS, second)
    held.let_go()
    trainings.finish(second)
    for key in held.jobs:
        assert json.loads((trainings.folder(key) / "manifest.json").read_text())["start"] < killed


def test_a_plain_rerun_finishes_the_matrix_with_the_same_numbers(undisturbed):
    """From the models that were struck, and without Slurm."""
    checkout = undisturbed.checkout
    matrix = checkout.root / "results" / "micro" / "matrix.csv"
    before = matrix.read_bytes()
    for row in checkout.plan():
        if row["stage"] in ("reconstruct", "refine", "evaluate", "tables"):
            shutil.rmtree(undisturbed.folder(row["key"]).parents[1] / row["stage"] / row["key"])
    shutil.rmtree(matrix.parent)
    answer = checkout.snakemake()
    assert answer.returncode == 0, answer.stdout
    assert matrix.read_bytes() == before
    verified = checkout.mindeye2("verify", "--config", "micro.yaml")
    assert verified.stdout.splitlines()[-1].endswith(", 0 damaged")
