"""How the results of a run look: the warped nodes like the moving ones, the Jacobian in its colours with a legend."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ..mrml import DisplayableNode, Scene, TransformNode
from ..nodes.arrays import movedBy, numpyView
from ..nodes.colors import addLegend, sharedDivergingColors
from ..nodes.jacobian import showJacobian
from ..nodes.transforms import startTransformNode
from ..nodes.world import worldTransform
from ..scene.transaction import SceneTransaction
from .registration_nodes import InputNodes, OutputNodes


def displayResults(transaction: SceneTransaction, scene: Scene, nodes: OutputNodes, inputs: InputNodes) -> None:
    """Give results their displays and references to the fixed volume's lattice, as part of ``transaction``.

    Args:
        transaction: takes everything back if a later step fails.
        scene: holds the nodes.
        nodes: the run's results, in the scene; a reused node keeps its own display node.
        inputs: of the run; the results look like them.
    """
    for node in (nodes.warpedVolume, nodes.jacobian, nodes.warpedSegmentation, nodes.folds):
        if node is not None and node.GetDisplayNode() is None:
            _giveDisplay(scene, node)
    if nodes.warpedVolume is not None:
        _displayLike(transaction.changing(nodes.warpedVolume.GetDisplayNode()), inputs.moving.GetDisplayNode())
    if nodes.jacobian is not None:
        colors = sharedDivergingColors(scene)
        transaction.changing(nodes.jacobian.GetDisplayNode())
        showJacobian(nodes.jacobian, colors, numpyView(nodes.jacobian.GetImageData()))
        addLegend(nodes.jacobian)
    if nodes.warpedSegmentation is not None and inputs.movingSegmentation is not None:
        display = transaction.changing(nodes.warpedSegmentation.GetDisplayNode())
        _displaySegmentsLike(display, nodes.warpedSegmentation, inputs.movingSegmentation.GetDisplayNode())
    for segmentation in (nodes.warpedSegmentation, nodes.folds):
        if segmentation is not None:
            role = segmentation.GetReferenceImageGeometryReferenceRole()
            transaction.setReference(segmentation, role, inputs.fixed)


def _giveDisplay(scene: Scene, node: DisplayableNode) -> None:
    """A display node. A volume's looks for no window of its own: that takes 0.2 s on a knee, for nothing."""
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        node.CreateDefaultDisplayNodes()
        return
    display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.AutoWindowLevelOff()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    node.SetAndObserveDisplayNodeID(display.GetID())


def _displayLike(display: Any, source: Any) -> None:
    """The warped volume looks like the moving one: same window, level and colours."""
    if source is None:
        display.AutoWindowLevelOn()
        return
    display.SetAndObserveColorNodeID(source.GetColorNodeID())
    display.AutoWindowLevelOff()
    display.SetWindowLevel(source.GetWindow(), source.GetLevel())


def _displaySegmentsLike(display: Any, segmentation: Any, source: Any) -> None:
    """Warped segments are shown, filled and outlined as the moving ones are."""
    if source is None:
        return
    for segmentId in segmentation.GetSegmentation().GetSegmentIDs():
        display.SetSegmentVisibility(segmentId, source.GetSegmentVisibility(segmentId))
        display.SetSegmentOpacity2DFill(segmentId, source.GetSegmentOpacity2DFill(segmentId))
        display.SetSegmentOpacity2DOutline(segmentId, source.GetSegmentOpacity2DOutline(segmentId))
        display.SetSegmentOpacity3D(segmentId, source.GetSegmentOpacity3D(segmentId))


def showPairSteps(
    transaction: SceneTransaction, scene: Scene, inputs: InputNodes, transform: Any, leftOut: TransformNode | None
) -> Generator[None, None, list[Any]]:
    """Show the moving nodes through the result, and the fixed ones where they were registered.

    The fixed ones may be shown through the result of an earlier run, in which they were the moving ones. Pauses after
    each.

    Args:
        transaction: of the run.
        scene: that of the nodes.
        inputs: the run's nodes.
        transform: the result.
        leftOut: what does not count as standing above the moving nodes, see :func:`.publish.transformLeftOut`.

    Returns:
        New transform nodes, for what stood above the nodes already.
    """
    moving = [node for node in (inputs.moving, inputs.movingSegmentation, inputs.movingLandmarks) if node is not None]
    fixed = [node for node in (inputs.fixed, inputs.fixedSegmentation, inputs.fixedLandmarks) if node is not None]
    shown = [node for node in fixed if node not in moving and movedBy(node) is not None]
    starts = []
    for node, under, left in [
        *((node, transform, leftOut) for node in moving),
        *((node, None, None) for node in shown),
    ]:
        starts.append(_showThrough(transaction, scene, node, under, left))
        yield from transaction.pause()
    return [start for start in starts if start is not None]


def _showThrough(
    transaction: SceneTransaction, scene: Scene, moving: Any, transform: Any, leftOut: TransformNode | None
) -> Any:
    """Put a node under the result (None: in the world); what stood above it already is kept, as a node between.

    The result starts from the moving image's place in the *world*. Its old transforms may carry other
    nodes too, so they are copied rather than put under the result themselves.

    Args:
        leftOut: what does not count as standing above, see :func:`.publish.transformLeftOut`.

    Returns:
        The node between, or None if nothing stood above.
    """
    above = worldTransform(moving, leftOut)
    if above is None:
        transaction.setParentTransform(moving, transform)
        return None
    start = startTransformNode(moving, above)
    scene.AddNode(start)
    transaction.setParentTransform(start, transform)
    transaction.setParentTransform(moving, start)
    return start
