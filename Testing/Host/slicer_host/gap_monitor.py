"""How long the event loop was held up."""

from __future__ import annotations

import time

from PySide6 import QtCore


class GapMonitor:
    """The longest time between two ticks of a 5 ms timer, as a context manager.

    After the block ``largest`` holds it in seconds. The loop must run inside the block (``host.wait``).
    """

    INTERVAL_MS = 5

    def __init__(self) -> None:
        self.largest = 0.0
        self._last = 0.0
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def __enter__(self) -> GapMonitor:
        self.largest, self._last = 0.0, time.monotonic()
        self._timer.start(self.INTERVAL_MS)
        return self

    def __exit__(self, *_: object) -> None:
        self._tick()
        self._timer.stop()

    def _tick(self) -> None:
        now = time.monotonic()
        self.largest, self._last = max(self.largest, now - self._last), now
