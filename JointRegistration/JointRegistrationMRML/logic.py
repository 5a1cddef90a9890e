"""One run in a scene: nodes to images, the runner, the result to nodes.

Example::

    outputs = registerVolumes(scene, InputNodes(fixed, moving, movingSegmentation=labels))
    outputs.nodes.warpedVolume, outputs.result.similarity_after
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import InputError, RegistrationCancelled
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image

from .nodes.arrays import numpyMatrix
from .nodes.points import landmarksFromMarkups
from .nodes.segment_layers import checkSegmentation
from .nodes.segment_masks import maskSteps, segmentIdOf
from .nodes.transforms import checkStart, startSteps
from .nodes.volumes import checkVolume, imageSteps
from .publish import InputNodes, OutputNodes, OutputOptions, RegistrationOutputs, checkOutputs, leftOut, publishResult
from .runner import CancelCheck, Progress, RegistrationInputs, Runner, runInProcess
from .steps import finished
from .translation import _

#: Share of the progress that the runner gets; the rest is making the nodes.
_RUNNER_SHARE = 0.95


def registerVolumes(
    scene: Any,
    nodes: InputNodes,
    config: RegistrationConfig | None = None,
    *,
    options: OutputOptions | None = None,
    reuse: OutputNodes | None = None,
    runner: Runner = runInProcess,
    progress: Progress | None = None,
    cancelled: CancelCheck | None = None,
) -> RegistrationOutputs:
    """Register the moving volume to the fixed one and put the results into ``scene``, all or none.

    Args:
        scene: MRML scene that holds the nodes.
        nodes: fixed and moving volume, and what else there is.
        config: method and settings; defaults if None.
        options: which results are wanted.
        reuse: nodes to be given results instead of new ones.
        runner: what registers.
        progress: called with stage, fraction 0..1 and loss or None.
        cancelled: asked often; True ends the run.

    Raises:
        InputError: an input or output node cannot be used; nothing was run.
        RegistrationCancelled, ResourceError: from the runner; the scene is as it was.
    """
    reuse = reuse or OutputNodes()
    checkOutputs(scene, nodes, reuse)
    inputs = readInputs(nodes, reuse)
    result = runner(inputs, config or RegistrationConfig(), _scaled(progress), cancelled)
    if cancelled is not None and cancelled():
        raise RegistrationCancelled(_("the registration was cancelled; the scene is as it was"))
    if progress is not None:
        progress("publishing", _RUNNER_SHARE, None)
    outputs = publishResult(scene, nodes, result, options, reuse)
    if progress is not None:
        progress("done", 1.0, None)
    return outputs


def readInputs(nodes: InputNodes, reuse: OutputNodes | None = None) -> RegistrationInputs:
    """The images, masks and landmarks of ``nodes`` in world coordinates.

    Args:
        nodes: the run's nodes.
        reuse: nodes that will be given results; what stands above the inputs is counted up to :func:`.publish.leftOut`.

    Raises:
        InputError: if a node cannot be used; the message names it.
    """
    return finished(inputSteps(nodes, reuse))


def inputSteps(nodes: InputNodes, reuse: OutputNodes | None = None) -> Generator[None, None, RegistrationInputs]:
    """:func:`readInputs` with pauses in which a window stays alive: after each input, and within long ones."""
    below = leftOut(nodes, reuse or OutputNodes())
    checkInputs(nodes)
    fixed = yield from imageSteps(nodes.fixed, below)
    yield
    moving = yield from imageSteps(nodes.moving, below)
    yield
    fixedMask = yield from _maskSteps(nodes.fixedMask, nodes.fixedMaskSegment, fixed.grid, below)
    yield
    movingMask = yield from _maskSteps(nodes.movingMask, nodes.movingMaskSegment, moving.grid, below)
    yield
    landmarks = None
    if nodes.fixedLandmarks is not None:
        landmarks = landmarksFromMarkups(nodes.fixedLandmarks, nodes.movingLandmarks, below)
    start = None
    if nodes.startTransform is not None:
        start = yield from startSteps(nodes.startTransform)
    affine = _initialAffine(nodes.initialTransform)
    return RegistrationInputs(fixed, moving, fixedMask, movingMask, landmarks, affine, start)


def checkInputs(nodes: InputNodes) -> None:
    """What can be told of the nodes at once.

    Raises:
        InputError: if a node cannot be used; the message names it.
    """
    if nodes.fixed is None:
        raise InputError(_("the fixed volume is not selected; choose one"))
    checkVolume(nodes.fixed)
    if nodes.moving is None:
        raise InputError(_("the moving volume is not selected; choose one"))
    checkVolume(nodes.moving)
    if nodes.fixed is nodes.moving:
        text = _("{name}: fixed and moving are the same volume; choose two")
        raise InputError(text.format(name=nodes.fixed.GetName()))
    for segmentation in (nodes.movingSegmentation, nodes.fixedSegmentation):
        if segmentation is not None:
            checkSegmentation(segmentation)
    for mask, segment in ((nodes.fixedMask, nodes.fixedMaskSegment), (nodes.movingMask, nodes.movingMaskSegment)):
        if segment:
            segmentIdOf(mask, segment)
    if (nodes.fixedLandmarks is None) != (nodes.movingLandmarks is None):
        raise InputError(_("landmarks: a point list is given for one image only; give one for each, or none"))
    _initialAffine(nodes.initialTransform)
    if nodes.startTransform is not None:
        checkStart(nodes.startTransform)


def _initialAffine(node: Any) -> npt.NDArray[np.float64] | None:
    """The 4x4 that takes fixed points to moving ones, of a node that takes moving nodes to the fixed image.

    Raises:
        InputError: if the node, or a transform above it, is not linear.
    """
    if node is None:
        return None
    if not node.IsTransformToWorldLinear():
        text = _("initial transform: {name} is not linear; choose a linear one, or put the moving volume under it")
        raise InputError(text.format(name=node.GetName()))
    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToWorld(matrix)
    return np.linalg.inv(numpyMatrix(matrix))


def _maskSteps(node: Any, segment: str, grid: Grid, below: Any) -> Generator[None, None, Image | None]:
    """A label map as it is, or one or all segments of a segmentation on ``grid``."""
    if node is None:
        return None
    if not node.IsA("vtkMRMLSegmentationNode"):
        return (yield from imageSteps(node, below))
    mask = yield from maskSteps(node, grid, below, segment)
    return Image(mask, grid, node.GetName())


def _scaled(progress: Progress | None) -> Progress | None:
    if progress is None:
        return None
    return lambda stage, fraction, loss: progress(stage, fraction * _RUNNER_SHARE, loss)
