"""What runs a registration: a protocol, and its two forms, in this process and in a worker process."""

from __future__ import annotations

import atexit
import logging
from pathlib import Path
from typing import Protocol

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import JointRegistrationError
from JointRegistrationLib.core.inputs import RegistrationInputs
from JointRegistrationLib.core.progress import CancelCheck, Progress, ProgressCallback
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationLib.worker.client import Client
from JointRegistrationLib.worker.exchange import Job, read_result, write_job
from JointRegistrationLib.worker.folders import new_folder, remove_folder
from JointRegistrationLib.worker.messages import Ready
from JointRegistrationLib.worker.process import SubprocessTransport, WorkerCommand

_log = logging.getLogger(__name__)

#: How long to wait for the worker before asking again whether the run is cancelled.
_POLL_S = 0.05


class Runner(Protocol):
    """Runs one registration; another form may do so in a child process."""

    def __call__(
        self,
        inputs: RegistrationInputs,
        config: RegistrationConfig,
        progress: ProgressCallback | None,
        cancelled: CancelCheck | None,
    ) -> RegistrationResult:
        """Register ``inputs.moving`` to ``inputs.fixed``; raises what ``registration.register`` raises."""
        ...


def runInProcess(
    inputs: RegistrationInputs,
    config: RegistrationConfig,
    progress: ProgressCallback | None = None,
    cancelled: CancelCheck | None = None,
) -> RegistrationResult:
    """The registration here and now. PyTorch is imported at this moment, not before."""
    from JointRegistrationLib.registration.register import register_inputs

    return register_inputs(inputs, config, progress, cancelled)


class WorkerRunner:
    """A :class:`Runner` that waits for a worker process, which it starts once and keeps.

    Args:
        command: how to start the worker; None for the project's own.
    """

    def __init__(self, command: WorkerCommand | None = None) -> None:
        self._transport = SubprocessTransport(command)
        self._client = Client(self._transport, _WorkerLog())
        atexit.register(self.close)

    def __call__(
        self,
        inputs: RegistrationInputs,
        config: RegistrationConfig,
        progress: ProgressCallback | None = None,
        cancelled: CancelCheck | None = None,
    ) -> RegistrationResult:
        """Register in the worker; raises what ``registration.register`` raises, and ResourceError if it dies."""
        job = Job(inputs, config)
        folder = new_folder(job.exchange_bytes)
        try:
            write_job(folder, job)
            self._wait(folder, _Run(progress), cancelled)
            return read_result(folder)
        finally:
            remove_folder(folder)

    def close(self) -> None:
        """End the worker; the next run starts another."""
        self._client.close()

    def _wait(self, folder: Path, run: _Run, cancelled: CancelCheck | None) -> None:
        self._transport.deliver(self._client)  # the worker may have died since the last run
        self._client.submit(folder, run)
        try:
            while not run.over:
                if cancelled is not None and cancelled():
                    self._client.cancel()
                self._transport.deliver(self._client, _POLL_S)
        except BaseException:  # Ctrl-C, or an error in ``progress``: the worker must not go on alone
            self.close()
            raise
        if run.error is not None:
            raise run.error


class _Run:
    """Listens to one run, and keeps its end."""

    def __init__(self, progress: ProgressCallback | None) -> None:
        self._progress = progress
        self.over = False
        self.error: JointRegistrationError | None = None

    def onProgress(self, progress: Progress) -> None:
        if self._progress is not None:
            self._progress(progress.stage, progress.fraction, progress.loss)

    def onDone(self, folder: Path) -> None:
        self.over = True

    def onFailed(self, error: JointRegistrationError) -> None:
        self.over, self.error = True, error


class _WorkerLog:
    """Listens to the worker; runs wait for it by themselves."""

    def onReady(self, ready: Ready) -> None: ...

    def onLog(self, text: str) -> None:
        _log.info(text)

    def onFailed(self, error: JointRegistrationError) -> None:
        _log.info("%s", error)


#: The form for scripts in Slicer's console: PyTorch stays out of Slicer, and the worker stays warm.
runInWorker = WorkerRunner()
