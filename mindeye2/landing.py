"""How published files become a network's folder in paths.weights: whole, or not at all.

They gather in ``.fetch/NETWORK``, are converted there where the table says so, and get their folder's name by one
rename, since planning takes whatever is in a network's folder for the network.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from mindeye2.config import Config
from mindeye2.errors import UserError, refusal
from mindeye2.locks import Lock
from mindeye2.networks import network_files
from mindeye2.published import File, Network, published
from mindeye2.sources import sha256_with_progress
from mindeye2.store import file_sha256
from mindeye2.weights import add_to_record, weights_folder

DRAFTS = ".fetch"


@contextmanager
def drafts_of(config: Config) -> Iterator[Path]:
    """The folder ``.fetch`` of the weights folder, which nobody else works in meanwhile."""
    drafts = weights_folder(config) / DRAFTS
    try:
        drafts.mkdir(parents=True, exist_ok=True)
        lock = Lock(drafts / "lock")
        if not lock.acquire():
            print(f"{drafts}: another fetch works there; waiting for it", file=sys.stderr)
            lock.__enter__()
    except OSError as error:
        raise UserError(
            f"{error.filename or drafts}: {error.strerror}; correct paths.weights (or MINDEYE2_WEIGHTS)"
        ) from None
    try:
        yield drafts
    finally:
        lock.release()


def is_fetched(file: File, drafts: Path) -> bool:
    """Whether a published file is whole in ``drafts`` and waits for the others of its network."""
    return (drafts / file.network / file.name).is_file()


def land(config: Config, drafts: Path, network: Network) -> str | None:
    """Convert what is to be converted and give the network its folder, once all of its files are there.

    A network that comes along gets its folder too, unless it has one. None where files are not there.
    """
    folder, draft = weights_folder(config), drafts / network.name
    places = (draft, folder / network.name)
    waiting = [file for file in network.files if is_fetched(file, drafts)]
    if not waiting or any(file.lacking_in(places) for file in network.files if file not in waiting):
        return None
    for file in waiting:
        if file.convert:
            _convert(file, draft / file.name, draft)
    made = [network.name]
    for other in published().values():
        if other.along == network.name:
            if network_files(other.name, folder / other.name):
                # It may be somebody's own.
                shutil.rmtree(drafts / other.name, ignore_errors=True)
            else:
                made.append(other.name)
    for name in made:
        if (drafts / name).is_dir():
            try:
                _move(drafts / name, folder / name)
            except OSError as error:
                raise UserError(
                    f"{folder / name}: cannot take the files of {name} ({error.strerror}); move it away, make room or "
                    "correct paths.weights, and the same command goes on from there"
                ) from None
    for file in waiting:
        if file.convert:
            results = [f"{file.network}/{inside}" for inside in file.makes]
            results += [f"{name}/{inside}" for name in made[1:] for inside in network_files(name, folder / name)]
            add_to_record(
                folder,
                {
                    name: {
                        "from": str(file),
                        "size": (folder / name).stat().st_size,
                        "sha256": file_sha256(folder / name),
                    }
                    for name in results
                },
            )
    return f"{' and '.join(made)}: there, {folder / network.name}"


def _convert(file: File, source: Path, out: Path) -> None:
    from mindeye2.convert import CONVERSIONS

    try:
        CONVERSIONS[file.convert](source, out)
    except UserError:
        # Left where it is, the next fetch would take it for whole.
        refused = out.parent / "refused"
        refused.mkdir(exist_ok=True)
        source.replace(refused / f"{file.network}--{source.name}.not-converted")
        raise
    except (OSError, SafetensorError) as error:
        said = refusal(error) or f"{' '.join(str(error).split())}; make room or correct paths.weights"
        raise UserError(f"{out}: cannot be written: {said}") from None
    source.unlink()


def _move(draft: Path, final: Path) -> None:
    """Into a folder that is not there yet by one rename, into one that is there file by file."""
    if not final.exists():
        draft.rename(final)
        return
    for path in sorted(draft.rglob("*")):
        if path.is_file():
            target = final / path.relative_to(draft)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    shutil.rmtree(draft)


def adopt(config: Config, name: str, path: Path) -> str:
    """Take a network's published files, or some of them, from ``path``, a file or a folder, instead of the network.

    Files that are used as they are become symbolic links, so that tens of GB are not copied; the others are converted
    from where they are; no file that is in the network's folder is replaced. UserError where ``path`` holds none of
    them, or one whose hash is not the published one.
    """
    network = published().get(name)
    if network is None or not network.files:
        known = ", ".join(each.name for each in published().values() if each.files)
        raise UserError(f"{name}: not a network that is fetched; choose from {known}")
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; give the place of {name}'s published files")
    folder = weights_folder(config) / name
    found = {file: place for file in network.files if (place := _inside(path, file, alone=len(network.files) == 1))}
    if not found:
        wanted = ", ".join(file.at for file in network.files[:3])
        raise UserError(f"{path}: holds none of {name}'s published files ({wanted}, ...); give their folder or one")
    with drafts_of(config) as drafts:
        for file, place in found.items():
            sha256 = sha256_with_progress(place)
            if not sha256.startswith(file.sha256):
                raise UserError(
                    f"{place}: its sha256 is {sha256}, not {file.sha256} as published for {file}: damaged or another "
                    f"version; fetch it, or put a network of your own into {folder} yourself"
                )
            if not _there(folder, file, place, sha256):
                link = drafts / name / file.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(os.path.abspath(place))
            entry = {"from": os.path.abspath(place), "size": place.stat().st_size, "sha256": sha256}
            add_to_record(weights_folder(config), {str(file): entry})
        if line := land(config, drafts, network):
            return line
    if not any(file.lacking_in([folder]) for file in network.files):
        return f"{name}: there, {folder}"
    return f"{name}: {len(found)} of {len(network.files)} files adopted; mindeye2 weights fetch gets the others"


def _there(folder: Path, file: File, place: Path, sha256: str) -> bool:
    """Whether the network's folder holds the file already; UserError where it holds another one in its place."""
    for inside in file.makes:
        there = folder / inside
        if there.is_file() and (file.convert or file_sha256(there) != sha256):
            raise UserError(
                f"{there}: is there already, and another file than {place}; move it away first, since adopting "
                f"{file.network} would replace it"
            )
    return all((folder / inside).is_file() for inside in file.makes)


def _inside(path: Path, file: File, *, alone: bool) -> Path | None:
    """The published file at ``path``, which is its own place or a folder that holds it."""
    if path.is_file():
        return path if alone or path.name in (Path(file.at).name, Path(file.name).name) else None
    return next((path / name for name in (file.at, file.name) if (path / name).is_file()), None)
