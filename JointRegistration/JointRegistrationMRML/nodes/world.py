"""Volumes and points between a node's own coordinates and the world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk
from vtk.util import numpy_support

from JointRegistrationLib.core.geometry import Grid

from ..mrml import DisplayableNode, TransformNode, VolumeNode
from .arrays import gridOf, hasMoved, numpyMatrix, transformsAbove


def ownGrid(node: VolumeNode) -> Grid:
    """A volume's lattice in its own coordinates, without the transforms above it; raises GeometryError if invalid."""
    return gridOf(node.GetName(), node.GetImageData().GetDimensions(), ijkToRasOf(node))


def toWorld(
    node: DisplayableNode, points: npt.NDArray[np.float64], leftOut: TransformNode | None
) -> npt.NDArray[np.float64]:
    """Points (n, 3) of a node, in the world; ``leftOut`` as for :func:`.world.worldTransform`."""
    above = worldTransform(node, leftOut)
    return points if above is None else transformPoints(above.toWorld, points)


def fromWorld(
    node: Any, points: npt.NDArray[np.float64], leftOut: TransformNode | None, itself: bool = False
) -> npt.NDArray[np.float64]:
    """World points in the coordinates of ``node``, or of what stands under the transform node ``itself``.

    A transform node that was only just made holds no transform yet: it changes nothing.
    """
    above = worldTransform(node, leftOut)
    points = points if above is None else transformPoints(above.fromWorld, points)
    own = node.GetTransformFromParent() if itself else None
    return points if own is None else transformPoints(own, points)


def transformPoints(transform: Any, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Send points (n, 3) through any ``vtkAbstractTransform``."""
    given, moved = vtk.vtkPoints(), vtk.vtkPoints()
    for container in (given, moved):
        container.SetDataTypeToDouble()
    given.SetData(numpy_support.numpy_to_vtk(np.ascontiguousarray(points, dtype=np.float64), deep=True))
    transform.TransformPoints(given, moved)
    return np.array(numpy_support.vtk_to_numpy(moved.GetData()), np.float64)


@dataclass(frozen=True)
class WorldTransform:
    """What stands above a node, flattened.

    ``toWorld`` and ``fromWorld`` are ``vtkGeneralTransform``; ``matrix`` is the 4x4 of ``toWorld`` if
    it is linear, else None.
    """

    toWorld: Any
    fromWorld: Any
    matrix: npt.NDArray[np.float64] | None


def worldTransform(node: DisplayableNode, leftOut: TransformNode | None = None) -> WorldTransform | None:
    """All transforms above ``node`` as one; None if there are none.

    A result under which the node is shown, because a run moved it, does not count, nor does what stands above that:
    the next run starts from where the first did, and does not depend on which result is shown.

    Args:
        node: any transformable node.
        leftOut: a transform node to leave out likewise, where it stands above ``node``.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return None
    leftOut = next((above for above in transformsAbove(node) if above is leftOut or hasMoved(above, node)), None)
    if parent is leftOut:
        return None
    toWorld = vtk.vtkGeneralTransform()
    parent.GetTransformToNode(leftOut, toWorld)
    fromWorld = vtk.vtkGeneralTransform()
    fromWorld.Concatenate(toWorld)
    fromWorld.Inverse()
    if not parent.IsTransformToNodeLinear(leftOut):
        return WorldTransform(toWorld, fromWorld, None)
    matrix = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToNode(leftOut, matrix)
    return WorldTransform(toWorld, fromWorld, numpyMatrix(matrix))


def ijkToRasOf(node: VolumeNode) -> npt.NDArray[np.float64]:
    """The volume node's own index-to-RAS matrix, 4x4, without the transforms above it."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return numpyMatrix(matrix)
