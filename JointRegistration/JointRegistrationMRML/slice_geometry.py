"""Where a slice view looks, set so that it can be set back."""

from __future__ import annotations

from typing import Any

from .nodes import numpyMatrix, ownedList, vtkMatrix
from .open_view import OpenView


def followSlice(view: OpenView, leader: str, follower: str) -> None:
    """Let a slice view look where another one does; noted for closing, whatever is scrolled meanwhile.

    Args:
        view: that is being opened.
        leader, follower: layout names of slice views; nothing happens where one is missing.
    """
    nodes = {node.GetLayoutName(): node for node in ownedList(view.scene.GetNodesByClass("vtkMRMLSliceNode"))}
    if leader not in nodes or follower not in nodes:
        return
    source, node = nodes[leader], nodes[follower]
    state = (_place(source)[0], _fieldOfView(source, node), source.GetXYZOrigin())
    view.record.change(node, lambda: _place(node), lambda place: _setPlace(node, place), state, always=True)


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


def _fieldOfView(source: Any, node: Any) -> tuple[float, float, float]:
    """The leader's scale (mm per pixel) in the follower's window."""
    across = source.GetFieldOfView()[0] / source.GetDimensions()[0]
    width, height, _ = node.GetDimensions()
    return across * width, across * height, source.GetFieldOfView()[2]
