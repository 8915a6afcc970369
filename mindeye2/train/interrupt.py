"""Ctrl-C and SIGTERM during training wait until the step is done, so that a checkpoint can be written first."""

import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While entered, notes SIGINT and SIGTERM instead of letting them strike in the middle of a step.

    Outside of the main thread, where Python delivers no signals, and when not ``active``, it does nothing.
    """

    def __init__(self, *, active: bool = True):
        self._active = active and threading.current_thread() is threading.main_thread()
        self.pending: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> "Interrupts":
        if self._active:
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.pending = signal.Signals(number)

    def __exit__(self, *problem: object) -> None:
        """Put the former handlers back; a signal that came strikes now, unless an error is on its way already."""
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if self.pending is not None and problem[0] is None:
            signal.raise_signal(self.pending)
