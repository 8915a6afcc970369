"""``mindeye2 weights fetch``: the published files that a configuration lacks, over HTTP.

Both kinds of publisher go through ``huggingface_hub``'s own client: its ``http_get`` resumes by ``Range``, retries
what is transient and knows a server that ignores ranges. ``hf_hub_download`` is not used, because it drops what an
interrupted transfer has brought.
"""

import io
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from mindeye2.config import Config
from mindeye2.errors import UserError
from mindeye2.landing import drafts_of, is_fetched, land
from mindeye2.progress import Progress
from mindeye2.published import File, published
from mindeye2.store import file_sha256
from mindeye2.units import show_bytes
from mindeye2.weights import add_to_record, chosen, free_bytes, needed, weights_folder

AT_ONCE = 4
"""Transfers at a time: a hub serves each at the same pace, and a login node is shared."""
POLL_S = 0.5
MIB = 1 << 20
SHA256_DIGITS = 64


@dataclass(frozen=True)
class Remote:
    """A published file as its server states it."""

    file: File
    url: str
    size: int | None
    etag: str
    """Of a large file on the hub, its sha256."""
    revision: str
    """Commit of the hub's repository."""

    @property
    def stated(self) -> str:
        """The sha256 that the hub states; empty elsewhere."""
        return self.etag if self.file.hub and len(self.etag) == SHA256_DIGITS else ""

    @property
    def sha256(self) -> str:
        """What the content must have; the longer of both where the table knows its first digits."""
        return self.stated or self.file.sha256

    def part(self, drafts: Path) -> Path:
        """Where the transfer is kept; another content has another name, so that no two are mixed."""
        flat = str(self.file).replace("/", "--")
        return drafts / "parts" / f"{flat}.{(self.sha256 or self.etag or 'unknown')[:12]}"


class _Stopped(Exception):
    """The person or another transfer's failure has ended the fetch."""


def fetch(config: Config, names: Sequence[str] = ()) -> None:
    """Bring every file that the configuration's networks lack, or those of ``names`` alone.

    Says on standard output what has got its folder. UserError where a file cannot be had: what has arrived of it
    is kept, and the same command goes on from there; the other files are fetched all the same.
    """
    wanted = list(dict.fromkeys(file for need in chosen(needed(config), names) for file in need.files))
    if not wanted:
        print(f"{weights_folder(config)}: nothing to fetch")
        return
    with drafts_of(config) as drafts:
        (drafts / "parts").mkdir(exist_ok=True)
        files = [file for file in wanted if not is_fetched(file, drafts)]
        if files:
            _check_online()
        remotes, problems = _look_up(files)
        _check_room(config, remotes, drafts)
        problems += _transfer(config, remotes, drafts)
        for name in dict.fromkeys(file.network for file in wanted):
            try:
                if line := land(config, drafts, published()[name]):
                    print(line)
            except UserError as error:
                problems.append(str(error))
    if problems:
        for problem in problems[:-1]:
            print(f"mindeye2: error: {problem}", file=sys.stderr)
        raise UserError(problems[-1])


def _check_online() -> None:
    from huggingface_hub import constants

    if constants.is_offline_mode():
        raise UserError(
            "HF_HUB_OFFLINE: is set, so nothing is fetched; unset it on a machine with a network, or take files "
            "that you have by mindeye2 weights adopt"
        )


def _look_up(files: Sequence[File]) -> tuple[list[Remote], list[str]]:
    """Ask for size and hash of each file; also gives what is wrong with those that cannot be had, one line each.

    UserError, for the first of them, where it is all.
    """
    remotes, problems = [], []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for future in [pool.submit(_remote, file) for file in files]:
            try:
                remotes.append(future.result())
            except UserError as error:
                problems.append(str(error))
    if problems and not remotes:
        raise UserError(problems[0])
    return remotes, problems


def _remote(file: File) -> Remote:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HTTPError

    if file.hub:
        of_data = file.hub.startswith("datasets/")
        repository = file.hub.removeprefix("datasets/")
        url = hf_hub_url(repository, file.at, repo_type="dataset" if of_data else "model", revision=file.revision)
    else:
        url = f"{file.url}/{file.at}"
    try:
        # The person's token is for the hub alone.
        found = get_hf_file_metadata(url, token=None if file.hub else False)
    except (OSError, HTTPError) as error:
        raise UserError(_said(file, url, error)) from None
    # What redirects to another host states no size.
    remote = Remote(file, url, found.size or file.size, found.etag or "", found.commit_hash or "")
    other = (
        f"another version than the published {file}; take a copy of that by mindeye2 weights adopt {file.network} PATH"
    )
    if file.size and found.size and file.size != found.size:
        raise UserError(f"{url}: has {found.size} bytes, not {file.size}: {other}")
    if not (remote.stated or file.sha256).startswith(file.sha256):
        raise UserError(f"{url}: has the sha256 {remote.stated}, not {file.sha256}: {other}")
    return remote


