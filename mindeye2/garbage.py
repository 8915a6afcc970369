"""Deleting what no kept view reaches, and looking for damage.

The store's roots are in ``.roots/``: a link to each view's manifest, and a file for each run in progress.
"""

import contextlib
import json
import os
import socket
from pathlib import Path

from mindeye2 import permissions
from mindeye2.store import REMOVED, Store

ROOTS = ".roots"


def reachable(store: Store) -> set[str]:
    """``stage/key`` of every object that a registered view, or a run in progress, needs.

    From each root's objects the inputs are followed through the manifests, so that an object whose plan was
    made elsewhere keeps its own inputs too.
    """
    waiting: list[str] = []
    folder = store.root / ROOTS
    for root in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError, ValueError):
            content = json.loads(root.read_text())
            if "pid" not in content or _alive(content):
                waiting.extend(content["objects"])
    kept: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in kept:
            continue
        kept.add(name)
        stage, key = name.split("/")
        if store.has(stage, key):
            with contextlib.suppress(OSError, ValueError):
                for names in store.manifest(stage, key)["spec"]["inputs"].values():
                    waiting.extend(names)
    return kept


def _alive(run: dict) -> bool:
    """Whether a workflow run is in progress; one on another host is believed."""
    if run["host"] != socket.gethostname():
        return True
    return Path(f"/proc/{run['pid']}").exists()


def register_root(manifest: Path, store: Store) -> None:
    """Tell the store that this view keeps its objects; a root whose file is gone keeps nothing."""
    folder = store.root / ROOTS
    with permissions.inside(store.root):
        folder.mkdir(parents=True, exist_ok=True)
    path = os.path.abspath(manifest)
    name = path.strip("/").replace("/", "-")[-200:]
    root = folder / name
    root.unlink(missing_ok=True)
    root.symlink_to(path)


def _run_root(store: Store) -> Path:
    return store.root / ROOTS / f"run-{socket.gethostname()}-{os.getpid()}.json"


def register_run(objects: list[str], store: Store) -> None:
    """Keep the objects of a run in progress, this process, from being collected."""
    root = _run_root(store)
    with permissions.inside(store.root):
        root.parent.mkdir(parents=True, exist_ok=True)
        root.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "objects": objects}))


def release_run(store: Store) -> None:
    """The run is over: from now on its view alone keeps its objects."""
    _run_root(store).unlink(missing_ok=True)


def garbage(store: Store) -> list[Path]:
    """Finished objects and abandoned work folders that nothing needs; locked ones are being built.

    So is what a collection that was killed had begun to remove, and the work folder of an object that is there.
    """
    kept, found = reachable(store), []
    for stage in store.stages():
        for path in sorted((store.root / stage).iterdir()):
            key = path.name.removesuffix(".work")
            hidden = path.name.startswith(".") and not path.name.endswith(REMOVED)
            left = path.name.endswith(".work") and store.has(stage, key)
            wanted = (f"{stage}/{key}" in kept and not left) or store.locked(stage, key)
            if path.is_dir() and not hidden and not wanted:
                found.append(path)
    return found


def collect(store: Store, *, dry_run: bool) -> list[tuple[Path, int]]:
    """Delete the garbage; returns each folder with its bytes."""
    sizes = [(path, store.size(path)) for path in garbage(store)]
    if not dry_run:
        for path, _ in sizes:
            store.remove(path)
    return sizes


def verify(store: Store) -> list[tuple[str, str, Path]]:
    """Re-hash every object; each damaged one is set aside: ``(stage/key, what is wrong, where it is now)``."""
    damaged = []
    for stage, key in list(store.objects()):
        problem = store.damage(stage, key, whole=True)
        if problem:
            damaged.append((f"{stage}/{key}", problem, store.set_aside(stage, key)))
    return damaged
