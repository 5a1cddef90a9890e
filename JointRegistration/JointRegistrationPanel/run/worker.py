"""The worker as a child process of the application, run by Qt's event loop: nothing here waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt
import slicer

from JointRegistrationLib.core.errors import JointRegistrationError
from JointRegistrationLib.worker.client import Client, State
from JointRegistrationLib.worker.priority import NICENESS, wanted_niceness
from JointRegistrationLib.worker.process import WorkerCommand, worker_command

from ..install.packages import PACKAGES, Package

#: How often the client is told that time passes, in ms; a cancel must be over within a second.
TICK_MS = 50
_TAIL_BYTES = 4000


class QtTransport:
    """A ``worker.client.Transport`` on QProcess; hands what happens to ``client``."""

    def __init__(self, command: WorkerCommand | None = None) -> None:
        self.client: Client | None = None
        self._command = command
        self._process: Any = None
        self._ending: list[Any] = []  # killed, but not gone yet: dropping them would block until they are
        self._stderr = b""
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MS)
        self._timer.connect("timeout()", self._onTick)

    @property
    def running(self) -> bool:
        """Return whether there is a process."""
        return self._process is not None

    def start(self) -> None:
        """Start a fresh process. That it cannot be started is told later, by ``client.ended``."""
        command = self._command or worker_command()
        process = qt.QProcess()
        environment, niceness = dict(command.environment), wanted_niceness()
        if niceness is not None:
            environment[NICENESS] = str(niceness)
        process.setEnvironment([f"{name}={value}" for name, value in environment.items()])
        process.connect("readyReadStandardOutput()", lambda: self._onOutput(process))
        process.connect("readyReadStandardError()", lambda: self._onErrorOutput(process))
        process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: self._onFinished(process, code))
        process.connect("errorOccurred(QProcess::ProcessError)", lambda error: self._onError(process, error))
        self._process, self._stderr = process, b""
        self._timer.start()
        process.start(command.program, list(command.arguments))

    def write(self, data: bytes) -> None:
        """Send to its standard input."""
        if self._process is not None:
            self._process.write(data)

    def kill(self) -> None:
        """End the process at once; nothing more of it reaches the client."""
        process, self._process = self._process, None
        self._timer.stop()
        if process is None or process.state() == qt.QProcess.NotRunning:
            return
        self._ending.append(process)
        process.kill()

    def waitUntilGone(self, patienceMs: int = 3000) -> None:
        """Wait for processes that were killed. For the end of the application, where no event loop follows."""
        for process in list(self._ending):
            process.waitForFinished(patienceMs)

    def _onTick(self) -> None:
        if self.client is not None:
            self.client.tick()

    def _onOutput(self, process: Any) -> None:
        data = process.readAllStandardOutput().data()
        if process is self._process and self.client is not None:
            self.client.receive(data)

    def _onErrorOutput(self, process: Any) -> None:
        data = process.readAllStandardError().data()
        if process is self._process:
            self._stderr = (self._stderr + data)[-_TAIL_BYTES:]

    def _onError(self, process: Any, error: int) -> None:
        if error == qt.QProcess.FailedToStart:  # no finished() follows
            self._tellEnd(process, 127, process.errorString())

    def _onFinished(self, process: Any, exitCode: int) -> None:
        if process in self._ending:
            self._ending.remove(process)
        if process is not self._process:
            return
        self._onOutput(process)  # what it said last may still lie in the pipes
        self._onErrorOutput(process)
        self._tellEnd(process, exitCode, self._stderr.decode("utf-8", errors="replace"))

    def _tellEnd(self, process: Any, exitCode: int, lastWords: str) -> None:
        if process is self._process and self.client is not None:
            self.client.ended(exitCode, lastWords)


class Worker:
    """The one warm worker of this application, and those who listen to it.

    A listener may have ``onWorkerReady(ready)``, ``onWorkerLog(text)`` and ``onWorkerFailed(error)``.

    Args:
        command: how to start the process; None for the project's own.
        packages: what has to be installed for it.
    """

    def __init__(self, command: WorkerCommand | None = None, packages: Sequence[Package] = PACKAGES) -> None:
        self.packages = packages
        self.transport = QtTransport(command)
        self.client = Client(self.transport, self)
        self.transport.client = self.client
        self._listeners: list[Any] = []

    def addListener(self, listener: Any) -> None:
        """Tell ``listener`` from now on."""
        self._listeners.append(listener)

    def removeListener(self, listener: Any) -> None:
        """Tell ``listener`` no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def close(self) -> None:
        """End the process; a run under way counts as cancelled."""
        self.client.close()
        self.transport.waitUntilGone()

    # -- what the client tells --------------------------------------------------------------------------

    def onReady(self, ready: Any) -> None:
        for listener in list(self._listeners):
            listener.onWorkerReady(ready)

    def onLog(self, text: str) -> None:
        for listener in list(self._listeners):
            listener.onWorkerLog(text)

    def onFailed(self, error: JointRegistrationError) -> None:
        for listener in list(self._listeners):
            listener.onWorkerFailed(error)


class _Shared:
    """Holds the worker that the panel and the console share."""

    worker: Worker | None = None


def sharedWorker() -> Worker:
    """The worker of this application; made, but not started, by the first call."""
    if _Shared.worker is None:
        _Shared.worker = Worker()
        slicer.app.connect("aboutToQuit()", closeSharedWorker)
    return _Shared.worker


def closeSharedWorker() -> None:
    """End the shared worker, if there is one."""
    worker, _Shared.worker = _Shared.worker, None
    if worker is not None:
        slicer.app.disconnect("aboutToQuit()", closeSharedWorker)
        worker.close()


def isBusy(worker: Worker) -> bool:
    """Return whether the worker runs or stops a job."""
    return worker.client.running or worker.client.state is State.CANCELLING
