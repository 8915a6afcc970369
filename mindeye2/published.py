"""The table of files from elsewhere, ``frozen/weights.yaml``: who publishes which network, and under which terms."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent / "frozen" / "weights.yaml"


@dataclass(frozen=True)
class File:
    """One published file."""

    network: str
    name: str
    """Path in the network's folder; of a file that is converted, its published name."""
    at: str
    """Path below ``hub`` or ``url``."""
    hub: str = ""
    """Repository of the Hugging Face hub, ``datasets/`` before it where it is one of data sets."""
    revision: str = ""
    url: str = ""
    size: int | None = None
    """Bytes, where it is known exactly."""
    about: int = 0
    """Bytes, where it is not."""
    sha256: str = ""
    """Hexadecimal; empty where it is not known, its first digits where only those are."""
    instead: str = ""
    """What in the network's folder does as well."""
    convert: str = ""
    """How ``makes`` come out of it: a name of ``mindeye2.convert``; empty for a file that is used as it is."""
    makes: tuple[str, ...] = ()
    """Paths in the network's folder that are there once it is."""

    def __str__(self) -> str:
        return f"{self.network}/{self.name}"

    def lacking_in(self, folders: Iterable[Path]) -> list[str]:
        """What this file should have put into one of ``folders``."""

        def there(name: str) -> bool:
            return bool(name) and any((folder / name).exists() for folder in folders)

        return [] if there(self.instead) else [name for name in self.makes if not there(name)]


@dataclass(frozen=True)
class Network:
    """A frozen network, which has a folder of its own in paths.weights."""

    name: str
    what: str
    licence: str
    stages: tuple[str, ...]
    files: tuple[File, ...]
    metrics: tuple[str, ...] = ()
    """Columns that stay empty without it."""
    cache: str = ""
    """The library in whose cache it may lie instead: torch, huggingface or nltk."""
    along: str = ""
    """The network whose published file it is made of; it has no ``files`` then."""


@cache
def published() -> dict[str, Network]:
    """The table, by the name of the network."""
    import yaml

    return {name: _network(name, entry) for name, entry in yaml.safe_load(TABLE.read_text()).items()}


def _network(name: str, entry: dict[str, Any]) -> Network:
    origins = entry.pop("from", [])
    files = tuple(
        _file(name, inside, details, {key: value for key, value in origin.items() if key != "files"})
        for origin in origins
        for inside, details in origin["files"].items()
    )
    lists = {key: tuple(entry.pop(key, ())) for key in ("stages", "metrics")}
    return Network(name, files=files, **lists, **entry)


def _file(network: str, name: str, details: dict[str, Any], origin: dict[str, str]) -> File:
    details = {"at": name, **details}
    makes = tuple(details.pop("makes", [name]))
    return File(network, name, makes=makes, instead=details.pop("or", ""), **details, **origin)
