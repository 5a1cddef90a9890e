"""One job at a time, from the request to its end, without waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic

from JointRegistrationLib.core.errors import ResourceError
from JointRegistrationLib.core.progress import RunListener
from JointRegistrationLib.worker.client import Client
from JointRegistrationMRML.run.worker_job import Outcome, WorkerJob

from ..window import Turns
from .worker import Worker, isBusy

#: Makes a job of the worker, its listener, and what is called when the job has something to do here.
MakeJob = Callable[[Client, RunListener[Outcome], Callable[[], None]], WorkerJob[Outcome]]


class RunControl(Generic[Outcome]):
    """Prepares, starts and cancels runs in a worker, and adds their results, by timers.

    Args:
        worker: runs them.
        listener: told of each.
    """

    def __init__(self, worker: Worker, listener: RunListener[Outcome]) -> None:
        self._worker, self._listener = worker, listener
        self._job: WorkerJob[Outcome] | None = None
        self._turns: Turns | None = None

    @property
    def running(self) -> bool:
        """Return whether a run is under way."""
        return self._job is not None and self._job.active

    def start(self, make: MakeJob[Outcome]) -> None:
        """Begin a run.

        Raises:
            InputError: a node cannot be used.
            ResourceError: another run is under way, or there is no room for the images.
        """
        if self.running or isBusy(self._worker):
            raise ResourceError("a registration or search is running already; wait for its end or cancel it")
        job = make(self._worker.client, self._listener, self._takeTurns)
        job.start()
        self._job = job
        self._takeTurns(apart=False)  # no view changes while inputs are read

    def cancel(self) -> None:
        """End the run, which fails as cancelled within a second."""
        if self._job is not None:
            self._job.cancel()

    def _takeTurns(self, apart: bool = True) -> None:
        """Do what is to be done here before the worker's part, or after it."""
        if self._job is not None:
            self._turns = Turns(_stepsOf(self._job), apart=apart)


def _stepsOf(job: WorkerJob[Any]) -> Generator[None, None, None]:
    while job.step():
        yield
