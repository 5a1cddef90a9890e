"""How long the event loop was held up."""

from __future__ import annotations

import gc
import time
from pathlib import Path

from PySide6 import QtCore

#: Of the thread that reads it: nanoseconds it ran, nanoseconds it waited for a processor, slices of time.
_SCHEDULE = Path("/proc/thread-self/schedstat")


class GapMonitor:
    """The longest time between two ticks of a 5 ms timer, as a context manager.

    After the block ``largest`` holds it in seconds. The loop must run inside the block (``host.wait``). While this
    thread is ready to run and other programs have the processors, nobody holds the loop up: on Linux that time does
    not count. Nor does Python's search for garbage among what earlier tests left in this process: a quarter of a second
    late in the suite.
    """

    INTERVAL_MS = 5

    def __init__(self) -> None:
        self.largest = 0.0
        self._last = 0.0
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def __enter__(self) -> GapMonitor:
        gc.collect()
        gc.freeze()
        self.largest, self._last = 0.0, _own_time_s()
        self._timer.start(self.INTERVAL_MS)
        return self

    def __exit__(self, *_: object) -> None:
        self._tick()
        self._timer.stop()
        gc.unfreeze()

    def _tick(self) -> None:
        now = _own_time_s()
        self.largest, self._last = max(self.largest, now - self._last), now


def _own_time_s() -> float:
    """A clock that stands still while this thread waits for a processor."""
    waited_ns = None
    while True:  # a thread that has to wait between the two readings would find a time that never was
        now, before, waited_ns = time.monotonic(), waited_ns, _waited_ns()
        if waited_ns == before:
            return now - waited_ns / 1e9


def _waited_ns() -> int:
    try:
        return int(_SCHEDULE.read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
