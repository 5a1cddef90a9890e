"""Read the nodes of a run, in steps that leave the window responsive."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.inputs import RegistrationInputs
from JointRegistrationLib.core.progress import finished

from ..mrml import TransformNode
from ..nodes.arrays import numpyMatrix
from ..nodes.points import landmarksFromMarkups
from ..nodes.segments.layers import checkSegmentation
from ..nodes.segments.masks import maskSteps, segmentIdOf
from ..nodes.transforms import checkStart, startSteps
from ..nodes.volumes import checkVolume, imageSteps
from ..translation import _
from .publish import transformLeftOut
from .registration_nodes import InputNodes, OutputNodes


def readInputs(nodes: InputNodes, reuse: OutputNodes | None = None) -> RegistrationInputs:
    """The images, masks and landmarks of ``nodes`` in world coordinates.

    Args:
        nodes: the run's nodes.
        reuse: nodes that will be given results; what stands above the inputs is counted up to
            :func:`.publish.transformLeftOut`.

    Raises:
        InputError: if a node cannot be used; the message names it.
    """
    return finished(inputSteps(nodes, reuse))


def inputSteps(nodes: InputNodes, reuse: OutputNodes | None = None) -> Generator[None, None, RegistrationInputs]:
    """:func:`readInputs` with pauses in which a window stays alive: after each input, and within long ones."""
    leftOut = transformLeftOut(nodes, reuse or OutputNodes())
    checkInputs(nodes)
    fixed = yield from imageSteps(nodes.fixed, leftOut)
    yield
    moving = yield from imageSteps(nodes.moving, leftOut)
    yield
    fixedMask = yield from _maskSteps(nodes.fixedMask, nodes.fixedMaskSegment, fixed.grid, leftOut)
    yield
    movingMask = yield from _maskSteps(nodes.movingMask, nodes.movingMaskSegment, moving.grid, leftOut)
    yield
    landmarks = None
    if nodes.fixedLandmarks is not None and nodes.movingLandmarks is not None:
        landmarks = landmarksFromMarkups(nodes.fixedLandmarks, nodes.movingLandmarks, leftOut)
    start = None
    if nodes.startTransform is not None:
        start = yield from startSteps(nodes.startTransform)
    affine = _initialAffine(nodes.initialTransform)
    return RegistrationInputs(fixed, moving, fixedMask, movingMask, landmarks, affine, start)


def checkInputs(nodes: InputNodes) -> None:
    """Check what can be told of the nodes at once.

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


def _initialAffine(node: TransformNode | None) -> npt.NDArray[np.float64] | None:
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
    return np.asarray(np.linalg.inv(numpyMatrix(matrix)), np.float64)


def _maskSteps(
    node: Any, segment: str, grid: Grid, leftOut: TransformNode | None
) -> Generator[None, None, Image | None]:
    """A label map as it is, or one or all segments of a segmentation on ``grid``."""
    if node is None:
        return None
    if not node.IsA("vtkMRMLSegmentationNode"):
        return (yield from imageSteps(node, leftOut))
    mask = yield from maskSteps(node, grid, leftOut, segment)
    return Image(mask, grid, node.GetName())
