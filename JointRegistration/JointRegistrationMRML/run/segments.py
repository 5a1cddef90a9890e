"""The segments of a run on the fixed lattice: handed to the worker with the images, or carried here.

The worker does it with the window alive. Where it cannot (a bent transform stands above the segments, or the run has no
worker) they are carried when the results are added.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.lattices.sampling import LabelMap
from JointRegistrationLib.core.result import RegistrationResult
from JointRegistrationLib.worker.segments import Segments, WarpedSegments

from ..mrml import TransformNode
from ..nodes.segments.label_warping import labelMap
from ..nodes.segments.layers import LabelLayers, OwnLayers, ownLayerSteps
from ..nodes.segments.segmentations import labelSteps
from .registration_nodes import InputNodes, OutputOptions


@dataclass(frozen=True)
class RunSegments:
    """A run's segments on the fixed lattice: the moving ones through the map, and both as the images lay.

    None where there are none, or nothing is wanted of them.
    """

    warped: LabelLayers | None = None
    moving: LabelLayers | None = None
    fixed: LabelLayers | None = None


@dataclass(frozen=True)
class SegmentsForWorker:
    """What the worker is to carry; None where it cannot."""

    moving: OwnLayers | None = None
    fixed: OwnLayers | None = None

    @property
    def segments(self) -> Segments:
        """The label maps."""
        return Segments(_labelMaps(self.moving), _labelMaps(self.fixed))

    def warped(self, grid: Grid, found: WarpedSegments) -> RunSegments:
        """Return what came back, on the fixed ``grid``, with the segments' names."""
        moving, fixed = self.moving, self.fixed
        return RunSegments(
            None if moving is None else moving.on(grid, found.warped),
            None if moving is None or fixed is None else moving.on(grid, found.moving),
            None if fixed is None else fixed.on(grid, found.fixed),
        )


def areSegmentsWarped(inputs: InputNodes, options: OutputOptions) -> bool:
    """Return whether a run has moving segments whose place on the fixed lattice is wanted: to be shown, or compared."""
    wanted = options.warpedSegmentation or inputs.fixedSegmentation is not None
    return inputs.movingSegmentation is not None and wanted


def workerSteps(
    inputs: InputNodes, options: OutputOptions, leftOut: TransformNode | None = None
) -> Generator[None, None, SegmentsForWorker | None]:
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
    bent = [own for own in (moving, fixed) if own is not None and own.above is not None and own.above.matrix is None]
    return None if bent else SegmentsForWorker(moving, fixed)


def warpSegmentsSteps(
    inputs: InputNodes, options: OutputOptions, result: RegistrationResult, leftOut: TransformNode | None = None
) -> Generator[None, None, RunSegments]:
    """The same without a worker; see :func:`workerSteps` for the arguments and errors."""
    if inputs.movingSegmentation is None or not areSegmentsWarped(inputs, options):
        return RunSegments()
    grid = result.fixed_grid
    warped = yield from labelSteps(inputs.movingSegmentation, grid, result.displacement_field_mm, leftOut=leftOut)
    if inputs.fixedSegmentation is None:
        return RunSegments(warped)
    moving = yield from labelSteps(inputs.movingSegmentation, grid, leftOut=leftOut)
    fixed = yield from labelSteps(inputs.fixedSegmentation, grid, leftOut=leftOut)
    return RunSegments(warped, moving, fixed)


def _labelMaps(own: OwnLayers | None) -> tuple[LabelMap, ...]:
    return () if own is None else tuple(labelMap(layer.labels, layer.grid, own.above) for layer in own.layers)
