"""The moving nodes of a run shown through its result, and the fixed ones where they were registered."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import vtk

from .nodes import movedBy, newNode, vtkMatrix, worldTransform

if TYPE_CHECKING:
    from .publish import InputNodes
    from .transaction import SceneTransaction


def showPairSteps(
    transaction: SceneTransaction, scene: Any, inputs: InputNodes, transform: Any, below: Any
) -> Generator[None, None, list[Any]]:
    """Show the moving nodes through the result, and the fixed ones where they were registered.

    The fixed ones may be shown through the result of an earlier run, in which they were the moving ones. Pauses after
    each.

    Args:
        transaction: of the run.
        scene: that of the nodes.
        inputs: the run's nodes.
        transform: the result.
        below: what does not count as standing above the moving nodes, see :func:`.publish.leftOut`.

    Returns:
        New transform nodes, for what stood above the nodes already.
    """
    moving = [node for node in (inputs.moving, inputs.movingSegmentation, inputs.movingLandmarks) if node is not None]
    fixed = [node for node in (inputs.fixed, inputs.fixedSegmentation, inputs.fixedLandmarks) if node is not None]
    shown = [node for node in fixed if node not in moving and movedBy(node) is not None]
    starts = []
    for node, under, left in [*((node, transform, below) for node in moving), *((node, None, None) for node in shown)]:
        starts.append(_showThrough(transaction, scene, node, under, left))
        yield from transaction.pause()
    return [start for start in starts if start is not None]


def _showThrough(transaction: SceneTransaction, scene: Any, moving: Any, transform: Any, below: Any) -> Any:
    """Put a node under the result (None: in the world); what stood above it already is kept, as a node between.

    The result starts from the moving image's place in the *world*. Its old transforms may carry other
    nodes too, so they are copied rather than put under the result themselves.

    Args:
        below: what does not count as standing above, see :func:`.publish.leftOut`.

    Returns:
        The node between, or None if nothing stood above.
    """
    above = worldTransform(moving, below)
    if above is None:
        transaction.setParentTransform(moving, transform)
        return None
    start = newNode("vtkMRMLTransformNode", f"{moving.GetName()} before registration")
    if above.matrix is not None:
        start.SetMatrixTransformToParent(vtkMatrix(above.matrix))
    else:
        copy = vtk.vtkGeneralTransform()
        copy.DeepCopy(above.toWorld)
        start.SetAndObserveTransformToParent(copy)
    scene.AddNode(start)
    transaction.setParentTransform(start, transform)
    transaction.setParentTransform(moving, start)
    return start
