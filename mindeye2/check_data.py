"""``mindeye2 check-data``: what a configuration reads, what of it is there, and how large the rest of the download is.

The list comes from planning itself, so it cannot differ from what a run reads. Files are looked at, not read: their
sizes, and the headers that tell a truncated one.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mindeye2.config import Config
from mindeye2.data import layout
from mindeye2.data.layout import Need
from mindeye2.data.sizes import Size, official_size
from mindeye2.errors import UserError
from mindeye2.identity import STAGES
from mindeye2.networks import network_files
from mindeye2.plan import make_plan
from mindeye2.sources import Fingerprints
from mindeye2.units import show_bytes

SHOWN_PER_GROUP = 2
"""Missing files named one by one; of a whole subject that is missing, nobody reads forty names."""


class Survey(Fingerprints):
    """Stands in for the fingerprints while planning: notes each raw file, there or not, and hashes none.

    The sources of a node name its networks and where each lies, ``weights/NAME`` -> ``{"place": PLACE}``, and nothing
    else.
    """

    def __init__(self, config: Config):
        super().__init__(config, Path(os.devnull))
        self.needs: dict[Need, None] = {}
        self.networks: dict[tuple[str, Path], bool] = {}
        """Name and place -> whether there is no run without it; one name may have several places, as SDXL has."""

    def of(self, root: str, relative: str) -> dict[str, int]:
        self.needs[Need(root, root, (relative,))] = None
        return {"size": 0}

    def files(self, needs: Sequence[Need]) -> dict[str, dict]:
        self.needs |= dict.fromkeys(needs)
        return {}

    def network(
        self, name: str, place: Path | None = None, *, inside: str | None = None, part: str = ""
    ) -> dict[str, dict]:
        found = place or self.root("weights") / Path(inside or name).expanduser()
        self.networks[name, found] = self.networks.get((name, found), False) or place is None
        return {f"weights/{name}": {"place": str(found)}}

    def pictures(self) -> dict[str, dict]:
        return {}

    def place(self, name: str, *, caches: bool) -> Path | None:
        found = super().place(name, caches=caches)
        self.networks.setdefault((name, found or self.root("weights") / name), False)
        return found


@dataclass
class Group:
    """The files of one stage and subject, or of one network."""

    name: str
    needed: int = 0
    there: dict[Path, int] = field(default_factory=dict)
    """Size of each file."""
    missing: dict[str, Size | None] = field(default_factory=dict)
    """Path -> size, where that is known; what does not lie below paths.dataset begins with the name of its root."""
    spared: list[str] = field(default_factory=list)
    """Not there and not needed."""
    damaged: dict[str, Size | None] = field(default_factory=dict)
    """What is wrong, one line each -> size of the whole file, where that is known."""


@dataclass(frozen=True)
class Findings:
    config: Config
    groups: list[Group]

    @property
    def complete(self) -> bool:
        return not any(group.missing or group.damaged for group in self.groups)


def check_data(config: Config) -> Findings:
    """Look at every raw file that the configuration's matrix needs."""
    survey = Survey(config)
    make_plan(config, prints=survey)
    groups: dict[str, Group] = {}
    for need in survey.needs:
        name = need.used_by if need.root in ("dataset", need.used_by) else f"{need.used_by}, {need.root}"
        _look(groups.setdefault(name, Group(name)), survey.root(need.root), need, official=config.simulate is None)
    data = sorted(groups.values(), key=lambda group: (_place(group.name), group.name))
    networks = [_network(place, name, required) for (name, place), required in survey.networks.items()]
    return Findings(config, data + networks)


def _place(name: str) -> int:
    stages = [stage for stage in STAGES if name.startswith(stage)]
    return STAGES.index(stages[0]) if stages else len(STAGES)


def _look(group: Group, folder: Path, need: Need, *, official: bool) -> None:
    path = layout.find(folder, need)
    name = str(need) if need.root == "dataset" else f"{need.root}/{need}"
    if path is not None:
        group.needed += 1
        _add(group, folder / path, official_size(path) if official else None)
    elif need.optional:
        group.spared.append(name)
    else:
        group.needed += 1
        group.missing[name] = official_size(need.paths[0]) if official else None


