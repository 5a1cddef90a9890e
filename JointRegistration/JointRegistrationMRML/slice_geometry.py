"""Where a slice view looks, set so that it can be set back."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.geometry import transform_points

from .nodes.arrays import numpyMatrix, ownedList, vtkMatrix
from .nodes.world import ownGrid, toWorld
from .open_view import OpenView


def showWhole(view: OpenView, volume: Any, *names: str) -> None:
    """Let slice views show all of a volume, in the plane and the scale of the first; noted for closing.

    Closing sets them back whatever is scrolled meanwhile.

    Args:
        view: that is being opened.
        volume: volume node.
        names: layout names of slice views; nothing happens if one is missing, or has no window yet.
    """
    found = {node.GetLayoutName(): node for node in ownedList(view.scene.GetNodesByClass("vtkMRMLSliceNode"))}
    nodes = [found[name] for name in names if name in found]
    sizes = [np.asarray(node.GetDimensions()[:2], float) for node in nodes]
    if len(nodes) < len(names) or min(size.min() for size in sizes) < 1:
        return
    plane = numpyMatrix(nodes[0].GetSliceToRAS())
    seen = transform_points(np.linalg.inv(plane), _corners(volume))
    low, high = seen.min(axis=0), seen.max(axis=0)
    plane[:3, 3] = transform_points(plane, np.array([*(low + high)[:2] / 2, 0.0]))
    mmPerPixel = max(float(((high - low)[:2] / size).max()) for size in sizes)
    for node, (width, height) in zip(nodes, sizes, strict=True):
        fieldOfView = (mmPerPixel * width, mmPerPixel * height, nodes[0].GetFieldOfView()[2])
        place = (tuple(plane.ravel()), fieldOfView, (0.0, 0.0, 0.0))
        view.record.change(node, lambda node=node: _place(node), lambda at, node=node: _setPlace(node, at), place, True)


def _corners(volume: Any) -> npt.NDArray[np.float64]:
    """The outer corners of the voxels, (8, 3) world RAS mm."""
    grid = ownGrid(volume)
    indices = np.array(list(itertools.product(*((-0.5, size - 0.5) for size in grid.size_ijk))))
    return toWorld(volume, transform_points(grid.ijk_to_ras, indices), None)


def _place(node: Any) -> tuple[Any, ...]:
    """Position and direction (16 numbers), field of view (mm) and its shift."""
    return tuple(numpyMatrix(node.GetSliceToRAS()).ravel()), node.GetFieldOfView(), node.GetXYZOrigin()


def _setPlace(node: Any, place: tuple[Any, ...]) -> None:
    matrix, fieldOfView, origin = place
    wasModifying = node.StartModify()
    node.GetSliceToRAS().DeepCopy(vtkMatrix([matrix[row : row + 4] for row in (0, 4, 8, 12)]))
    node.SetFieldOfView(*fieldOfView)
    node.SetXYZOrigin(*origin)
    node.UpdateMatrices()
    node.EndModify(wasModifying)
