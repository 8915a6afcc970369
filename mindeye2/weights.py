"""``mindeye2 weights``: the frozen networks of a configuration, where each lies, and whether it is the published one.

The list comes from planning itself, so it cannot differ from what a run reads.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindeye2.check_data import Survey
from mindeye2.config import Config
from mindeye2.errors import UserError
from mindeye2.networks import network_files
from mindeye2.plan import make_plan
from mindeye2.published import File, published
from mindeye2.sources import sha256_with_progress
from mindeye2.store import write_atomically
from mindeye2.units import show_bytes

RECORD = "fetched.json"
"""File in paths.weights that says of each file there where it came from, its size and its sha256."""

NOTHING = ("its folder",)
"""What a network lacks of which nothing is there."""


@dataclass(frozen=True)
class Need:
    """One network that the plan of a configuration names."""

    name: str
    place: Path
    """Where it is found, or its folder in paths.weights."""
    stages: tuple[str, ...]
    metrics: tuple[str, ...]
    """Columns that stay empty without it; a network without any is needed."""
    lacking: tuple[str, ...]
    """Files of its folder that are not there."""
    files: tuple[File, ...]
    """The published files that bring them."""

    @property
    def size(self) -> str:
        """Bytes of the files there, or of the published ones to fetch."""
        if self.lacking:
            return show_size(self.files)
        return show_bytes(self.bytes)

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in network_files(self.name, self.place).values())


def needed(config: Config) -> list[Need]:
    """Every network that the configuration's stages and metrics read, in the order in which data flows."""
    survey = Survey(config)
    plan = make_plan(config, prints=survey)
    stages: dict[tuple[str, Path], dict[str, None]] = {}
    for node in plan.ordered():
        for source, said in node.spec["sources"].items():
            if source.startswith("weights/"):
                network = source.removeprefix("weights/"), Path(said["place"])
                stages.setdefault(network, {})[node.stage] = None
    folder = survey.root("weights")
    # A metric's network that is nowhere is in no node.
    return [
        _need(*network, tuple(stages.get(network, ["evaluate"])), survey.networks[network], folder)
        for network in dict.fromkeys([*stages, *survey.networks])
    ]


def _need(name: str, place: Path, stages: tuple[str, ...], required: bool, folder: Path) -> Need:
    network = published().get(name)
    metrics = network.metrics if network and not required else ()
    if place != folder / name:
        there = bool(network_files(name, place))
        return Need(name, place, stages, metrics, () if there else NOTHING, ())
    source = published()[network.along] if network and network.along else network
    files = source.files if source else ()
    if not network_files(name, place):
        return Need(name, place, stages, metrics, NOTHING, files)
    if source is not network:
        return Need(name, place, stages, metrics, (), ())
    lacking = {file: file.lacking_in([place]) for file in files}
    names = tuple(inside for inner in lacking.values() for inside in inner)
    return Need(name, place, stages, metrics, names, tuple(file for file, inner in lacking.items() if inner))


def describe(config: Config) -> Iterator[str]:
    """Lines for a terminal: one per network, what is missing, totals and free space."""
    needs, folder = needed(config), weights_folder(config)
    yield f"weights  {folder}{'' if folder.is_dir() else '  (no such folder)'}"
    yield ""
    rows = [("network", "read by", "size", "state", "published under")]
    for need in needs:
        network, own_folder = published().get(need.name), need.place == folder / need.name
        if not own_folder and not (network and network.cache):
            network = None
        state = f"lacks {', '.join(need.lacking[:2])}" if need.lacking else "there"
        if need.lacking == NOTHING:
            state = "missing"
        state += "" if own_folder else f", {need.place}"
        state += f" (for {', '.join(need.metrics)})" if need.lacking and need.metrics else ""
        licence = network.licence if network else "your own"
        size = f"with {network.along}" if network and network.along and need.lacking else need.size
        rows.append((need.name, ", ".join(need.stages), size, state, licence))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for name, stages, size, state, licence in rows:
        yield f"{name:<{widths[0]}}  {stages:<{widths[1]}}  {size:>{widths[2]}}  {state:<{widths[3]}}  {licence}"
    yield ""
    there = [need for need in needs if not need.lacking]
    to_get = dict.fromkeys(file for need in needs for file in need.files)
    yield f"{len(there)} of {len(needs)} networks are there, {show_bytes(sum(need.bytes for need in there))}"
    if to_get:
        yield f"{show_size(to_get)} to download: mindeye2 weights fetch"
    yield f"{show_bytes(free_bytes(folder))} free for the weights"


