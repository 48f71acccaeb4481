"""Ending a training at any moment without losing it."""

import signal
import threading
import time
from types import FrameType
from typing import Any

from fer_lib.errors import Told

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What ends a training: Ctrl-C, a request, and a terminal that was closed; Windows has no SIGHUP."""


class Interrupted(Told):
    """A training ended before its last epoch; its checkpoint continues it."""


class Stop:
    """Notices :data:`SIGNALS` and a time limit, and lets the loop end between two steps.

    Use it as a context around a training. A second Ctrl-C acts at once, as if there were no handler.

    Args:
        seconds: stop after this long; None for no limit.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        # Python delivers signals to the main thread alone; elsewhere only the time limit works.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                previous = signal.signal(number, self._notice)
                if number not in (signal.SIGINT, signal.SIGTERM) and previous == signal.SIG_IGN:
                    signal.signal(number, previous)  # by nohup
                else:
                    self._previous[number] = previous
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _notice(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        signal.signal(number, self._previous[number])

    @property
    def reason(self) -> str | None:
        """Why to stop, in words; None to go on."""
        if self._signal is not None:
            return signal.Signals(self._signal).name
        if self._deadline is not None and time.monotonic() > self._deadline:
            return "the time limit"
        return None
