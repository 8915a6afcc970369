"""Fingerprints of raw files: how data that no stage makes enters a key."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mindeye2.config import Config
from mindeye2.data import layout
from mindeye2.errors import UserError
from mindeye2.networks import find_network, network_files
from mindeye2.progress import Progress
from mindeye2.store import canonical_json, file_sha256, write_atomically

SHOW_PROGRESS_FROM_BYTES = 1 << 30
MODEL_FILES = ("model.safetensors", "model.json")


@dataclass
class Fingerprints:
    """Size and sha256 of raw files, hashed once per path, size and modification time and remembered.

    ``memory`` is the file that remembers. Files are looked at (opened, unpacked where small) when they are
    hashed, so a truncated download is found while planning.
    """

    config: Config
    memory: Path
    _known: dict[str, list] = field(default_factory=dict)
    _changed: bool = False

    def __post_init__(self):
        try:
            self._known = json.loads(self.memory.read_text())
        except (OSError, ValueError):
            self._known = {}

    def root(self, name: str) -> Path:
        return Path(getattr(self.config.paths, name)).expanduser()

    def of(self, root: str, relative: str) -> dict[str, int | str]:
        """``{"size": …, "sha256": …}`` of one file; without sha256 where dataset.fingerprint is ``size``.

        Weights are always hashed: a network is its weights.
        """
        path = self.root(root) / relative
        try:
            status = path.stat()
        except OSError as error:
            first = "write it by mindeye2 import-weights" if root == "models" else "download it"
            raise UserError(
                f"{path}: {error.strerror}; {first}, or correct paths.{root} (or MINDEYE2_{root.upper()})"
            ) from None
        by_content = root in ("weights", "models") or self.config.dataset.fingerprint == "sha256"
        return self._print(path, status, by_content=by_content)

    def _print(self, path: Path, status: os.stat_result, *, by_content: bool) -> dict[str, int | str]:
        name, stamp = os.path.abspath(path), [status.st_size, status.st_mtime_ns]
        known = self._known.get(name)
        if known is None or known[:2] != stamp or (by_content and known[2] is None):
            # One hole stands for a file in a tree to plan with before the download; a hash would take it for content.
            if by_content or not _is_hole(status):
                layout.check_file(path)
            known = [*stamp, sha256_with_progress(path) if by_content else None]
            self._known[name] = known
            self._changed = True
        return {"size": known[0], "sha256": known[2]} if by_content else {"size": known[0]}

    def files(self, needs: Sequence[layout.Need]) -> dict[str, dict]:
        """Fingerprints of the files behind ``needs``; UserError names the first one that is missing."""
        return {f"{root}/{path}": self.of(root, path) for root, path in layout.found(self.root, needs)}

    def network(
        self, name: str, place: Path | None = None, *, inside: str | None = None, part: str = ""
    ) -> dict[str, dict]:
        """Fingerprints of every file of a frozen network, or of a ``part`` of it; UserError where there is none.

        It lies at ``place``, or in paths.weights as ``inside``, a folder or file, by default of its own name; the
        names in the answer do not tell where.
        """
        place = (place or self.root("weights") / Path(inside or name).expanduser()) / part
        files = network_files(name, place)
        if not files:
            remedy = "put its weights there" if inside not in (None, name) else "run mindeye2 weights fetch"
            raise UserError(f"{place}: no such network; {remedy}, or correct paths.weights (or MINDEYE2_WEIGHTS)")
        return {
            f"weights/{Path(name, part, inside)}": self._print(path, path.stat(), by_content=True)
            for inside, path in files.items()
        }

    def pictures(self) -> dict[str, dict]:
        """One fingerprint of all of paths.pictures: how many files, their size, and a hash of names, sizes and, unless
        dataset.fingerprint is ``size``, contents."""
        root, by_content = self.root("pictures"), self.config.dataset.fingerprint == "sha256"
        files = layout.picture_files(root)
        shown = Progress("fingerprints of the pictures", len(files)) if by_content else None
        prints = {}
        for path in files:
            prints[path.relative_to(root).as_posix()] = self._print(path, path.stat(), by_content=by_content)
            if shown:
                shown.advance()
        if shown:
            shown.close()
        digest = hashlib.sha256(canonical_json(prints).encode()).hexdigest()
        size = sum(each["size"] for each in prints.values())
        return {"pictures": {"files": len(prints), "size": size, "sha256": digest}}

    def model(self, folder: str) -> dict[str, dict]:
        """Fingerprints of an imported model's files, below paths.models; its place enters no key."""
        return {f"imported/{name}": self.of("models", f"{folder}/{name}") for name in MODEL_FILES}

    def place(self, name: str, *, caches: bool) -> Path | None:
        """Where a network that may be absent lies; see ``find_network``."""
        return find_network(name, weights=self.root("weights"), caches=caches)

    def remember(self) -> None:
        if self._changed:
            write_atomically(self.memory, json.dumps(self._known))
            self._changed = False


def _is_hole(status: os.stat_result) -> bool:
    return status.st_size > 0 and status.st_blocks == 0


def sha256_with_progress(path: Path) -> str:
    """sha256 of a file, reported when it is large."""
    if path.stat().st_size < SHOW_PROGRESS_FROM_BYTES:
        return file_sha256(path)
    progress = Progress(f"hashing {path.name}", 1)
    digest = file_sha256(path)
    progress.advance()
    progress.close()
    return digest
