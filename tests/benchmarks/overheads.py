"""What planning, an idle run, the store's lookup and the runner cost.

    PYTHONPATH=.:tests/workflow python tests/benchmarks/overheads.py

Wall and CPU seconds, each the best of three, since whatever else computes only adds to them. Nothing is trained but the
miniature's smallest configuration, a quarter of an hour at most.
"""

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import skeleton_tree
import yaml

from mindeye2.config import load_config
from mindeye2.plan import make_plan
from mindeye2.specs import freeze, frozen_file
from mindeye2.store import Store

REPOSITORY = Path(__file__).parents[2]
ROUNDS = 3
LIMITS_S = {"dry run": 8.0, "nothing to do": 10.0, "lookup": 1.0, "runner": 2.0}
STAGE = """
import importlib, sys, time
from pathlib import Path
from mindeye2 import runner
module = importlib.import_module("mindeye2.stages." + sys.argv[1])
run, inside = module.run, []
def now():
    return time.perf_counter(), time.process_time()
def timed(job):
    inside.append(now())
    run(job)
    inside.append(now())
module.run = timed
started = now()
runner.run_stage(sys.argv[1], spec_file=Path(sys.argv[2]), store_folder=Path(sys.argv[3]), stamp=Path(sys.argv[4]))
print(*(b - a - (d - c) for a, b, c, d in zip(started, now(), *inside)))
"""
"""A stage as the runner builds it: prints the wall and CPU seconds spent neither in imports nor in the stage itself."""


def measured(act: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of ``act`` and the processes that it waits for."""

    def cpu() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(use.ru_utime + use.ru_stime for use in used)

    wall, before = time.perf_counter(), cpu()
    act()
    return time.perf_counter() - wall, cpu() - before


def report(name: str, limit: str, times: list[tuple[float, float]]) -> None:
    wall, cpu = min(times)
    print(f"{name:<62} {wall:6.2f} s wall {cpu:6.2f} s CPU   (limit {LIMITS_S[limit]:g} s)", flush=True)


def snakemake(folder: Path, config: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--profile", REPOSITORY / "profiles/default", "--cores", "2"]
    command += ["--snakefile", REPOSITORY / "workflow/Snakefile", "--configfile", config, *arguments]
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    ).stdout


def ten_variants(root: Path) -> Path:
    """The paper's matrix with ten variants that share nothing from pretraining on."""
    content = yaml.safe_load((REPOSITORY / "config/paper.yaml").read_text())
    rates = {f"rate{number}": {"pretrain": {"max_lr": number * 1.0e-5}} for number in range(1, 11)}
    content["matrix"]["variants"] = rates
    path = root / "ten.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def paper(root: Path) -> None:
    """Dry run before anything is there, and a run when everything is."""
    skeleton_tree.write(root)
    for name, folder in {"DATASET": "nsd", "CAPTIONS": "coco", "WEIGHTS": "weights", "STORE": "store"}.items():
        os.environ[f"MINDEYE2_{name}"] = str(root / folder)
    config = ten_variants(root)
    snakemake(root, config, "-n")
    times = [measured(lambda: snakemake(root, config, "-n")) for _ in range(ROUNDS)]

    plan = make_plan(load_config(config), root / ".plan")
    report(f"snakemake -n, paper with 10 variants, {len(plan.nodes)} objects", "dry run", times)
    for node in plan.nodes.values():
        (root / "store" / node.stage / node.key).mkdir(parents=True)
    view = root / "results" / plan.config.run.name / "manifest.json"
    view.parent.mkdir(parents=True)
    view.write_text("{}")
    assert "Nothing to be done" in snakemake(root, config)
    times = [measured(lambda: snakemake(root, config)) for _ in range(ROUNDS)]
    report("snakemake with nothing to do, the same", "nothing to do", times)


def lookup(root: Path) -> None:
    store = Store(root / "many")
    for number in range(10_000):
        (store.root / "evaluate" / f"{number:020x}").mkdir(parents=True)
    report(
        "store lookup of 10 000 objects", "lookup", [measured(lambda: store.keys("evaluate")) for _ in range(ROUNDS)]
    )


def runner(root: Path) -> None:
    """Every stage of the smallest configuration, one process each; once, since an object is built once."""
    for name, folder in {"DATASET": "nsd", "CAPTIONS": "coco", "STORE": "store"}.items():
        os.environ[f"MINDEYE2_{name}"] = str(root / folder)
    os.environ["MINDEYE2_WEIGHTS"] = str(REPOSITORY / "mindeye2/demo/weights")
    config = REPOSITORY / "tests/workflow/micro.yaml"
    with contextlib.chdir(root):
        subprocess.run(
            [sys.executable, "-m", "mindeye2", "simulate", "--config", config], check=True, capture_output=True
        )
        plan = make_plan(load_config(config))
        freeze(plan)
        worst = dict.fromkeys((node.stage for node in plan.ordered()), (0.0, 0.0))
        for node in plan.ordered():
            command = [sys.executable, "-c", STAGE, node.stage, frozen_file(node.stage, node.key), "store", "stamp"]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            worst[node.stage] = max(worst[node.stage], tuple(map(float, said.split()[-2:])))
    for stage, seconds in worst.items():
        report(f"runner around {stage}", "runner", [seconds])


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(REPOSITORY)
    for measure in (paper, lookup, runner):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder))
