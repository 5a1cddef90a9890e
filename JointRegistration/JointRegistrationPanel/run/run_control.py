"""One registration at a time, from the request to its end, without waiting for it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import JointRegistrationError, ResourceError
from JointRegistrationMRML.run.job import RegistrationJob
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes, OutputOptions, RegistrationOutputs

from ..window import Turns
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
        self._turns: Turns | None = None

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
        self._turns = Turns(self._steps(job), apart=False)  # no view changes while inputs are read

    def cancel(self) -> None:
        """End the run; ``onRunCancelled`` follows within a second."""
        if self._job is not None:
            self._job.cancel()

    def _steps(self, job: RegistrationJob) -> Generator[None, None, None]:
        """What is to be done here before the worker's part, or after it."""
        while self._job is job and job.step():
            yield

    # -- told by the job ----------------------------------------------------------------------------------

    def onProgress(self, stage: str, fraction: float, secondsLeft: float | None) -> None:
        self._owner.onRunProgress(stage, fraction, secondsLeft)

    def onResult(self) -> None:
        if self._job is not None:
            self._turns = Turns(self._steps(self._job))

    def onFinished(self, outputs: RegistrationOutputs) -> None:
        self._job = None
        self._owner.onRunFinished(outputs)

    def onFailed(self, error: JointRegistrationError) -> None:
        self._job = None
        self._owner.onRunFailed(error)

    def onCancelled(self, message: str) -> None:
        self._job = None
        self._owner.onRunCancelled(message)
