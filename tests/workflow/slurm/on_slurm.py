"""What the tests on Slurm share: a checkout whose profile names the one node, and what Slurm says of its jobs."""

import os
import re
import subprocess
import time
from collections.abc import Callable

import yaml
from conftest import REPOSITORY, Checkout

DEADLINE_S = 900


def command(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def adapt_profile(checkout: Checkout, **rules: dict) -> None:
    """This site's values, the resources of some rules, and answers sooner than a real cluster should be asked."""
    path = checkout.root / "profiles" / "slurm" / "config.yaml"
    profile = yaml.safe_load((REPOSITORY / "profiles" / "slurm" / "config.yaml").read_text())
    profile["default-resources"]["slurm_partition"] = "cpu"
    profile |= {"latency-wait": 10, "slurm-init-seconds-before-status-checks": 3}
    if rules:
        profile["set-resources"] = rules
    path.write_text(yaml.safe_dump(profile))
    link = checkout.root / "slurm"
    if not link.exists():
        link.symlink_to(os.readlink(REPOSITORY / "slurm"))


def submitted(said: str) -> list[int]:
    """Numbers of the Slurm jobs that Snakemake said it submitted."""
    return [int(job) for job in re.findall(r"submitted with SLURM jobid (\d+)", said)]


def jobs(state: str) -> dict[str, int]:
    """Key of the object -> number of the job, of all jobs in that state."""
    lines = command("squeue", "--noheader", f"--states={state}", "--format=%A %k").splitlines()
    return {comment[-20:]: int(job) for job, comment in (line.split(maxsplit=1) for line in lines)}


def wait_until(found: Callable[[], object], process: subprocess.Popen) -> None:
    """Wait while Snakemake runs; AssertionError with what it said when it ends first."""
    deadline = time.monotonic() + 240
    while not found():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "it took more than four minutes"
        time.sleep(0.05)
