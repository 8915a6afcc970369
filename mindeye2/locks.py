"""One builder per object, on any file system that creates and renames files atomically.

``flock`` cannot be trusted on every NFS mount, so the lock is a file made by exclusive create. It holds its
owner (a token), host, boot and process; while the owner lives, a thread renews the file's time. Takeover rule:

- same host and boot: at once, when the owner's process is gone;
- anywhere else: when the file's time has not moved for ``TAKEOVER_S`` seconds of the waiter's own clock, so
  the clocks of two hosts are never compared.

The stale file is first renamed to a name of its own, and put back if it turns out to be somebody else's. An owner
that was not gone but slept, and finds the lock in other hands, is told to leave by SIGTERM.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
import uuid
from pathlib import Path

HEARTBEAT_S = 20.0
TAKEOVER_S = 600.0
FORSAKEN_S = 86400.0
POLL_S = 0.5


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot; None when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def read_owner(path: Path) -> dict | None:
    """What a lock's file says of its owner; None where it is not there or cannot be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def is_gone(owner: dict) -> bool | None:
    """Whether the owner's process is gone; None where this host, since it was started, cannot know."""
    if owner.get("host") == socket.gethostname() and owner.get("boot") == _boot() and owner.get("pid"):
        return _started(owner["pid"]) != owner["started"]
    return None


def is_forsaken(path: Path) -> bool:
    """Whether a lock keeps nobody out any more: its owner is gone, or gave no sign of life for a day.

    For who wants to clear up without waiting: a day is beyond what the clocks of two hosts differ by.
    """
    try:
        owner, silent = read_owner(path) or {}, time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return True
    return bool(is_gone(owner)) or silent > FORSAKEN_S


def holder(owner: dict) -> str:
    """Who a lock's owner is, for a sentence."""
    return f"process {owner.get('pid', '?')} on {owner.get('host', '?')}"


class Lock:
    """``with Lock(path):`` waits for the lock, holds it, and lets it go."""

    def __init__(self, path: Path, *, takeover_s: float = TAKEOVER_S, heartbeat_s: float = HEARTBEAT_S):
        self.path, self.takeover_s, self.heartbeat_s = path, takeover_s, heartbeat_s
        self.token = uuid.uuid4().hex
        self._released = threading.Event()
        self._seen: tuple[str, float, float] | None = None

    def __enter__(self) -> "Lock":
        said, pause = False, POLL_S
        while not self.acquire():
            owner = read_owner(self.path)
            if owner and not said:
                print(f"waiting for {self.path}, which {holder(owner)} holds", file=sys.stderr, flush=True)
                said = True
            time.sleep(pause)
            # Of many who wait for hours, each asks the file server seldom; none waits a fifth longer than it had to.
            pause = min(1.2 * pause, 20 * POLL_S)
        return self

    def __exit__(self, *exception) -> None:
        self.release()

    def acquire(self) -> bool:
        """Try once; a stale lock is removed on the way, so that the next try can win."""
        note = {
            "token": self.token,
            "host": socket.gethostname(),
            "boot": _boot(),
            "pid": os.getpid(),
            "started": _started(os.getpid()),
            "since": round(time.time(), 1),
        }
        # Written whole under a name of its own and linked: a reader never sees half a lock.
        draft = self.path.with_name(f"{self.path.name}.{self.token}")
        try:
            draft.write_text(json.dumps(note))
            os.link(draft, self.path)
        except FileExistsError:
            # NFS also says so of the link that it has just made, where its answer was lost and the request repeated.
            if not self.held():
                self._remove_if_stale()
                return False
        finally:
            draft.unlink(missing_ok=True)
        threading.Thread(target=self._renew, daemon=True).start()
        return True

    def held(self) -> bool:
        """Whether the file is still ours: false after a takeover."""
        return (read_owner(self.path) or {}).get("token") == self.token

    def release(self) -> None:
        self._released.set()
        if self.held():
            self.path.unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._released.wait(self.heartbeat_s):
            owner = read_owner(self.path)
            if owner and owner.get("token") != self.token:
                print(f"{self.path}: taken over by {holder(owner)}; leaving", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if owner:
                with contextlib.suppress(OSError):
                    os.utime(self.path)

    def _remove_if_stale(self) -> None:
        try:
            owner, moved = read_owner(self.path), self.path.stat().st_mtime
        except OSError:
            return
        if owner is None:
            owner = {"token": "unreadable"}
        if not self._is_stale(owner, moved):
            return
        aside = self.path.with_name(f"{self.path.name}.stale-{self.token}")
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return
        if (read_owner(aside) or {"token": "unreadable"}).get("token") != owner["token"]:
            with contextlib.suppress(FileExistsError):
                os.link(aside, self.path)
        aside.unlink()

    def _is_stale(self, owner: dict, moved: float) -> bool:
        gone = is_gone(owner)
        if gone is not None:
            return gone
        now = time.monotonic()
        if self._seen is None or self._seen[:2] != (owner["token"], moved):
            self._seen = (owner["token"], moved, now)
        return now - self._seen[2] >= self.takeover_s
