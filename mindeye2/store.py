"""Finished objects under the address of what they were made from.

``<root>/<stage>/<key>/`` is a finished object: its files, read-only, and ``manifest.json``. It is built in
``<key>.work/``, where checkpoints live and survive a kill, and appears by one rename. Its manifest comes before the
checkpoints go, so that a kill at any moment costs what came after a checkpoint, or nothing. An object that exists
is never rebuilt and never changed; a damaged one is set aside in ``<root>/.damaged/``.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from mindeye2 import permissions
from mindeye2.locks import Lock

MANIFEST = "manifest.json"
DAMAGED = ".damaged"
REMOVED = ".removed"
KEY = re.compile(r"[0-9a-f]{20}")
HASH_AT_USE_BYTES = 256 << 20


def canonical_json(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def spec_key(spec: dict[str, Any]) -> str:
    """Address of a spec: first 20 hex digits of the sha256 of its canonical JSON."""
    return hashlib.sha256(canonical_json(spec).encode()).hexdigest()[:20]


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader sees the old content or the new, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _damage(folder: Path, key: str, *, whole: bool) -> str | None:
    """What is wrong with a folder that a manifest describes, or None; OSError where it cannot be told.

    A file server that does not answer, or access that is refused, is no damage: what is called damaged is rebuilt.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        files = {name: (int(entry["size"]), entry["sha256"]) for name, entry in manifest["files"].items()}
        if spec_key(manifest["spec"]) != key:
            return f"{MANIFEST}: its spec does not give this key"
    except FileNotFoundError:
        return f"{MANIFEST}: missing"
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return f"{MANIFEST}: {type(error).__name__}: {error}"
    for name, (size, sha256) in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name}: missing"
        if path.stat().st_size != size:
            return f"{name}: {path.stat().st_size} bytes instead of {size}"
        if (whole or size <= HASH_AT_USE_BYTES) and file_sha256(path) != sha256:
            return f"{name}: content does not match its sha256"
    return None


@dataclass(frozen=True)
class Store:
    root: Path

    def object(self, stage: str, key: str) -> Path:
        return self.root / stage / key

    def work(self, stage: str, key: str) -> Path:
        return self.root / stage / f"{key}.work"

    def has(self, stage: str, key: str) -> bool:
        return self.object(stage, key).is_dir()

    def lock(self, stage: str, key: str) -> Lock:
        return Lock(self.root / stage / f".{key}.lock")

    def locked(self, stage: str, key: str) -> bool:
        return (self.root / stage / f".{key}.lock").exists()

    def keys(self, stage: str) -> set[str]:
        """Keys of the finished objects of a stage; one directory listing."""
        try:
            with os.scandir(self.root / stage) as entries:
                return {entry.name for entry in entries if KEY.fullmatch(entry.name)}
        except FileNotFoundError:
            return set()

    def stages(self) -> list[str]:
        if not self.root.is_dir():
            return []
        return sorted(entry.name for entry in self.root.iterdir() if entry.is_dir() and not entry.name.startswith("."))

    def objects(self) -> Iterator[tuple[str, str]]:
        for stage in self.stages():
            for key in sorted(self.keys(stage)):
                yield stage, key

    def manifest(self, stage: str, key: str) -> dict[str, Any]:
        return json.loads((self.object(stage, key) / MANIFEST).read_text())

    def size(self, folder: Path) -> int:
        """Bytes of the files below a folder, in which others may be writing: what goes meanwhile does not count."""
        total = 0
        for place, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    total += os.lstat(os.path.join(place, name)).st_size
        return total

    def seal(self, stage: str, key: str, manifest: dict[str, Any], outputs: tuple[str, ...] = ("*",)) -> None:
        """Declare the work folder finished: a manifest that lists what matches ``outputs`` with size and sha256."""
        work = self.work(stage, key)
        files = {
            name: {"size": path.stat().st_size, "sha256": file_sha256(path)}
            for path in sorted(work.rglob("*"))
            if path.is_file() and any(fnmatch(name := str(path.relative_to(work)), pattern) for pattern in outputs)
        }
        write_atomically(work / MANIFEST, json.dumps({**manifest, "files": files}, indent=1))

    def sealed(self, stage: str, key: str) -> bool:
        """Whether an earlier attempt finished the work folder and ended before ``publish`` did.

        Where what it sealed is damaged, the seal is broken and what it had made read-only removed.
        """
        work = self.work(stage, key)
        if not (work / MANIFEST).exists():
            return False
        if _damage(work, key, whole=True) is None:
            return True
        for path in work.rglob("*"):
            if path.is_file() and not path.stat().st_mode & stat.S_IWUSR:
                path.unlink()
        (work / MANIFEST).unlink(missing_ok=True)
        return False

    def publish(self, stage: str, key: str, lock: Lock) -> bool:
        """Turn the sealed work folder into the finished object; False if somebody else's takeover came first.

        What the manifest does not list is removed, every file is made read-only and flushed to disk, then
        the folder is renamed. ``permissions`` says who can read it.
        """
        work = self.work(stage, key)
        if not lock.held():
            return False
        listed = json.loads((work / MANIFEST).read_text())["files"].keys() | {MANIFEST}
        for path in sorted(work.rglob("*"), reverse=True):
            if path.is_dir():
                if not any(path.iterdir()):
                    path.rmdir()
            elif str(path.relative_to(work)) not in listed:
                path.unlink()
        permissions.finish(work, self.root)
        for path in sorted(work.rglob("*"), reverse=True):
            _sync(path)
        _sync(work)
        if not lock.held():
            return False
        os.rename(work, self.object(stage, key))
        _sync(work.parent)
        return True

    def damage(self, stage: str, key: str, *, whole: bool) -> str | None:
        """What is wrong with an object, or None.

        Sizes are always compared; contents of large files only when ``whole``, since reading 60 GB of cached
        tokens before every job would cost more than the job.
        """
        return _damage(self.object(stage, key), key, whole=whole)

    def set_aside(self, stage: str, key: str) -> Path:
        """Move a damaged object out of the way, so that it is rebuilt; returns where it is now."""
        aside = self.root / DAMAGED / f"{stage}-{key}-{time.strftime('%Y%m%dT%H%M%S')}"
        with permissions.inside(self.root):
            aside.parent.mkdir(exist_ok=True)
        os.rename(self.object(stage, key), aside)
        return aside

    def remove(self, folder: Path) -> None:
        """Delete an object or a work folder; it leaves its name first, so nobody sees half of it."""
        doomed = folder.with_name(f".{folder.name.removeprefix('.').removesuffix(REMOVED)}{REMOVED}")
        os.rename(folder, doomed)
        shutil.rmtree(doomed)
