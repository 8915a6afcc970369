"""What the text of the methods states beyond the settings: sizes, steps, versions, numbers of test items."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindeye2.identity import ROOT
from mindeye2.objects import read_csv, read_json

SHIPPED = ROOT / "demo" / "weights" / "manifest.json"
"""Lists the project's own tiny networks."""


@dataclass(frozen=True)
class Facts:
    """Of the variant that the text describes; what is not known is empty."""

    voxels: Mapping[int, int]
    """Subject -> its voxels."""
    tokens: tuple[int, int] | None
    """Number and width of the tokens that are predicted of each picture."""
    lowlevel: bool
    retrieval: bool
    steps: Mapping[tuple[str, int], Sequence[int]]
    """Stage and number of sessions -> different numbers of training steps, ascending."""
    counts: Mapping[tuple[str, str], Sequence[int]]
    """Metric and picture that were computed -> different numbers of test items, ascending."""
    absent: Sequence[str]
    """Metrics without any value."""
    versions: Mapping[str, Sequence[str]]
    commits: Sequence[str]
    own_networks: bool
    """Whether the frozen networks are those that come with the project."""


def gather(
    cells: Iterable[Mapping[str, Any]],
    matrix: Path,
    *,
    variant: str,
    store: Path,
    manifests: Sequence[Mapping[str, Any]],
) -> Facts:
    """Read the finished objects of ``variant``.

    ``cells`` name their objects as ``stage/key`` below ``store``, ``matrix`` is the run's matrix.csv.
    """
    own = [cell for cell in cells if cell["variant"] == variant]
    voxels, steps, sizes = {}, {}, {}
    for cell in own:
        sizes = _sizes(store / cell["finetune"][0])
        if sizes:
            voxels[cell["subject"]] = sizes["voxels"][0]
        trained = [("pretrain", cell["pretrain"])] if cell["pretrain"] else []
        for stage, name in [*trained, *(("finetune", name) for name in cell["finetune"])]:
            steps.setdefault((stage, cell["sessions"]), set()).update(_steps(store / name))
    rows = [row for row in read_csv(matrix) if row["variant"] == variant]
    counts: dict[tuple[str, str], set[int]] = {}
    for row in rows:
        if row["value"]:
            counts.setdefault((row["metric"], row["picture"]), set()).add(int(row["n"]))
    measured = {metric for metric, _ in counts}
    return Facts(
        voxels=voxels,
        tokens=(sizes["tokens"], sizes["clip_dim"]) if sizes else None,
        lowlevel=bool(sizes.get("lowlevel_latents")),
        retrieval=bool(sizes.get("retrieval")),
        steps={place: sorted(found) for place, found in steps.items() if found},
        counts={column: sorted(found) for column, found in counts.items()},
        absent=[name for name in dict.fromkeys(row["metric"] for row in rows) if name not in measured],
        versions=_versions(manifests),
        commits=sorted({manifest["git"] for manifest in manifests if manifest["git"]}),
        own_networks=_own_networks(manifests),
    )


def _sizes(model: Path) -> dict[str, Any]:
    return read_json(model / "model.json")["sizes"] if (model / "model.json").is_file() else {}


def _steps(model: Path) -> list[int]:
    """The last step of a training; an imported model has no history."""
    path = model / "history.csv"
    return [int(read_csv(path, ("step",))[-1]["step"])] if path.is_file() else []


def _versions(manifests: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for manifest in manifests:
        for package, version in manifest["versions"].items():
            found.setdefault(package, set()).add(version)
    return {package: sorted(versions) for package, versions in found.items()}


def _own_networks(manifests: Iterable[Mapping[str, Any]]) -> bool:
    shipped: set[str] = set()
    with suppress(OSError):
        shipped = {entry["sha256"] for entry in json.loads(SHIPPED.read_text())["files"].values()}
    sources = [source for manifest in manifests for source in manifest["spec"].get("sources", {}).values()]
    return any(source.get("sha256") in shipped for source in sources)