def _network(place: Path, name: str, needed: bool) -> Group:
    group = Group(f"weights {name}")
    for path in network_files(name, place).values():
        group.needed += 1
        _add(group, path)
    if needed and not group.there:
        group.needed = 1
        group.missing[f"weights/{place.name}/"] = None
    return group


def _add(group: Group, path: Path, size: Size | None = None) -> None:
    try:
        group.there[path] = path.stat().st_size
        layout.check_file(path)
    except UserError as error:
        group.damaged[str(error)] = size


def describe(findings: Findings) -> Iterator[str]:
    """Lines for a terminal: a table of the groups, the files that are missing or damaged, totals, free space."""
    models = ["models"] if any(group.name == "models" for group in findings.groups) else []
    for name in ("dataset", "captions", "weights", *models):
        folder = _folder(findings, name)
        yield f"{name:<8}  {folder}{'' if folder.is_dir() else '  (no such folder)'}"
    yield ""
    yield from _table(findings.groups)
    yield ""
    yield from (
        f"damaged   {line}" for line in dict.fromkeys(line for each in findings.groups for line in each.damaged)
    )
    told: set[str] = set()
    for group in findings.groups:
        names = [name for name in group.missing if name not in told]
        told.update(names)
        # One more name takes as much room as saying that there is one more.
        shown = names if len(names) <= SHOWN_PER_GROUP + 1 else names[:SHOWN_PER_GROUP]
        yield from (f"missing   {name}" for name in shown)
        if len(shown) < len(names):
            yield f"          and {len(names) - len(shown)} more for {group.name}"
    spared = dict.fromkeys(name for group in findings.groups for name in group.spared)
    yield from (f"optional  {name} is not there" for name in spared)
    yield from _totals(findings)


def _table(groups: Sequence[Group]) -> Iterator[str]:
    rows = [("needed for", "files", "there", "missing")]
    for group in groups:
        if group.needed:
            there = show_bytes(sum(group.there.values())) if group.there else "-"
            wrong = _sum(group.missing) or ("damaged" if group.damaged else "-")
            rows.append((group.name, f"{len(group.there)} of {group.needed}", there, wrong))
        else:
            rows.append((group.name, "none", "-", "optional"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers in rows:
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        yield "  ".join([name.ljust(widths[0]), *cells])


def _totals(findings: Findings) -> Iterator[str]:
    missing = {path: size for group in findings.groups for path, size in group.missing.items()}
    damaged = {line: size for group in findings.groups for line, size in group.damaged.items()}
    wanted = {**missing, **damaged}
    if findings.complete:
        yield "everything that is needed is there"
    else:
        yield f"{len(missing)} missing and {len(damaged)} damaged: {_sum(wanted)} to download"
    if any(size and not size.exact for size in wanted.values()):
        yield "~ is an estimate; a size without it follows from the shape and number format of the data"
    if None in wanted.values():
        yield "? is a size that is not known beforehand"
    for name in ("dataset", "store"):
        folder = _folder(findings, name).absolute()
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        short = name == "dataset" and free < sum(size.bytes for size in wanted.values() if size)
        yield f"{show_bytes(free)} free for the {name}, at {folder}{', less than is missing' if short else ''}"


def _folder(findings: Findings, name: str) -> Path:
    return Path(getattr(findings.config.paths, name)).expanduser()


def _sum(missing: Mapping[str, Size | None]) -> str:
    """``~12.3 GiB + ?``: a tilde where a part is estimated, ``?`` where one is not known, empty for no file."""
    known = [size for size in missing.values() if size is not None]
    parts = []
    if known:
        sign = "" if all(size.exact for size in known) else "~"
        parts.append(f"{sign}{show_bytes(sum(size.bytes for size in known))}")
    if len(known) < len(missing):
        parts.append("?")
    return " + ".join(parts)
