"""Checkouts of this repository that run the real Snakefile on a simulated NSD of the smallest size."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from mindeye2.store import Store

REPOSITORY = Path(__file__).parents[2]
MICRO = Path(__file__).with_name("micro.yaml")
TELL_TIMES = ("history.csv", "report.html")


@dataclass
class Checkout:
    """A copy of what a user clones, with a configuration of its own."""

    root: Path
    environment: dict[str, str]
    python: tuple[str, ...] = (sys.executable,)
    """The interpreter, and before it what it is to be run by."""

    @property
    def store(self) -> Store:
        return Store(Path(self.environment["MINDEYE2_STORE"]))

    @property
    def config(self) -> Path:
        return self.root / "micro.yaml"

    def edit_config(self, **sections) -> None:
        """Merge values into the configuration's sections."""
        content = yaml.safe_load(self.config.read_text())
        for section, values in sections.items():
            content.setdefault(section, {}).update(values)
        self.config.write_text(yaml.safe_dump(content))

    def edit_code(self, file: str, old: str, new: str) -> None:
        path = self.root / file
        text = path.read_text()
        assert text.count(old) >= 1, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1))

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        return subprocess.Popen(
            [*self.python, "-m", *arguments],
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=500)
        return subprocess.CompletedProcess(arguments, process.returncode, output)

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.run(*self.snakemake_command(*arguments))

    def snakemake_command(self, *arguments: str) -> list[str]:
        return ["snakemake", "--profile", "profiles/default", "--cores", "2", "--configfile", "micro.yaml", *arguments]

    def mindeye2(self, *arguments: str) -> subprocess.CompletedProcess:
        return self.run("mindeye2", *arguments)

    def planned_jobs(self) -> dict[str, int]:
        """Rule -> number of jobs that ``snakemake -n`` would run."""
        answer = self.snakemake("-n")
        assert answer.returncode == 0, answer.stdout
        counts = re.findall(r"^(\w+) +(\d+)$", answer.stdout, flags=re.MULTILINE)
        return {rule: int(number) for rule, number in counts if rule not in ("total", "all", "view")}

    def plan(self, *arguments: str) -> list[dict]:
        process = subprocess.run(
            [*self.python, "-m", "mindeye2", "plan", "--config", "micro.yaml", "--json", *arguments],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(process.stdout)

    def key(self, stage: str) -> str:
        """Of a stage that the plan has one object of."""
        (row,) = [row for row in self.plan() if row["stage"] == stage]
        return row["key"]

    def lose(self, *stages: str) -> None:
        """Delete the objects of these stages from the store."""
        for stage in stages:
            shutil.rmtree(self.store.root / stage)

    def stage_command(self, stage: str) -> list[str]:
        """What the workflow would run for the stage's one object; it must have been planned."""
        key = self.key(stage)
        return [
            *("mindeye2", stage, "--spec", f".plan/{stage}/{key}.json"),
            *("--store", str(self.store.root), "--stamp", f".stamps/{stage}/{key}"),
        ]

    def numbers(self) -> dict[str, str]:
        """``stage/key/file`` -> sha256, of every stored object that is planned, less the files that tell times."""
        return {
            f"{row['stage']}/{row['key']}/{name}": file["sha256"]
            for row in self.plan()
            if row["state"] == "stored"
            for name, file in self.store.manifest(row["stage"], row["key"])["files"].items()
            if name not in TELL_TIMES
        }

    def assert_sound(self) -> None:
        """Whatever stands under a final name is what its manifest says."""
        for stage, key in self.store.objects():
            assert self.store.damage(stage, key, whole=True) is None

    def built(self) -> list[str]:
        """``stage/key`` of every object that a job of this checkout built, once per build."""
        lines = [
            line
            for path in sorted((self.root / "logs").rglob("*.log"))
            for line in path.read_text().splitlines()
            if re.match(r"^\w+ [0-9a-f]{20}: done in", line)
        ]
        return ["/".join(line.split(":")[0].split()) for line in lines]


def make_checkout(root: Path, data: Path, store: Path, *, copy: bool = True) -> Checkout:
    """Copy the code (not the weights, which are found by path) and the micro configuration to ``root``."""
    if copy:
        root.mkdir(parents=True)
        skip = shutil.ignore_patterns("__pycache__", "weights", "haxby")
        for name in ("mindeye2", "workflow", "profiles"):
            shutil.copytree(REPOSITORY / name, root / name, ignore=skip)
        shutil.copy(REPOSITORY / "environment.yml", root / "environment.yml")
        shutil.copy(MICRO, root / "micro.yaml")
    environment = {
        **os.environ,
        "MINDEYE2_DATASET": str(data / "nsd"),
        "MINDEYE2_CAPTIONS": str(data / "coco"),
        "MINDEYE2_WEIGHTS": str(REPOSITORY / "mindeye2" / "demo" / "weights"),
        "MINDEYE2_STORE": str(store),
        "PYTHONPATH": str(root),
    }
    return Checkout(root, environment)


@contextmanager
def _made_once(tmp_path_factory, name: str) -> Iterator[tuple[Path, bool]]:
    """(folder of the session, whether to fill it): the first process of pytest-xdist to ask fills it for all."""
    session = tmp_path_factory.getbasetemp()
    folder = (session.parent if "PYTEST_XDIST_WORKER" in os.environ else session) / name
    with FileLock(f"{folder}.lock"):
        whole = folder / "whole"
        if not whole.exists() and folder.exists():
            pytest.fail(f"{folder}: could not be made, as another process says")
        yield folder, not whole.exists()
        whole.touch()


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """The simulated tree, written by the user's command."""
    with _made_once(tmp_path_factory, "data") as (folder, empty):
        if empty:
            checkout = make_checkout(folder / "writer", folder, folder / "unused")
            answer = checkout.mindeye2("simulate", "--config", "micro.yaml")
            assert answer.returncode == 0, answer.stdout
    return folder


@pytest.fixture(scope="session")
def two_runs(data, tmp_path_factory) -> tuple[Checkout, Checkout]:
    """Two checkouts that ran the whole workflow at once on one empty store."""
    with _made_once(tmp_path_factory, "runs") as (folder, empty):
        checkouts = tuple(make_checkout(folder / name, data, folder / "store", copy=empty) for name in ("one", "two"))
        running = [checkout.start(*checkout.snakemake_command()) for checkout in checkouts if empty]
        for process in running:
            output, _ = process.communicate(timeout=500)
            assert process.returncode == 0, output
    return checkouts


@pytest.fixture
def checkout(two_runs, data, tmp_path) -> Checkout:
    """A fresh clone on a copy of the store that ``two_runs`` filled, so that a test may spoil it."""
    source = Path(two_runs[0].environment["MINDEYE2_STORE"])
    shutil.copytree(source, tmp_path / "store", ignore=shutil.ignore_patterns(".roots", ".damaged"))
    return make_checkout(tmp_path / "clone", data, tmp_path / "store")
