"""What the Subject Hierarchy's plugins of the Qt application do to a scene; slicer-core has only its node.

Every data node gets an item, and a segmentation's item one for each segment. When a node is about to leave the scene
its items go, and each segment's item takes the segment with it, out of whichever vtkSegmentation the node then has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk

from ..qt.observers import observe

#: Kinds of nodes that some plugin of the application adds an item for.
_DATA = ("Volume", "Transform", "Markups", "Model", "Segmentation", "Table", "Text", "PlotChart", "PlotSeries")
_SEGMENT_ID = "segmentID"
_VIRTUAL_BRANCH = "VirtualBranch"
_NO_DISPLAY = "qSlicerSubjectHierarchySegmentsPlugin::getDisplayVisibility: No display node for segmentation"


class SubjectHierarchy:
    """The plugins' part for one scene.

    Args:
        scene: followed until ``close()``.
        tell: gets what the application prints as errors while its tree of the scene is shown (the Data module, once
            opened).
    """

    def __init__(self, scene: Any, tell: Callable[[str], None]) -> None:
        self._scene, self._tell = scene, tell
        self._removing = False
        self._hierarchyTag: tuple[Any, int] | None = None
        self._nodeTags: dict[str, list[tuple[Any, int]]] = {}
        followed = (
            (scene.NodeAddedEvent, self._onAdded),
            (scene.NodeAboutToBeRemovedEvent, self._onLeaving),
            (scene.EndImportEvent, self._onRefilled),
            (scene.EndCloseEvent, self._onRefilled),
        )
        self._tags = [observe(scene, event, slot) for event, slot in followed]
        self._onRefilled()

    def close(self) -> None:
        """Stop."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        for owner, tag in [entry for entries in self._nodeTags.values() for entry in entries]:
            owner.RemoveObserver(tag)
        if self._hierarchyTag is not None:
            self._hierarchyTag[0].RemoveObserver(self._hierarchyTag[1])

    def _node(self) -> Any:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)
        if self._hierarchyTag is None or self._hierarchyTag[0] is not hierarchy:
            event = hierarchy.SubjectHierarchyItemAboutToBeRemovedEvent
            self._hierarchyTag = (hierarchy, observe(hierarchy, event, self._onItemLeaving))
        return hierarchy

    # -- nodes -------------------------------------------------------------------------------------

    def _onRefilled(self, *_: Any) -> None:
        for index in range(self._scene.GetNumberOfNodes()):
            self._add(self._scene.GetNthNode(index))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onAdded(self, _scene: Any, _event: str, node: Any) -> None:
        if not self._scene.IsImporting():
            self._add(node)

    def _add(self, node: Any) -> None:
        if node.GetHideFromEditors() or not any(node.IsA(f"vtkMRML{kind}Node") for kind in _DATA):
            return
        hierarchy = self._node()
        if not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        if node.IsA("vtkMRMLSegmentationNode") and node.GetID() not in self._nodeTags:
            events = (slicer.vtkSegmentation.SegmentAdded, slicer.vtkSegmentation.SegmentRemoved)
            slots = (self._onSegmentAdded, self._onSegmentRemoved)
            self._nodeTags[node.GetID()] = [
                (node, observe(node, event, slot)) for event, slot in zip(events, slots, strict=True)
            ]
            hierarchy.SetItemAttribute(hierarchy.GetItemByDataNode(node), _VIRTUAL_BRANCH, "1")
            self._addSegments(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onLeaving(self, _scene: Any, _event: str, node: Any) -> None:
        if self._scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        hierarchy = self._node()
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)
        for owner, tag in self._nodeTags.pop(node.GetID(), ()):
            owner.RemoveObserver(tag)

    # -- segments ----------------------------------------------------------------------------------

    def _items(self, node: Any) -> dict[str, int]:
        """Items of a segmentation's segments, by the segment's ID."""
        hierarchy, children = self._node(), vtk.vtkIdList()
        hierarchy.GetItemChildren(hierarchy.GetItemByDataNode(node), children)
        items = [children.GetId(index) for index in range(children.GetNumberOfIds())]
        return {hierarchy.GetItemAttribute(item, _SEGMENT_ID): item for item in items}

    def _addSegments(self, node: Any) -> None:
        hierarchy, segmentation = self._node(), node.GetSegmentation()
        known = self._items(node)
        for index in range(segmentation.GetNumberOfSegments()):
            segmentId = segmentation.GetNthSegmentID(index)
            if segmentId in known:
                continue
            name = segmentation.GetNthSegment(index).GetName() or ""
            item = hierarchy.CreateHierarchyItem(hierarchy.GetItemByDataNode(node), name, _VIRTUAL_BRANCH)
            hierarchy.SetItemAttribute(item, _SEGMENT_ID, segmentId)
            if node.GetDisplayNode() is None:
                self._tell(
                    "qSlicerSubjectHierarchySegmentsPlugin::getDisplayVisibility: No display node for segmentation"
                )

    def _onSegmentAdded(self, node: Any, _event: str) -> None:
        if not self._scene.IsImporting():
            self._addSegments(node)

    def _onSegmentRemoved(self, node: Any, _event: str) -> None:
        if self._removing or self._scene.IsClosing():
            return
        hierarchy, segmentation = self._node(), node.GetSegmentation()
        for segmentId, item in self._items(node).items():
            if segmentation.GetSegment(segmentId) is None:
                hierarchy.RemoveItem(item)

    @vtk.calldata_type(vtk.VTK_LONG)
    def _onItemLeaving(self, hierarchy: Any, _event: str, item: int) -> None:
        if self._scene.IsClosing() or not hierarchy.HasItemAttribute(item, _SEGMENT_ID):
            return
        node = hierarchy.GetItemDataNode(hierarchy.GetItemParent(item))
        segmentId = hierarchy.GetItemAttribute(item, _SEGMENT_ID)
        if node is not None and node.GetSegmentation().GetSegment(segmentId) is not None:
            self._removing = True
            node.GetSegmentation().RemoveSegment(segmentId)
            self._removing = False