def _check_room(config: Config, remotes: Sequence[Remote], drafts: Path) -> None:
    """UserError where the files, and the largest that is converted once more, would not fit: nothing was written."""
    rest = sum((remote.size or 0) - _arrived(remote, drafts) for remote in remotes)
    again = max((remote.size or 0 for remote in remotes if remote.file.convert), default=0)
    free = free_bytes(drafts)
    if rest + again > free:
        raise UserError(
            f"{weights_folder(config)}: {show_bytes(rest + again)} are needed to fetch {len(remotes)} files and "
            f"{show_bytes(free)} are free; make room, or set paths.weights (or MINDEYE2_WEIGHTS) to another disk"
        )


def _arrived(remote: Remote, drafts: Path) -> int:
    """Bytes of a transfer that are on the disk."""
    try:
        return remote.part(drafts).stat().st_size
    except FileNotFoundError:
        return (remote.size or 0) if is_fetched(remote.file, drafts) else 0


def _transfer(config: Config, remotes: Sequence[Remote], drafts: Path) -> list[str]:
    """Fetch several files at a time, and say how far all of them are; gives what went wrong, one line each."""
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import disable_progress_bars, logging

    disable_progress_bars()
    logging.set_verbosity_error()
    problems: list[str] = []
    arrived = sum(_arrived(remote, drafts) for remote in remotes)
    progress = Progress("MiB of weights", sum(remote.size or 0 for remote in remotes) // MIB, done=arrived // MIB)
    stop = threading.Event()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        pending: dict[Future[str], Remote] = {pool.submit(_get, each, drafts, stop): each for each in remotes}
        try:
            while pending:
                done, _ = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for future in done:
                    remote = pending.pop(future)
                    try:
                        add_to_record(weights_folder(config), {str(remote.file): _entry(remote, future.result())})
                    except (UserError, OSError, HTTPError) as error:
                        problems.append(_said(remote.file, remote.url, error))
                step = sum(_arrived(remote, drafts) for remote in remotes) // MIB - progress.done
                if step > 0:
                    progress.advance(step)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
        finally:
            progress.close()
    return problems


def _get(remote: Remote, drafts: Path, stop: threading.Event) -> str:
    """Fetch or go on with one file, check it and give it its name in ``drafts``; gives its sha256."""
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    part = remote.part(drafts)
    start = part.stat().st_size if part.exists() and remote.size is not None else 0
    if remote.size is not None and start > remote.size:
        start = 0
    # Without compression, bytes on the disk are bytes of the range to ask for.
    headers = {"Accept-Encoding": "identity"} | (build_hf_headers() if remote.file.hub else {})
    with _Part(part, stop) as file:
        file.truncate(start)
        file.seek(start)
        http_get(remote.url, file, resume_size=start, headers=headers, expected_size=remote.size)
    found = file_sha256(part)
    if not found.startswith(remote.sha256):
        aside = drafts / "refused" / f"{part.name}.sha256-is-{found[:12]}"
        aside.parent.mkdir(exist_ok=True)
        part.replace(aside)
        raise UserError(
            f"{remote.url}: its sha256 is {found}, not {remote.sha256} as published; refused and set aside as "
            f"{aside}; fetch again, and if it stays so, do not trust this source"
        )
    final = drafts / remote.file.network / remote.file.name
    final.parent.mkdir(parents=True, exist_ok=True)
    part.replace(final)
    return found


class _Part(io.BufferedRandom):
    """A file on its way, whose writer ends when it is told to stop."""

    def __init__(self, path: Path, stop: threading.Event):
        super().__init__(io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+"))
        self._stop = stop

    def write(self, chunk: bytes) -> int:
        if self._stop.is_set():
            raise _Stopped
        return super().write(chunk)


def _entry(remote: Remote, sha256: str) -> dict[str, str | int]:
    entry = {"from": remote.url, "size": remote.size or 0, "sha256": sha256}
    return entry | ({"revision": remote.revision} if remote.revision else {})


def _said(file: File, url: str, error: BaseException) -> str:
    """One line on why a file was not fetched."""
    if isinstance(error, UserError):
        return str(error)
    status = getattr(getattr(error, "response", None), "status_code", None)
    own = f"take a copy of it that you have by mindeye2 weights adopt {file.network} PATH"
    if status == 404:
        return f"{url}: 404, no such file there; {own}"
    if status in (401, 403):
        return f"{url}: {status}, not for everybody; accept its terms there and log in by `hf auth login`, or {own}"
    if status is not None:
        return f"{url}: answered {status}; try again later, or {own}"
    if isinstance(error, OSError) and error.errno:
        where = f"{file}: cannot be written" if error.filename is None else error.filename
        return f"{where}: {error.strerror}; make room or correct paths.weights, and the same command goes on from there"
    reason = " ".join(str(error).split())[:160]
    return (
        f"{url}: cannot be reached ({type(error).__name__}: {reason}); check the network, its proxy or HF_ENDPOINT, "
        "and the same command goes on from there"
    )
