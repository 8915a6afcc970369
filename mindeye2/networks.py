"""Where the networks of the metrics lie: in paths.weights, or where the library that fetches one keeps it."""

import os
from pathlib import Path

from mindeye2.published import published

METRIC_NETWORKS = ("alexnet", "inception", "efficientnet", "swav", "openai_clip_b", "sentence", "nltk", "gnet")
"""Where one's files are absent its columns stay empty, and the evaluation re-keys when they come."""

_NLTK = (("corpora/wordnet.zip", "corpora/wordnet/*"), ("tokenizers/punkt_tab.zip", "tokenizers/punkt_tab/english/*"))
"""What METEOR reads of nltk's data, packed or unpacked."""


def find_network(name: str, *, weights: Path, caches: bool) -> Path | None:
    """Folder or file of a network; None where there is none. Its own folder in ``weights`` comes first."""
    if (weights / name).is_dir():
        return weights / name
    return _in_cache(name) if caches else None


def network_files(name: str, place: Path) -> dict[str, Path]:
    """The files that make up a network: name inside ``place`` -> file."""
    if place.is_file():
        return {place.name: place}
    patterns = [pattern for part in _NLTK for pattern in part] if name == "nltk" else ["**/*"]
    files = sorted(path for pattern in patterns for path in place.glob(pattern) if path.is_file())
    return {str(path.relative_to(place)): path for path in files}


def absent(name: str) -> str:
    """Why a metric is left out."""
    return f"paths.weights has no {name}"


def _in_cache(name: str) -> Path | None:
    network = published().get(name)
    kept_by = network.cache if network else ""
    if kept_by == "torch":
        path = _cache("TORCH_HOME", "torch") / "hub" / "checkpoints" / network.files[0].name
        return path if path.is_file() else None
    if kept_by == "huggingface":
        return _snapshot(network.files[0].hub)
    if kept_by == "nltk":
        named = os.environ.get("NLTK_DATA") or "~/nltk_data"
        folders = [Path(folder).expanduser() for folder in named.split(os.pathsep)]
        return next((folder for folder in folders if _has_words(folder)), None)
    return None


def _snapshot(repository: str) -> Path | None:
    """The version of a Hugging Face repository that was fetched last."""
    hub = Path(os.environ.get("HF_HUB_CACHE") or _cache("HF_HOME", "huggingface") / "hub").expanduser()
    folder = hub / f"models--{repository.replace('/', '--')}"
    try:
        version = (folder / "refs" / "main").read_text().strip()
    except OSError:
        return None
    return folder / "snapshots" / version if (folder / "snapshots" / version).is_dir() else None


def _cache(variable: str, library: str) -> Path:
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get(variable) or f"{user}/{library}").expanduser()


def _has_words(folder: Path) -> bool:
    return all(any(True for pattern in part for _ in folder.glob(pattern)) for part in _NLTK)
