"""Items of the Subject Hierarchy, as the plugins of the Qt application keep them."""

from __future__ import annotations

from typing import Any

import pytest


def _segmentation(host: Any, name: str, *segments: str, display: bool = True) -> Any:
    import slicer

    node = slicer.vtkMRMLSegmentationNode()
    node.SetName(name)
    for segment in segments:
        node.GetSegmentation().AddEmptySegment(segment, segment)
    host.scene.AddNode(node) if not display else _addWithDisplay(host.scene, node)
    return node


def _addWithDisplay(scene: Any, node: Any) -> None:
    import slicer

    display = scene.AddNode(slicer.vtkMRMLSegmentationDisplayNode())
    node.SetAndObserveDisplayNodeID(display.GetID())
    scene.AddNode(node)


def _sharing(host: Any, owner: Any) -> Any:
    import slicer

    view = slicer.vtkMRMLSegmentationNode()
    view.SetAndObserveSegmentation(owner.GetSegmentation())
    _addWithDisplay(host.scene, view)
    return view


def _items(host: Any) -> list[str]:
    import slicer
    import vtk

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(host.scene)
    found = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), found, True)
    return [hierarchy.GetItemName(found.GetId(index)) for index in range(found.GetNumberOfIds())]


def test_nodes_and_segments_have_items_that_go_with_them(host: Any) -> None:
    node = _segmentation(host, "Bones", "femur", "tibia")
    assert _items(host) == ["Bones", "femur", "tibia"]
    node.GetSegmentation().RemoveSegment("femur")
    node.GetSegmentation().AddEmptySegment("patella", "patella")
    assert _items(host) == ["Bones", "tibia", "patella"]
    host.scene.RemoveNode(node)
    assert _items(host) == []


def test_a_node_that_leaves_takes_the_segments_of_a_shared_segmentation_along(host: Any) -> None:
    owner = _segmentation(host, "Bones", "femur", "tibia")
    host.scene.RemoveNode(_sharing(host, owner))
    assert owner.GetSegmentation().GetNumberOfSegments() == 0


def test_a_node_given_an_empty_segmentation_first_takes_nothing_along(host: Any) -> None:
    import slicer

    owner = _segmentation(host, "Bones", "femur", "tibia")
    view = _sharing(host, owner)
    view.SetAndObserveSegmentation(slicer.vtkSegmentation())
    host.scene.RemoveNode(view)
    assert owner.GetSegmentation().GetNumberOfSegments() == 2


def test_hidden_nodes_have_no_items_and_take_nothing_along(host: Any) -> None:
    import slicer

    owner = _segmentation(host, "Bones", "femur")
    view = slicer.vtkMRMLSegmentationNode()
    view.SetHideFromEditors(True)
    view.SetAndObserveSegmentation(owner.GetSegmentation())
    _addWithDisplay(host.scene, view)
    assert _items(host) == ["Bones", "femur"]
    host.scene.RemoveNode(view)
    assert owner.GetSegmentation().GetNumberOfSegments() == 1


def test_closing_the_scene_takes_no_segments(host: Any) -> None:
    owner = _segmentation(host, "Bones", "femur")
    host.scene.Clear()
    assert owner.GetSegmentation().GetNumberOfSegments() == 1


def test_segments_in_the_scene_before_their_display_node_are_an_error_in_the_console(host: Any) -> None:
    _segmentation(host, "Bones", "femur", "tibia", display=False)
    assert len(host.console) == 2
    assert "No display node for segmentation" in host.console.pop()
    host.console.clear()
    empty = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "empty")
    assert host.console == []
    empty.CreateDefaultDisplayNodes()
    empty.GetSegmentation().AddEmptySegment("femur")
    assert host.console == []


def test_an_error_in_the_console_fails_the_test() -> None:
    import slicer_host

    host = slicer_host.install()
    _segmentation(host, "Bones", "femur", display=False)
    with pytest.raises(AssertionError, match="No display node"):
        host.uninstall()
