"""Placing landmarks in the slice views: a point list for each image, and the image that it belongs to shown alone.

Example::

    points = newLandmarks(scene, "Fixed landmarks", "fixed", fixedVolume)
    record = startPlacing(scene, points, fixedVolume)
    ...  # a person clicks in the views
    stopPlacing(scene, record)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import slicer
import vtk

from JointRegistrationLib.core.geometry import transform_points

from ..mrml import PointsNode, Scene, VolumeNode
from ..nodes.arrays import freeName, ownedList
from ..nodes.colors import FIXED_COLOR, WARPED_COLOR
from ..nodes.points import pointIndices
from ..nodes.world import ownGrid, transformPoints
from ..scene.view_state import ViewRecord, refreshLegends, restoreViews, slicesOf

#: By the image that points belong to: what stands before their number, which is the same on both points of a pair,
#: and their colour, which is that of the image's outlines.
_PREFIXES = {"fixed": "F", "moving": "M"}
_COLORS = {"fixed": FIXED_COLOR, "moving": WARPED_COLOR}


def newLandmarks(scene: Scene, name: str, which: str, volume: VolumeNode) -> Any:
    """A new, empty point list in ``scene`` that belongs to ``volume``.

    Args:
        scene: MRML scene.
        name: of the node; numbered if the scene has it already.
        which: ``"fixed"`` or ``"moving"``.
        volume: the image in which points will be placed; None if it is not known yet.
    """
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", freeName(scene, name))
    node.CreateDefaultDisplayNodes()
    attachLandmarks(node, which, volume)
    return node


def attachLandmarks(node: PointsNode, which: str, volume: VolumeNode | None) -> None:
    """Make a list that has no point yet belong to ``volume``; see :func:`newLandmarks`.

    It stands under the same transform: then a point stays on the anatomy where it was placed, also when the moving
    volume is shown through a result, and later without it. Its points are numbered as those of the other list.
    """
    if pointIndices(node):
        return
    node.SetControlPointLabelFormat(f"{_PREFIXES[which]}%d")
    display = node.GetDisplayNode()
    if display is not None:
        display.SetSelectedColor(*_COLORS[which])  # that of points that were not deselected
    if volume is not None:
        node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())


def startPlacing(scene: Scene, node: PointsNode, volume: VolumeNode | None, hidden: Sequence[Any] = ()) -> ViewRecord:
    """Let clicks in the views add points to ``node``, with ``volume`` alone in the slice views.

    Args:
        scene: MRML scene.
        node: point list.
        volume: the image it belongs to; None to leave the layers as they are.
        hidden: what would lie over it meanwhile, as segmentations; None in it is nothing.

    Returns:
        What was changed in the views, for :func:`stopPlacing`.
    """
    record = ViewRecord()
    shown = None if volume is None else volume.GetID()
    for composite in [] if shown is None else slicesOf(scene):
        record.change(composite, composite.GetBackgroundVolumeID, composite.SetBackgroundVolumeID, shown)
        record.change(composite, composite.GetForegroundOpacity, composite.SetForegroundOpacity, 0.0)
    refreshLegends(scene)
    for other in hidden:
        display = None if other is None else other.GetDisplayNode()
        if display is not None:
            record.change(display, display.GetVisibility, display.SetVisibility, 0)
    if volume is not None:
        _bringIntoView(scene, volume)
    selection, interaction = _modeNodes(scene)
    selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
    selection.SetActivePlaceNodeID(node.GetID())
    interaction.SwitchToPersistentPlaceMode()
    return record


def stopPlacing(scene: Scene, record: ViewRecord) -> None:
    """Let clicks do again what they did, and give the slice views their layers back."""
    _selection, interaction = _modeNodes(scene)
    if interaction.GetCurrentInteractionMode() == interaction.Place:
        interaction.SwitchToViewTransformMode()
    restoreViews(scene, record)


def isPlacing(scene: Scene, node: PointsNode | None) -> bool:
    """Return whether a click in a view would add a point to ``node``."""
    selection, interaction = _modeNodes(scene)
    if node is None or interaction.GetCurrentInteractionMode() != interaction.Place:
        return False
    return bool(selection.GetActivePlaceNodeID() == node.GetID())


def modeNode(scene: Scene) -> Any:
    """The node that tells of changes of the mouse mode."""
    return _modeNodes(scene)[1]


def _modeNodes(scene: Scene) -> tuple[Any, Any]:
    """Slicer's selection and interaction nodes, which every scene has."""
    return scene.GetFirstNodeByClass("vtkMRMLSelectionNode"), scene.GetFirstNodeByClass("vtkMRMLInteractionNode")


def _bringIntoView(scene: Scene, volume: VolumeNode) -> None:
    """Go to the middle of the volume with slice views that look past it."""
    grid = ownGrid(volume)
    shown, above = vtk.vtkGeneralTransform(), volume.GetParentTransformNode()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(above, None, shown)
    middle = transformPoints(shown, grid.center_ras[None])[0]
    shown.Inverse()
    for node in ownedList(scene.GetNodesByClass("vtkMRMLSliceNode")):
        seen = transformPoints(shown, np.array([[node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]]))
        index = transform_points(grid.ras_to_ijk, seen)[0]
        if np.any(index < 0) or np.any(index > np.asarray(grid.size_ijk) - 1):
            node.JumpSliceByCentering(*middle)
