"""One registration of a scene's nodes in the worker process, without waiting for it.

Example::

    job = RegistrationJob(scene, InputNodes(fixed, moving), config, options, reuse, client, listener, proceed)
    job.start()
    while job.step():
        ...  # one turn of the event loop
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import fields
from pathlib import Path
from typing import Any

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.lattices.segments import RunSegments
from JointRegistrationLib.core.progress import RunListener
from JointRegistrationLib.worker.client import Client
from JointRegistrationLib.worker.exchange import Job, read_result, read_segments

from ..mrml import Scene
from ..translation import _
from .inputs import checkInputs, inputSteps
from .publish import checkOutputs, publishSteps, transformLeftOut
from .registration_nodes import InputNodes, OutputNodes, OutputOptions, RegistrationOutputs
from .segments import workerSteps
from .worker_job import JobTexts, WorkerJob


class RegistrationJob(WorkerJob[RegistrationOutputs]):
    """One registration; see :class:`.WorkerJob` for the arguments that are not named here.

    Args:
        nodes: the run's input nodes.
        config: method and settings.
        options: which results are wanted.
        reuse: nodes to be given results instead of new ones.
    """

    texts = JobTexts(
        _("The registration was cancelled. The scene is as it was."),
        _("{name} was removed from the scene, so the registration was cancelled."),
        _("The scene was closed, so the registration was cancelled."),
    )

    def __init__(
        self,
        scene: Scene,
        nodes: InputNodes,
        config: RegistrationConfig,
        options: OutputOptions,
        reuse: OutputNodes,
        client: Client,
        listener: RunListener[RegistrationOutputs],
        proceed: Callable[[], None],
    ) -> None:
        super().__init__(scene, client, listener, proceed)
        self._nodes, self._config, self._options, self._reuse = nodes, config, options, reuse
        self._carried = False

    def _check(self) -> None:
        checkOutputs(self._scene, self._nodes, self._reuse)
        checkInputs(self._nodes)

    def _readSteps(self) -> Generator[None, None, Job]:
        inputs = yield from inputSteps(self._nodes, self._reuse)
        leftOut = transformLeftOut(self._nodes, self._reuse)
        segments = yield from workerSteps(self._nodes, self._options, leftOut)
        self._carried = segments is not None
        return Job(inputs, self._config, segments or RunSegments())

    def _addSteps(self, folder: Path) -> Generator[None, None, RegistrationOutputs]:
        result, segments = read_result(folder), read_segments(folder) if self._carried else None
        return (yield from publishSteps(self._scene, self._nodes, result, self._options, self._reuse, segments))

    def _forget(self) -> None:
        self._nodes, self._reuse = InputNodes(None, None), OutputNodes()  # type: ignore[arg-type]

    def _ownNodes(self) -> list[Any]:
        owners = (self._nodes, self._reuse)
        return [node for owner in owners for entry in fields(owner) if (node := getattr(owner, entry.name)) is not None]
