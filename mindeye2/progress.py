"""Progress of long loops: a bar with ETA on a terminal, plain lines in a log, a note for ``mindeye2 status``."""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

REPORT_FILE = "progress.json"
"""Name of the note in a work folder."""
REPORT_VARIABLE = "MINDEYE2_PROGRESS"
"""Environment variable with the path of the note, which the processes of several GPUs inherit; none without it."""


def clock(seconds: float) -> str:
    """``75.2`` -> ``1:15``; ``3700`` -> ``1:01:40``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Progress:
    """Counts ``total`` steps of ``label`` on standard error.

    On a terminal this is a tqdm bar. Anywhere else it is one line at most every ``every_s`` seconds,
    with the time spent, the estimate of the time left and whatever ``advance`` was told.
    """

    def __init__(self, label: str, total: int, *, done: int = 0, every_s: float = 10.0):
        self.label, self.total, self.done, self.every_s = label, total, done, every_s
        self._resumed_at = done
        self._started = self._said = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done, desc=label, dynamic_ncols=True, file=sys.stderr)

    def advance(self, steps: int = 1, **values: float) -> None:
        """Count ``steps`` more and show ``values`` (name -> number) beside them."""
        self.done += steps
        if self._bar is not None:
            self._bar.set_postfix({name: f"{value:.4g}" for name, value in values.items()}, refresh=False)
            self._bar.update(steps)
        now = time.monotonic()
        if now - self._said >= self.every_s or self.done >= self.total:
            self._said = now
            spent = now - self._started
            left = spent / max(self.done - self._resumed_at, 1) * (self.total - self.done)
            self._note(left, values)
            if self._bar is not None:
                return
            shown = "".join(f"  {name} {value:.4g}" for name, value in values.items())
            print(
                f"{self.label}: {self.done}/{self.total}  {clock(spent)} spent, {clock(left)} left{shown}",
                file=sys.stderr,
                flush=True,
            )

    def _note(self, left: float, values: dict[str, float]) -> None:
        """Replace the note, if one is asked for; what cannot be written is no reason to stop."""
        path = os.environ.get(REPORT_VARIABLE)
        if not path:
            return
        content = {"label": self.label, "done": self.done, "total": self.total, "left": left, "values": values}
        draft = f"{path}.{os.getpid()}"
        with suppress(OSError):
            with open(draft, "w") as file:
                json.dump({**content, "time": time.time()}, file)
            os.replace(draft, path)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def track(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Yield ``items``, reporting after each one."""
    progress = Progress(label, total)
    try:
        for item in items:
            yield item
            progress.advance()
    finally:
        progress.close()
