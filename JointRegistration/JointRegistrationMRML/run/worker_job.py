"""What every job of a scene in the worker process has in common: its course, its cancel, and the scene under it.

The caller keeps its event loop: it calls :meth:`WorkerJob.step` from a timer until that
returns False, and from then on hands the worker's output to the client, as for any run. Once the result is there,
``proceed`` asks for steps again: they add it to the scene. Nothing is added before, and then all or nothing.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from inspect import GEN_RUNNING, getgeneratorstate
from pathlib import Path
from typing import Any, Generic, TypeVar

import slicer
import vtk

from JointRegistrationLib.core.errors import JointRegistrationError, RegistrationCancelled
from JointRegistrationLib.core.progress import Progress, RunListener
from JointRegistrationLib.worker.client import Client, State
from JointRegistrationLib.worker.exchange import AnyJob, job_steps
from JointRegistrationLib.worker.folders import new_folder, remove_folder

from ..mrml import Node, Scene
from ..pauses import saying
from ..translation import _
from ..unforeseen import asError

#: Share of the progress at which the images are with the worker, and at which its result is there.
_PREPARED, _RETURNED = 0.02, 0.95
#: Share of the bytes that is written for the worker while the nodes are still being read.
_NOTHING = 0.0

Outcome = TypeVar("Outcome")


class JobState(enum.Enum):
    """What a job is at; the last three are its ends."""

    NEW = "new"
    PREPARING = "preparing"
    RUNNING = "running"
    PUBLISHING = "publishing"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class JobTexts:
    """Why a job was ended: by its user, because ``{name}`` was removed, or because the scene was closed."""

    cancelled: str
    removed: str
    closed: str


class WorkerJob(ABC, Generic[Outcome]):
    """One job, from nodes to nodes. Everything is called from one thread, that of the scene.

    Args:
        scene: MRML scene that holds the nodes. While the job runs, it ends as cancelled if one of its
            nodes is removed or the scene is closed.
        client: the worker.
        listener: told how the job goes. In the end its results are in the scene, or the scene is as it was, but for
            what its user removed; a ``RegistrationCancelled`` says why it was ended.
        proceed: called when the worker has ended: :meth:`step` is to be called again, until it returns False.
    """

    texts: JobTexts

    def __init__(
        self, scene: Scene, client: Client, listener: RunListener[Outcome], proceed: Callable[[], None]
    ) -> None:
        self._scene, self._client, self._listener, self._proceed = scene, client, listener, proceed
        self._state = JobState.NEW
        self._steps: Iterator[float] = iter(())
        self._adding: Generator[None, None, Outcome] | None = None
        self._folder: Path | None = None
        self._observers: list[int] = []
        self._why: str | None = None

    # -- what a kind of job is ----------------------------------------------------------------------------

    @abstractmethod
    def _check(self) -> None:
        """Raise InputError, which names the node, if one cannot be used."""

    @abstractmethod
    def _readSteps(self) -> Generator[None, None, AnyJob]:
        """Read the nodes, with a pause every few milliseconds."""

    @abstractmethod
    def _addSteps(self, folder: Path) -> Generator[None, None, Outcome]:
        """Add the result in ``folder`` to the scene, all or nothing; nothing if the generator is closed."""

    @abstractmethod
    def _ownNodes(self) -> list[Any]:
        """The nodes without which the job makes no sense."""

    @abstractmethod
    def _forget(self) -> None:
        """The job is over. Whoever keeps it keeps no voxels."""

    # -- its course ---------------------------------------------------------------------------------------

    @property
    def state(self) -> JobState:
        """Return the job's state."""
        return self._state

    @property
    def active(self) -> bool:
        """Return whether the job has begun and not ended."""
        return self._state in (JobState.PREPARING, JobState.RUNNING, JobState.PUBLISHING)

    def start(self) -> None:
        """Check the nodes, and warm the worker up; :meth:`step` goes on from there.

        Raises:
            InputError: a node cannot be used; the message names it. Nothing was run.
        """
        self._check()
        self._steps = self._prepare()
        self._state = JobState.PREPARING
        self._observe()
        self._client.start()

    def step(self) -> bool:
        """Do the next short piece of what is done here rather than in the worker: reading inputs, adding results.

        Returns:
            Whether to call it again. False while the worker is at work, and when the job has ended.
        """
        if self._state is JobState.PREPARING:
            self._prepareStep()
        elif self._state is JobState.PUBLISHING:
            self._addStep()
        return self._state in (JobState.PREPARING, JobState.PUBLISHING)

    def _prepareStep(self) -> None:
        """Read the next input, or hand the next few megabytes to the worker, and after the last ones start it."""
        try:
            self._tell("preparing", _PREPARED * next(self._steps))
        except StopIteration:
            self._submit()
        except Exception as error:  # noqa: BLE001 this is called by a timer: whatever it is, the job must end
            self._fail(asError(error, _("the volumes were read")))

    def _addStep(self) -> None:
        """Add the next result to the scene."""
        assert self._adding is not None
        try:
            next(self._adding)
        except StopIteration as end:
            self._end(JobState.FINISHED)
            self._listener.onDone(end.value)
        except Exception as error:  # noqa: BLE001 as above; the scene has been restored
            self._fail(asError(error, _("the results were added to the scene")))
        else:
            if self._why is not None:  # cancelled by what the step itself set off
                self._takeBack()

    def _takeBack(self) -> None:
        """The run is cancelled while its results are being added: the scene becomes what it was."""
        assert self._adding is not None and self._why is not None
        try:
            self._adding.close()
        except Exception as error:  # noqa: BLE001 an observer must not raise
            self._fail(asError(error, _("the results were taken back")))
        else:
            self._fail(RegistrationCancelled(self._why))

    def cancel(self, message: str = "") -> None:
        """End the job, which fails as cancelled with ``message``: at the latest with the client's patience."""
        message = message or self.texts.cancelled
        if self._state is JobState.PREPARING:
            self._fail(RegistrationCancelled(message))
        elif self._state is JobState.RUNNING and self._why is None:  # a closed scene removes its nodes too
            self._why = message
            self._client.cancel()
        elif self._state is JobState.PUBLISHING and self._why is None:
            self._why = message
            if self._adding is not None and getgeneratorstate(self._adding) != GEN_RUNNING:
                self._takeBack()

    # -- told by the client -------------------------------------------------------------------------------

    def onProgress(self, progress: Progress) -> None:
        """The worker's progress, as part of the job's."""
        fraction = _PREPARED + (_RETURNED - _PREPARED) * progress.fraction
        self._tell(progress.stage, fraction, progress.seconds_left)

    def onDone(self, folder: Path) -> None:
        """The worker has written its result: it is put into the scene step by step."""
        self._state = JobState.PUBLISHING
        self._tell("adding the results", _RETURNED, 0.0)
        self._adding = self._addSteps(folder)
        self._proceed()

    def onFailed(self, error: JointRegistrationError) -> None:
        """The worker failed, or died, or was stopped."""
        asked = isinstance(error, RegistrationCancelled)
        self._fail(RegistrationCancelled(self._why or self.texts.cancelled) if asked else error)

    # -- inside -------------------------------------------------------------------------------------------

    def _prepare(self) -> Iterator[float]:
        """Read the nodes and write them for the worker, with a pause every few milliseconds; yields the share done."""
        job = yield from saying(_NOTHING, self._readSteps())
        self._folder = new_folder(job.exchange_bytes)
        yield from job_steps(self._folder, job)

    def _submit(self) -> None:
        self._state = JobState.RUNNING
        if self._client.state in (State.STOPPED, State.STARTING):
            self._tell("starting the registration process", _PREPARED)
        assert self._folder is not None
        try:
            self._client.submit(self._folder, self)
        except JointRegistrationError as error:
            self._fail(error)

    def _tell(self, stage: str, fraction: float, secondsLeft: float | None = None) -> None:
        if self._why is None:  # the user has no wish to hear more of a run that is being cancelled
            self._listener.onProgress(Progress(stage, fraction, seconds_left=secondsLeft))

    def _fail(self, error: JointRegistrationError) -> None:
        self._end(JobState.CANCELLED if isinstance(error, RegistrationCancelled) else JobState.FAILED)
        self._listener.onFailed(error)

    def _end(self, state: JobState) -> None:
        self._state = state
        self._steps, self._adding = iter(()), None
        self._forget()
        for observer in self._observers:
            self._scene.RemoveObserver(observer)
        self._observers = []
        if self._folder is not None:
            remove_folder(self._folder)

    # -- the scene under the job ----------------------------------------------------------------------------

    def _observe(self) -> None:
        scene = slicer.vtkMRMLScene
        self._observers = [
            self._scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._onNodeRemoved),
            self._scene.AddObserver(scene.StartCloseEvent, self._onSceneClosed),
        ]

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, caller: Any, event: str, node: Node) -> None:
        if any(node is own for own in self._ownNodes()):
            self.cancel(self.texts.removed.format(name=node.GetName()))

    def _onSceneClosed(self, caller: Any, event: str) -> None:
        self.cancel(self.texts.closed)
