"""Runs that a scene holds, so that a saved scene can be inspected again: by their records, or else by their nodes."""

from __future__ import annotations

from collections.abc import Generator

from JointRegistrationLib.core.progress import finished

from ..mrml import Scene
from ..scene.transaction import RunRecord, SceneTransaction
from .record import FoundRun, SavedRun, findRecorded, readRecord
from .registration_nodes import InputNodes, RegistrationOutputs
from .saved_before_records import findUnrecorded, folderOf, readUnrecorded
from .saved_result import storedResultSteps


def findRuns(scene: Scene) -> list[FoundRun]:
    """The runs in ``scene`` whose transform and volumes are still there; those with a record first."""
    return [*findRecorded(scene), *findUnrecorded(scene)]


def inputsOf(scene: Scene, run: FoundRun) -> InputNodes:
    """The nodes that went into a run of :func:`findRuns`, as far as they are still there and known."""
    return _read(scene, run).inputs


def outputsOf(scene: Scene, run: FoundRun, inputs: InputNodes | None = None) -> RegistrationOutputs:
    """A run's results as the run itself returned them, but that they cannot be discarded.

    Args:
        scene: the run's.
        run: of :func:`findRuns`.
        inputs: segmentations and landmarks to go by; None for :func:`inputsOf`.

    Raises:
        InputError: if the fixed volume is no longer where it was registered, or holds no voxels.
    """
    return finished(outputsSteps(scene, run, inputs))


def outputsSteps(
    scene: Scene, run: FoundRun, inputs: InputNodes | None = None
) -> Generator[None, None, RegistrationOutputs]:
    """:func:`outputsOf` with pauses in which a window stays alive."""
    saved = _read(scene, run)
    inputs = saved.inputs if inputs is None else inputs
    result = yield from storedResultSteps(inputs, saved.nodes, saved.figures)
    undo = RunRecord(SceneTransaction(scene))
    return RegistrationOutputs(saved.nodes, folderOf(scene, run.transform), result, inputs, undo, saved.overlaps)


def _read(scene: Scene, run: FoundRun) -> SavedRun:
    return readUnrecorded(scene, run) if run.record is None else readRecord(run.record)
