"""Registration, and the search for bones, from the Python console without waiting for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Generic

from JointRegistrationLib.core.errors import JointRegistrationError
from JointRegistrationLib.core.progress import Progress, ProgressCallback
from JointRegistrationMRML.run.finding import FindingJob
from JointRegistrationMRML.run.found import FoundStructures
from JointRegistrationMRML.run.job import RegistrationJob
from JointRegistrationMRML.run.register import Request
from JointRegistrationMRML.run.registration_nodes import OutputOptions, RegistrationOutputs
from JointRegistrationMRML.run.worker_job import Outcome

from .run.run_control import MakeJob, RunControl
from .run.worker import Worker, sharedWorker

_log = logging.getLogger(__name__)
_running: set[ConsoleRun[Any]] = set()  # a script may drop what startRun returned


class ConsoleRun(Generic[Outcome]):
    """A run that was started from the console."""

    def __init__(
        self,
        worker: Worker,
        onFinished: Callable[[Outcome], object],
        onFailed: Callable[[Exception], None] | None,
        progress: ProgressCallback | None,
    ) -> None:
        self._control: RunControl[Outcome] = RunControl(worker, self)
        self._onFinished, self._onFailed, self._progress = onFinished, onFailed, progress

    @property
    def running(self) -> bool:
        """Return whether the run is under way."""
        return self._control.running

    def cancel(self) -> None:
        """End the run within a second; ``onFailed`` is called with ``RegistrationCancelled``."""
        self._control.cancel()

    def start(self, make: MakeJob[Outcome]) -> None:
        """Begin; raises what ``RunControl.start`` raises."""
        self._control.start(make)
        _running.add(self)

    def onProgress(self, progress: Progress) -> None:
        if self._progress is not None:
            self._progress(progress.stage, progress.fraction, progress.seconds_left)

    def onDone(self, outcome: Outcome) -> None:
        _running.discard(self)
        self._onFinished(outcome)

    def onFailed(self, error: JointRegistrationError) -> None:
        _running.discard(self)
        if self._onFailed is None:
            _log.error("%s", error)
        else:
            self._onFailed(error)


def startRun(
    scene: Any,
    request: Request,
    onFinished: Callable[[Any], None],
    onFailed: Callable[[Exception], None] | None = None,
    progress: ProgressCallback | None = None,
) -> ConsoleRun[RegistrationOutputs]:
    """Start a run in the application's worker and return it."""
    run = ConsoleRun[RegistrationOutputs](sharedWorker(), onFinished, onFailed, progress)
    asked = (request.nodes, request.config, request.options or OutputOptions(), request.reuse)
    run.start(lambda *control: RegistrationJob(scene, *asked, *control))
    return run


def startSearch(
    scene: Any,
    volume: Any,
    device: str,
    onFinished: Callable[[Any], object],
    onFailed: Callable[[Exception], None] | None = None,
    progress: ProgressCallback | None = None,
) -> ConsoleRun[FoundStructures]:
    """The same for bones and cartilage; ``onFinished`` is called with the segmentation node."""
    run = ConsoleRun[FoundStructures](sharedWorker(), lambda found: onFinished(found.node), onFailed, progress)
    run.start(lambda *control: FindingJob(scene, volume, device, *control))
    return run
