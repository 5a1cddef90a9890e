"""The segments of a run on the fixed lattice: handed to the worker with the images, or carried here.

The worker does it with the window alive. Where it cannot (a bent transform stands above the segments, or the run has no
worker) they are carried when the results are added.
"""

from __future__ import annotations

from collections.abc import Generator

from JointRegistrationLib.core.lattices.segments import RunSegments
from JointRegistrationLib.core.result import RegistrationResult

from ..mrml import TransformNode
from ..nodes.segments.layers import ownLayerSteps
from ..nodes.segments.segmentations import labelSteps
from .registration_nodes import InputNodes, OutputOptions


def areSegmentsWarped(inputs: InputNodes, options: OutputOptions) -> bool:
    """Return whether a run has moving segments whose place on the fixed lattice is wanted: to be shown, or compared."""
    wanted = options.warpedSegmentation or inputs.fixedSegmentation is not None
    return inputs.movingSegmentation is not None and wanted


def workerSteps(
    inputs: InputNodes, options: OutputOptions, leftOut: TransformNode | None = None
) -> Generator[None, None, RunSegments | None]:
    """Read what the worker is to carry, with pauses; None if there is nothing, or it cannot.

    Args:
        inputs: the run's nodes.
        options: which results are wanted.
        leftOut: a transform node to leave out, see :func:`.world.worldTransform`.

    Raises:
        InputError: if a segmentation cannot be read.
    """
    if inputs.movingSegmentation is None or not areSegmentsWarped(inputs, options):
        return None
    moving = yield from ownLayerSteps(inputs.movingSegmentation, leftOut=leftOut)
    fixed = None
    if inputs.fixedSegmentation is not None:
        fixed = yield from ownLayerSteps(inputs.fixedSegmentation, leftOut=leftOut)
    bent = any(own is not None and own.bend is not None for own in (moving, fixed))
    return None if bent else RunSegments(fixed, moving)


def warpSegmentsSteps(
    inputs: InputNodes, options: OutputOptions, result: RegistrationResult, leftOut: TransformNode | None = None
) -> Generator[None, None, RunSegments]:
    """The same without a worker; see :func:`workerSteps` for the arguments and errors."""
    if inputs.movingSegmentation is None or not areSegmentsWarped(inputs, options):
        return RunSegments()
    grid = result.fixed_grid
    warped = yield from labelSteps(inputs.movingSegmentation, grid, result.displacement_field_mm, leftOut=leftOut)
    if inputs.fixedSegmentation is None:
        return RunSegments(warped=warped)
    before = yield from labelSteps(inputs.movingSegmentation, grid, leftOut=leftOut)
    fixed = yield from labelSteps(inputs.fixedSegmentation, grid, leftOut=leftOut)
    return RunSegments(fixed, None, before, warped)
