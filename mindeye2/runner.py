"""Builds one object from its frozen spec: lock, check, run the stage, verify, publish, stamp.

``python -m mindeye2 <noun> --spec FILE --store DIR --stamp FILE``. Hyper-parameters are never flags.
"""

import importlib
import importlib.metadata
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from mindeye2 import permissions
from mindeye2.errors import UserError, refusal
from mindeye2.identity import ROOT, code_label, reread, stage_digest
from mindeye2.job import Job
from mindeye2.progress import REPORT_FILE, REPORT_VARIABLE
from mindeye2.specs import read_frozen
from mindeye2.store import Store

PACKAGES = (
    *("torch", "torchvision", "diffusers", "transformers", "open_clip_torch", "accelerate", "numpy", "snakemake"),
    *("scikit-image", "nltk", "rouge-score", "sentence-transformers", "umap-learn"),
)


def run_stage(stage: str, *, spec_file: Path, store_folder: Path, stamp: Path) -> None:
    """Build the object of a frozen spec unless the store has it, then touch its stamp.

    Raises UserError where the spec or the code changed since planning, an input is missing or damaged, the
    disk is full, or the stage itself found something that the user can put right.
    """
    os.umask(permissions.umask(store_folder))
    frozen = read_frozen(spec_file)
    store, key, spec = Store(store_folder), frozen["key"], frozen["spec"]
    if spec["stage"] != stage:
        raise UserError(f"{spec_file}: is a spec of {spec['stage']}, not of {stage}; run the rule of that name")
    try:
        store.object(stage, key).parent.mkdir(parents=True, exist_ok=True)
        if not store.has(stage, key):
            with store.lock(stage, key) as lock:
                if not store.has(stage, key):
                    _build(store, frozen, lock)
    except Exception as error:
        said = refusal(error)
        if said is None:
            raise
        raise UserError(f"{stage} {key} is left unfinished in the store {store_folder}: {said}") from error
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()


def _build(store: Store, frozen: dict[str, Any], lock) -> None:
    spec, key = frozen["spec"], frozen["key"]
    stage, started = spec["stage"], time.time()
    _check_code(spec, key)
    if not store.sealed(stage, key):
        module = importlib.import_module(f"mindeye2.stages.{stage}")
        # What was imported after the first look may have been edited after it.
        _check_code(spec, key)
        _run(module, store, frozen)
        outputs = module.OUTPUTS + getattr(module, "OPTIONAL", ())
        store.seal(stage, key, _manifest(frozen, started, time.time()), outputs)
    if not store.publish(stage, key, lock):
        raise UserError(f"{stage} {key}: another process took this build over; run the same command again")
    print(f"{stage} {key}: done in {time.time() - started:.1f} s", file=sys.stderr, flush=True)


def _check_code(spec: dict[str, Any], key: str) -> None:
    """UserError where the files are not those that the key was made with."""
    reread()
    stage = spec["stage"]
    if spec["code"] != code_label(stage):
        raise UserError(
            f"{stage} {key}: the code changed since planning (planned with {spec['code']}, now {code_label(stage)}); "
            "run snakemake again to plan with the present code"
        )


def _run(module: ModuleType, store: Store, frozen: dict[str, Any]) -> None:
    """Fill the work folder; RuntimeError where a declared output is not in it then."""
    spec, key = frozen["spec"], frozen["key"]
    stage, work = spec["stage"], store.work(spec["stage"], key)
    inputs = {role: [_input(store, name) for name in names] for role, names in spec["inputs"].items()}
    work.mkdir(exist_ok=True)
    print(f"{stage} {key}: building {', '.join(frozen['names'])}", file=sys.stderr, flush=True)
    os.environ[REPORT_VARIABLE] = str(work / REPORT_FILE)
    paths = {name: Path(path) for name, path in frozen["paths"].items()}
    networks = {name: Path(place) for name, place in frozen["networks"].items()}
    module.run(Job(stage, key, spec["config"], inputs, paths, work, frozen["free"], networks))
    for pattern in module.OUTPUTS:
        if not any(work.glob(pattern)):
            raise RuntimeError(f"{stage} {key}: finished without its declared output {pattern}")


def _manifest(frozen: dict[str, Any], started: float, ended: float) -> dict[str, Any]:
    """What an object says of itself, its files aside; times in seconds since 1970."""
    spec = frozen["spec"]
    return {
        "stage": spec["stage"],
        "key": frozen["key"],
        "spec": spec,
        "run": frozen["run"],
        "names": frozen["names"],
        "code": stage_digest(spec["stage"]),
        "git": _git_commit(),
        "versions": _versions(),
        "host": socket.gethostname(),
        "device": _device(),
        "gpus": _gpus(),
        "start": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "end": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ended)),
        "seconds": round(ended - started, 2),
        "seed": spec["config"].get("seed"),
    }


def _input(store: Store, name: str) -> Path:
    """Folder of an input object that was checked; a damaged one is set aside."""
    stage, key = name.split("/")
    if not store.has(stage, key):
        raise UserError(f"{name}: not in the store {store.root}; run snakemake again, which builds it first")
    problem = store.damage(stage, key, whole=False)
    if problem:
        try:
            aside = store.set_aside(stage, key)
        except FileNotFoundError:
            raise UserError(f"{name}: damaged, and another job set it aside; run snakemake again") from None
        raise UserError(f"{name}: damaged ({problem}), set aside as {aside}; run snakemake again, which rebuilds it")
    return store.object(stage, key)


def _git_commit() -> str | None:
    if not shutil.which("git") or not (ROOT.parent / ".git").exists():
        return None
    answer = subprocess.run(
        ["git", "-C", ROOT.parent, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() or None


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _device() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"cpu ({platform.machine()})"


def _gpus() -> int:
    """GPUs that were this job's: those that it could see, used or not."""
    torch = sys.modules.get("torch")
    return torch.cuda.device_count() if torch is not None else 0


def leave_on_sigterm() -> None:
    """Turn SIGTERM into SystemExit, so that a stage can write its checkpoint on the way out."""

    def leave(signum, frame):
        raise SystemExit(128 + signum)

    signal.signal(signal.SIGTERM, leave)
