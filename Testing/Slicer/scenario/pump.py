"""Runs a person's doings from timer ticks, so that they go on while a dialog waits inside the application's event loop.

A doing is a generator. What it yields is a condition; it goes on when the condition holds::

    def register(app):
        yield from app.hands.click(app.ui.registerButton)
        yield lambda: not app.panel._run.running
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

#: A condition, as a function.
Doing = Generator[Callable[[], Any], None, None]

#: Of the thread that reads it: nanoseconds it ran, nanoseconds it waited for a processor, slices of time.
_SCHEDULE = Path("/proc/thread-self/schedstat")


class Hang(Exception):
    """A condition did not come true in time."""


class Pump:
    """Takes one doing after the other, a little at each :meth:`tick`.

    Args:
        patience: seconds after which a condition counts as hanging.
        clock: seconds.
    """

    def __init__(self, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._clock = patience, clock
        self._doing: Doing | None = None
        self._condition: Callable[[], Any] | None = None
        self._deadline = 0.0
        #: How the last doing ended: None, or what went wrong.
        self.failure: str | None = None

    @property
    def busy(self) -> bool:
        """Whether a doing is under way."""
        return self._doing is not None

    def begin(self, doing: Doing) -> None:
        """Take up a doing."""
        self._doing, self._condition, self.failure = doing, None, None

    def tick(self) -> None:
        """Go on if the condition holds. Nothing happens where a tick comes inside another one."""
        doing = self._doing
        if doing is None or doing.gi_running:
            return
        try:
            if self._condition is not None and not self._condition():
                if self._clock() > self._deadline:
                    self._condition = doing.throw(Hang(f"nothing happened within {self._patience:.0f} s"))
                return
            self._condition = next(doing)
            self._deadline = self._clock() + self._patience
        except StopIteration:
            self._doing = None
        except Exception:  # noqa: BLE001 whatever it is, it is the doing's failure
            self._doing, self.failure = None, traceback.format_exc()


class Pauses:
    """How long the event loop was held up: the longest times between two ticks, during which step.

    While this thread is ready to run and other programs have the processors, nobody holds the loop up: on Linux that
    time does not count.
    """

    def __init__(self, least: float, clock: Callable[[], float] | None = None) -> None:
        self._least, self._clock = least, clock or ownTime
        self._last: float | None = None
        #: (step, seconds) of each pause of at least ``least`` seconds.
        self.found: list[tuple[str, float]] = []
        self.step = ""

    def tick(self) -> None:
        """The event loop has come round."""
        now = self._clock()
        if self._last is not None and now - self._last >= self._least:
            self.found.append((self.step, now - self._last))
        self._last = now

    def skip(self) -> None:
        """What was done since the last tick is the scenario's own."""
        self._last = None

    def longest(self, steps: Iterable[str]) -> dict[str, Sequence[float]]:
        """The pauses of each step, longest first; steps without one are left out."""
        by = {step: sorted((s for name, s in self.found if name == step), reverse=True) for step in steps}
        return {step: pauses for step, pauses in by.items() if pauses}


def ownTime() -> float:
    """A clock that stands still while this thread waits for a processor."""
    try:
        waited = int(_SCHEDULE.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        waited = 0.0
    return time.monotonic() - waited
