"""One search for bones and cartilage in a volume in the worker process, without waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from JointRegistrationLib.core.progress import RunListener
from JointRegistrationLib.worker.client import Client
from JointRegistrationLib.worker.exchange import SegmentationJob, read_found

from ..mrml import Scene, VolumeNode
from ..nodes.volumes import checkVolume
from ..translation import _
from .found import FoundStructures, foundSteps, imageToSegment
from .worker_job import JobTexts, WorkerJob


class FindingJob(WorkerJob[FoundStructures]):
    """One search; see :class:`.WorkerJob` for the arguments that are not named here.

    Args:
        volume: scalar volume node, a knee.
        device: where to compute.
    """

    texts = JobTexts(
        _("The search was cancelled. The scene is as it was."),
        _("{name} was removed from the scene, so the search was cancelled."),
        _("The scene was closed, so the search was cancelled."),
    )

    def __init__(
        self,
        scene: Scene,
        volume: VolumeNode,
        device: str,
        client: Client,
        listener: RunListener[FoundStructures],
        proceed: Callable[[], None],
    ) -> None:
        super().__init__(scene, client, listener, proceed)
        self._volumes, self._device = [volume], device

    def _check(self) -> None:
        checkVolume(self._volumes[0])

    def _readSteps(self) -> Generator[None, None, SegmentationJob]:
        yield from ()
        return SegmentationJob(imageToSegment(self._volumes[0]), self._device)

    def _addSteps(self, folder: Path) -> Generator[None, None, FoundStructures]:
        return (yield from foundSteps(self._scene, self._volumes[0], read_found(folder)))

    def _ownNodes(self) -> list[Any]:
        return list(self._volumes)

    def _forget(self) -> None:
        self._volumes = []
