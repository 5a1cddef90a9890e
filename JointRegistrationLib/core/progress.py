"""How long work reports itself and is told to stop: two plain callables, bundled; and work in steps, taken at once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from .errors import RegistrationCancelled

#: Called with the stage's name, the fraction done of the whole run (0 to 1) and, if there is one, the loss.
ProgressCallback = Callable[[str, float, float | None], None]
CancelCheck = Callable[[], bool]
T = TypeVar("T")


def finished(steps: Generator[Any, None, T], after: Callable[[], object] = lambda: None) -> T:
    """Take all steps at once, and call ``after`` after each; what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        after()


@dataclass(frozen=True)
class Reporter:
    """Reports one stage, which spans ``start`` to ``end`` of the whole run, and checks for a cancel."""

    stage: str = ""
    start: float = 0.0
    end: float = 1.0
    progress: ProgressCallback | None = None
    cancelled: CancelCheck | None = None

    def update(self, fraction: float, loss: float | None = None) -> None:
        """Report ``fraction`` (0 to 1) of this stage.

        Raises:
            RegistrationCancelled: if the caller asked to stop.
        """
        self.check()
        if self.progress is not None:
            self.progress(self.stage, self.start + (self.end - self.start) * min(max(fraction, 0.0), 1.0), loss)

    def check(self) -> None:
        """Report nothing.

        Raises:
            RegistrationCancelled: if the caller asked to stop.
        """
        if self.cancelled is not None and self.cancelled():
            raise RegistrationCancelled(f"cancelled during {self.stage}; nothing was changed")

    def part(self, begin: float, end: float, stage: str | None = None) -> Reporter:
        """A reporter for the part of this stage from ``begin`` to ``end`` (0 to 1), renamed if given a name."""
        span = self.end - self.start
        return Reporter(
            stage or self.stage, self.start + span * begin, self.start + span * end, self.progress, self.cancelled
        )

    def stage_named(self, stage: str, start: float, end: float) -> Reporter:
        """A reporter for another stage of the same run."""
        return Reporter(stage, start, end, self.progress, self.cancelled)
