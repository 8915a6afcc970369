"""Deleting what no kept view reaches, and looking for damage.

The store's roots are in ``.roots/``: a file for each view, and one for each run from its start until its view shows it,
however often it fails in between. The objects that they keep stand in the file itself, since a colleague's results may
lie where nobody else can look.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mindeye2 import permissions
from mindeye2.errors import UserError
from mindeye2.locks import Lock, is_forsaken
from mindeye2.progress import track
from mindeye2.store import DAMAGED, REMOVED, Store, write_atomically

ROOTS = ".roots"
VIEW_MANIFEST = "manifest.json"
COLLECTED = re.compile(rf"([0-9a-f]{{20}})(\.work)?|\.([0-9a-f]{{20}})(\.work)?{re.escape(REMOVED)}")
"""Names of folders that a collection may delete: an object, a work folder, and either half removed."""


def reachable(store: Store) -> set[str]:
    """``stage/key`` of every object that a registered view, or a run that is not finished, needs.

    From each root's objects the inputs are followed through the manifests, so that an object whose plan was
    made elsewhere keeps its own inputs too. UserError where a root cannot be read.
    """
    waiting = [name for _, root in _roots(store) if _holds(root) for name in root["objects"]]
    kept: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in kept:
            continue
        kept.add(name)
        stage, _, key = name.partition("/")
        if store.has(stage, key):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
                for names in store.manifest(stage, key)["spec"]["inputs"].values():
                    waiting.extend(names)
    return kept


def _roots(store: Store) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every root with what it says; a view's later objects, where it can be read, with those it was registered with."""
    folder = store.root / ROOTS
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            content = json.loads(path.read_text())
            objects = list(content["objects"])
        except FileNotFoundError:
            continue
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UserError(
                f"{path}: cannot be read ({error}), so it is not known which objects it keeps; "
                "remove it if you know its run to be over and its results to be of no use"
            ) from None
        if "run" not in content and "place" in content:
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
                objects += json.loads(Path(content["place"], VIEW_MANIFEST).read_text())["objects"]
        yield path, {**content, "objects": objects}


def _holds(root: dict[str, Any]) -> bool:
    """Whether a root keeps its objects: until the folder of the view, or the run's checkout, is known to be gone."""
    try:
        os.stat(root.get("place", "/"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def unfinished(store: Store) -> list[tuple[Path, str, str]]:
    """Root, name and checkout of each run whose objects are kept though no view shows them."""
    return [(path, root["run"], root["place"]) for path, root in _roots(store) if "run" in root and _holds(root)]


def register_root(view: Path, objects: list[str], store: Store) -> None:
    """Tell the store that a view keeps these objects, as long as its folder is there."""
    place = os.path.abspath(view)
    _write_root(store, f"view-{_digest(place)}.json", {"place": place, "objects": objects})


def register_run(run: str, objects: list[str], store: Store) -> None:
    """Keep the objects of a run of the present checkout from being collected, until it is finished or planned anew."""
    _write_root(store, _run_root(run), {"run": run, "place": os.getcwd(), "objects": objects})


def release_run(run: str, store: Store) -> None:
    """The run is finished: from now on its view alone keeps its objects."""
    (store.root / ROOTS / _run_root(run)).unlink(missing_ok=True)


def _run_root(run: str) -> str:
    return f"run-{_digest(os.path.join(os.getcwd(), run))}.json"


def _digest(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:20]


def _write_root(store: Store, name: str, content: dict[str, Any]) -> None:
    with permissions.inside(store.root):
        (store.root / ROOTS).mkdir(parents=True, exist_ok=True)
        write_atomically(store.root / ROOTS / name, json.dumps(content))


def garbage(store: Store, kept: set[str]) -> list[Path]:
    """Finished objects and abandoned work folders that are not ``kept``, and what was set aside as damaged.

    What somebody builds is none; what a collection that was killed had begun to remove is, and so is the work folder of
    an object that is there. No other name is touched, whatever folder is taken for a store.
    """
    found = []
    for stage in store.stages():
        for path in sorted((store.root / stage).iterdir()):
            name = COLLECTED.fullmatch(path.name)
            if name is None or not path.is_dir():
                continue
            whole, work, begun, _ = name.groups()
            left = work and store.has(stage, whole)
            if begun or ((left or f"{stage}/{whole}" not in kept) and is_forsaken(store.lock(stage, whole).path)):
                found.append(path)
    aside = store.root / DAMAGED
    return found + sorted(path for path in (aside.iterdir() if aside.is_dir() else ()) if path.is_dir())


def collect(store: Store, *, dry_run: bool) -> list[tuple[Path, int]]:
    """Delete the garbage; returns each folder with its bytes.

    Deleting takes long, and runs begin meanwhile: whether an object is needed, or built, is looked at again when its
    turn comes.
    """
    seen, kept = _state(store), reachable(store)
    deleted = []
    for path in garbage(store, kept):
        size = store.size(path)
        if not dry_run:
            if (now := _state(store)) != seen:
                seen, kept = now, reachable(store)
            with permissions.inside(store.root):
                if not _delete(store, path, kept):
                    continue
        deleted.append((path, size))
    return deleted


def _state(store: Store) -> list[tuple[str, int]]:
    """Changes when a root comes, goes or is renewed."""
    with contextlib.suppress(FileNotFoundError), os.scandir(store.root / ROOTS) as entries:
        return sorted((entry.name, entry.stat(follow_symlinks=False).st_mtime_ns) for entry in entries)
    return []


def _delete(store: Store, path: Path, kept: set[str]) -> bool:
    """Remove one folder unless it is needed, built or gone by now; whether it was removed."""
    stage, name = path.parent.name, COLLECTED.fullmatch(path.name)
    lock = None
    if name and name[1]:
        left = name[2] and store.has(stage, name[1])
        if f"{stage}/{name[1]}" in kept and not left:
            return False
        place = store.lock(stage, name[1]).path
        lock = Lock(place, takeover_s=0.0) if is_forsaken(place) else store.lock(stage, name[1])
        if not (lock.acquire() or lock.acquire()):
            return False
    try:
        store.remove(path)
    except FileNotFoundError:
        return False
    finally:
        if lock:
            lock.release()
    return True


def verify(store: Store) -> Iterator[tuple[str, str, Path | None]]:
    """Re-hash every object and set the damaged ones aside: ``(stage/key, what is wrong, where it is now)``.

    One that cannot be read at present stays where it is: None.
    """
    objects = list(store.objects())
    for stage, key in track(objects, "verify: objects", len(objects)):
        name = f"{stage}/{key}"
        try:
            problem = store.damage(stage, key, whole=True)
        except OSError as error:
            yield name, f"{error.filename}: {error.strerror}", None
            continue
        # Somebody else may have collected it, or set it aside, meanwhile.
        if problem and store.has(stage, key):
            with contextlib.suppress(FileNotFoundError):
                yield name, problem, store.set_aside(stage, key)
