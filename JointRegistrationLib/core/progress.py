"""How long work reports itself and is told to stop, by callables or a listener; and work in steps, taken at once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from .errors import JointRegistrationError, RegistrationCancelled

#: Called with the stage's name, the fraction done of the whole run (0 to 1) and, if there is one, the loss.
ProgressCallback = Callable[[str, float, float | None], None]
CancelCheck = Callable[[], bool]
_T = TypeVar("_T")


def finished(steps: Generator[Any, None, _T], after: Callable[[], object] = lambda: None) -> _T:
    """Take all steps at once, and call ``after`` after each; what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result
        after()


@dataclass(frozen=True)
class Progress:
    """How far the run is: ``fraction`` 0 to 1 of the whole; ``seconds_left`` None while that is unknown."""

    stage: str
    fraction: float
    loss: float | None = None
    seconds_left: float | None = None


Outcome_contra = TypeVar("Outcome_contra", contravariant=True)


class RunListener(Protocol[Outcome_contra]):
    """Told of one run: progress any number of times, then one of the two ends. Its names are the scene layer's."""

    def onProgress(self, progress: Progress) -> None: ...  # noqa: N802

    def onDone(self, outcome: Outcome_contra) -> None: ...  # noqa: N802

    def onFailed(self, error: JointRegistrationError) -> None:  # noqa: N802
        """Nothing was changed; ``RegistrationCancelled`` if it was asked to stop."""


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
