"""Registration from the Python console without waiting for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from JointRegistrationLib.core.errors import JointRegistrationError
from JointRegistrationLib.core.progress import Progress, ProgressCallback
from JointRegistrationMRML.run.register import Request
from JointRegistrationMRML.run.registration_nodes import OutputOptions, RegistrationOutputs

from .run.run_control import RunControl
from .run.worker import Worker, sharedWorker

_log = logging.getLogger(__name__)
_running: set[ConsoleRun] = set()  # a script may drop what startRun returned


class ConsoleRun:
    """A run that was started from the console."""

    def __init__(
        self,
        worker: Worker,
        onFinished: Callable[[Any], None],
        onFailed: Callable[[Exception], None] | None,
        progress: ProgressCallback | None,
    ) -> None:
        self._control = RunControl(worker, self)
        self._onFinished, self._onFailed, self._progress = onFinished, onFailed, progress

    @property
    def running(self) -> bool:
        """Return whether the run is under way."""
        return self._control.running

    def cancel(self) -> None:
        """End the run within a second; ``onFailed`` is called with ``RegistrationCancelled``."""
        self._control.cancel()

    def start(self, scene: Any, request: Request) -> None:
        """Begin; raises what ``RunControl.start`` raises."""
        self._control.start(scene, request.nodes, request.config, request.options or OutputOptions(), request.reuse)
        _running.add(self)

    def onProgress(self, progress: Progress) -> None:
        if self._progress is not None:
            self._progress(progress.stage, progress.fraction, progress.seconds_left)

    def onDone(self, outputs: RegistrationOutputs) -> None:
        _running.discard(self)
        self._onFinished(outputs)

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
    worker: Worker | None = None,
) -> ConsoleRun:
    """Start a run in the worker (None: the application's) and return it."""
    run = ConsoleRun(worker or sharedWorker(), onFinished, onFailed, progress)
    run.start(scene, request)
    return run
