"""One registration at a time, from the request to its end, without waiting for it."""

from __future__ import annotations

from typing import Any, Protocol

import qt

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import JointRegistrationError, ResourceError
from JointRegistrationMRML.run.job import RegistrationJob
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes, OutputOptions, RegistrationOutputs

from .worker import Worker, isBusy


class RunOwner(Protocol):
    """Told of a run: progress any number of times, then one of the three ends."""

    def onRunProgress(self, stage: str, fraction: float, secondsLeft: float | None) -> None: ...

    def onRunFinished(self, outputs: RegistrationOutputs) -> None: ...

    def onRunFailed(self, error: JointRegistrationError) -> None: ...

    def onRunCancelled(self, message: str) -> None: ...


class RunControl:
    """Prepares, starts and cancels runs in a worker, and adds their results, by timers."""

    def __init__(self, worker: Worker, owner: RunOwner) -> None:
        self._worker, self._owner = worker, owner
        self._job: RegistrationJob | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._step)

    @property
    def running(self) -> bool:
        """Return whether a run is under way."""
        return self._job is not None

    def start(
        self, scene: Any, nodes: InputNodes, config: RegistrationConfig, options: OutputOptions, reuse: OutputNodes
    ) -> None:
        """Begin a run.

        Raises:
            InputError: a node cannot be used.
            ResourceError: another run is under way, or there is no room for the images.
        """
        if self.running or isBusy(self._worker):
            raise ResourceError("a registration is running already; wait for its end or cancel it")
        job = RegistrationJob(scene, nodes, config, options, reuse, self._worker.client, self)
        job.start()
        self._job = job
        self._timer.start()

    def cancel(self) -> None:
        """End the run; ``onRunCancelled`` follows within a second."""
        if self._job is not None:
            self._job.cancel()

    def _step(self) -> None:
        job = self._job
        if (job is None or not job.step()) and self._job is job:
            self._timer.stop()

    # -- told by the job ----------------------------------------------------------------------------------

    def onProgress(self, stage: str, fraction: float, secondsLeft: float | None) -> None:
        self._owner.onRunProgress(stage, fraction, secondsLeft)

    def onResult(self) -> None:
        self._timer.start()

    def onFinished(self, outputs: RegistrationOutputs) -> None:
        self._end()
        self._owner.onRunFinished(outputs)

    def onFailed(self, error: JointRegistrationError) -> None:
        self._end()
        self._owner.onRunFailed(error)

    def onCancelled(self, message: str) -> None:
        self._end()
        self._owner.onRunCancelled(message)

    def _end(self) -> None:
        self._job = None
        self._timer.stop()
