"""How long a run will still take, judged by how it went lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_LEAST_S = 2.0
_WINDOW_SHARE = 0.5


class TimeLeft:
    """Seconds left from fractions done. Later stages are slower than earlier ones, so the past is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begin = clock()
        self._seen: deque[tuple[float, float]] = deque([(0.0, 0.0)])

    def update(self, fraction: float) -> float | None:
        """Seconds left after ``fraction`` (0 to 1) of the run; None while it is too early to say.

        The pace is that of the last half of the time, or of the last 2 seconds if that is more.
        """
        now = self._clock() - self._begin
        self._seen.append((now, fraction))
        window = max(_LEAST_S, _WINDOW_SHARE * now)
        while len(self._seen) > 2 and self._seen[1][0] <= now - window:
            self._seen.popleft()
        since, done = self._seen[0]
        if now < _LEAST_S or fraction <= done:
            return None
        return (1.0 - fraction) * (now - since) / (fraction - done)