def complete(config: Config) -> bool:
    """Whether every network is there without which there is no run; columns of metrics may lack theirs."""
    return not any(need.lacking and not need.metrics for need in needed(config))


def show_size(files: Iterable[File]) -> str:
    """``9.5 GiB``; ``~9.5 GiB`` where one of the sizes is not known exactly; ``?`` of no file."""
    known = list(files)
    exact = all(file.size is not None for file in known)
    total = show_bytes(sum(file.about if file.size is None else file.size for file in known))
    return f"{'' if exact else '~'}{total}" if known else "?"


def weights_folder(config: Config) -> Path:
    return Path(config.paths.weights).expanduser()


def free_bytes(folder: Path) -> int:
    """What the file system has left where ``folder`` is or will be."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def read_record(folder: Path) -> dict[str, dict[str, Any]]:
    """``network/file`` -> origin, size and sha256 of what was fetched into ``folder``, where that is told."""
    try:
        content = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    entries = content.items() if isinstance(content, dict) else ()
    return {name: entry for name, entry in entries if isinstance(entry, dict) and isinstance(entry.get("sha256"), str)}


def add_to_record(folder: Path, entries: dict[str, dict[str, Any]]) -> None:
    write_atomically(folder / RECORD, json.dumps({**read_record(folder), **entries}, indent=1, sort_keys=True) + "\n")


def verify(config: Config) -> Iterator[tuple[str, bool]]:
    """Hash each file of the networks that are there: (line, whether it is as it should be).

    What a file should be is said by the record of its fetching or adoption, else by the table. A network of which no
    file is the published one, and none was fetched, is somebody's own.
    """
    recorded = read_record(weights_folder(config))
    for need in needed(config):
        if need.lacking:
            yield f"{need.name}: lacks {', '.join(need.lacking)}", bool(need.metrics)
            continue
        network = published().get(need.name)
        known = {file.name: file.sha256 for file in network.files if file.sha256} if network else {}
        known |= {
            name.removeprefix(f"{need.name}/"): entry["sha256"]
            for name, entry in recorded.items()
            if name.startswith(f"{need.name}/") and need.place == weights_folder(config) / need.name
        }
        files = network_files(need.name, need.place)
        found = {inside: sha256_with_progress(path) for inside, path in files.items() if inside in known}
        wrong = [inside for inside, sha256 in found.items() if not sha256.startswith(known[inside])]
        if wrong and len(wrong) == len(found) and not any(f"{need.name}/{inside}" in recorded for inside in wrong):
            yield f"{need.name}: not the published files, but your own or damaged ones, {need.place}", True
            continue
        for inside in wrong:
            yield (
                f"{files[inside]}: its sha256 is {found[inside]}, not {known[inside]}: damaged or another version; "
                "move it away and run mindeye2 weights fetch",
                False,
            )
        yield f"{need.name}: {len(found) - len(wrong)} of {len(files)} files verified, {need.place}", True


def chosen(needs: Sequence[Need], names: Sequence[str]) -> list[Need]:
    """The needs of these names, or all; UserError for a name that the configuration does not need."""
    known = dict.fromkeys(need.name for need in needs)
    for name in names:
        if name not in known:
            raise UserError(f"{name}: not needed by this configuration; choose from {', '.join(known)}")
    return [need for need in needs if not names or need.name in names]
