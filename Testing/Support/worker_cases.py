"""A listener that writes down what it is told, a transport without a process, and small jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import RegistrationCancelled
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.inputs import RegistrationInputs
from JointRegistrationLib.worker import folders
from JointRegistrationLib.worker.client import CANCEL_PATIENCE_S, STOP_PATIENCE_S, Client, State
from JointRegistrationLib.worker.exchange import AnyJob, Job, write_job
from JointRegistrationLib.worker.folders import new_folder
from JointRegistrationLib.worker.messages import Message, decode
from JointRegistrationLib.worker.process import SubprocessTransport
from Testing.Support.patience import patient
from Testing.Support.stub_worker import stub_command

PATIENT_S = patient(5)
GRID = Grid((12, 10, 8), (1.0, 1.5, 2.0), (3.0, -4.0, 5.0))


class Recorder:
    """Listens to a worker and its runs: what it is told, in order, as (name, argument)."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def onReady(self, ready: object) -> None:
        self.told.append(("ready", ready))

    def onLog(self, text: str) -> None:
        self.told.append(("log", text))

    def onProgress(self, progress: object) -> None:
        self.told.append(("progress", progress))

    def onDone(self, folder: object) -> None:
        self.told.append(("done", folder))

    def onFailed(self, error: object) -> None:
        self.told.append(("cancelled" if isinstance(error, RegistrationCancelled) else "failed", error))

    @property
    def names(self) -> list[str]:
        """What it was told, without log and progress."""
        return [name for name, _ in self.told if name not in ("log", "progress")]

    def last(self, name: str) -> object:
        """The argument of the last call of that name."""
        return [argument for told, argument in self.told if told == name][-1]


class FakeTransport:
    """Keeps what is written; never starts anything."""

    def __init__(self, fails: bool = False) -> None:
        self.running, self.fails = False, fails
        self.started = self.killed = 0
        self.written: list[Message] = []

    def start(self) -> None:
        if self.fails:
            raise FileNotFoundError("no such program")
        self.running, self.started = True, self.started + 1

    def write(self, data: bytes) -> None:
        self.written += [decode(line) for line in data.splitlines()]

    def kill(self) -> None:
        self.running, self.killed = False, self.killed + 1


class Clock:
    """A clock that goes when it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def small_job(behaviour: str = "", **more: object) -> Job:
    """A job whose fixed image's name tells the stub worker what to do."""
    values = np.arange(GRID.num_voxels, dtype=np.int16).reshape(GRID.shape)
    images = Image(values, GRID, behaviour), Image(values[::-1], GRID, "moving")
    of_job = {name: more.pop(name) for name in ("config", "segments") if name in more}
    return Job(RegistrationInputs(*images, **more), **{"config": RegistrationConfig(), **of_job})  # type: ignore[arg-type]


def job_folder(job: AnyJob, root: Path) -> Path:
    """A folder below ``root`` with the job in it."""
    folder = new_folder(job.exchange_bytes, (root,))
    write_job(folder, job)
    return folder


class StubWorker:
    """A client with the stub worker's real process, which has all the time that a busy machine may want.

    Args:
        cancel_s, stop_s: how long the client waits for one that was asked to cancel, and then to stop.
        start: how it starts, see ``stub_command``.
    """

    def __init__(self, *, cancel_s: float = PATIENT_S, stop_s: float = PATIENT_S, **start: object) -> None:
        self.recorder = Recorder()
        self.transport = SubprocessTransport(stub_command(**start))  # type: ignore[arg-type]
        self.client = Client(self.transport, self.recorder, cancel_patience_s=cancel_s, stop_patience_s=stop_s)

    def until(self, done: object) -> None:
        """Deliver until ``done()``."""
        end = time.monotonic() + patient(20)
        while not done():  # type: ignore[operator]
            assert time.monotonic() < end, self.recorder.told
            self.transport.deliver(self.client, 0.02)

    def until_ready(self) -> None:
        self.client.start()
        self.until(lambda: self.client.state is State.READY)

    def until_over(self) -> None:
        self.until(lambda: not self.client.running)

    def until_stage(self, stage: str) -> None:
        self.until(lambda: any(name == "progress" and told.stage == stage for name, told in self.recorder.told))  # type: ignore[attr-defined]


class JobBench:
    """A job of a scene on a stub worker, which is followed to its end; a test's own says which job that is."""

    def __init__(self, scene: object, worker: StubWorker) -> None:
        self.scene, self.worker, self.client, self.until = scene, worker, worker.client, worker.until

    def handedOver(self, job: Any) -> Any:
        """Start a job, and step until the worker has it."""
        job.start()
        while job.step():
            pass
        return job

    def untilResult(self, job: Any) -> None:
        """Go on until the job's result is there, but not in the scene yet; or until it has failed."""
        self.until(lambda: not job.active or job.state.name == "PUBLISHING")

    def untilOver(self, job: Any) -> None:
        self.untilResult(job)
        while job.step():
            pass


@pytest.fixture(scope="module")
def stubWorker() -> Iterator[StubWorker]:
    """One for all tests of a module, as patient as in use; a test that needs a cold one closes the client first."""
    worker = StubWorker(cancel_s=CANCEL_PATIENCE_S, stop_s=STOP_PATIENCE_S)
    yield worker
    worker.client.close()


@pytest.fixture
def idleWorker(stubWorker: StubWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubWorker]:
    """The module's, whose jobs use ``tmp_path`` and leave nothing there."""
    monkeypatch.setattr(folders, "_roots", lambda: (tmp_path,))
    yield stubWorker
    stubWorker.client.cancel()
    stubWorker.until(lambda: not stubWorker.client.running)
    assert list(tmp_path.iterdir()) == []
