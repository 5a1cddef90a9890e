"""The scenario's comparison of scenes: every loss that a step could cause is named, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import vtk

from Testing.Slicer.scenario.changes import May, differences, unexpected
from Testing.Slicer.scenario.snapshot import snapshot
from Testing.Support.at_once import gridTransformNode, maskSegmentation
from Testing.Support.known_scene import GRIDS, addVolume, latticePoints

GRID = GRIDS["RAS"]


@pytest.fixture
def filled(scene):
    """A scene with a volume under a transform, a segmentation, a point list and a table."""
    volume = addVolume(scene, latticePoints(GRID)[..., 0].astype(np.float32), GRID, "knee")
    bend = scene.AddNode(gridTransformNode(np.full((*GRID.shape, 3), 0.5, np.float32), GRID, "bend"))
    volume.SetAndObserveTransformNodeID(bend.GetID())
    box = np.zeros(GRID.shape, bool)
    box[4:9, 4:9, 4:9] = True
    segmentation = scene.AddNode(maskSegmentation(box, GRID, "bone", (1, 0, 0)))
    segmentation.CreateDefaultDisplayNodes()
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    points.AddControlPoint(vtk.vtkVector3d(1.0, 2.0, 3.0), "1")
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "numbers")
    column = table.AddColumn()
    column.InsertNextValue("1")
    return scene


def named(scene, name):
    return scene.GetFirstNodeByName(name)


def changed(scene, change, may=None):
    """What ``change`` does to the scene, in the scenario's words."""
    before = snapshot(scene)
    change()
    return unexpected(before, snapshot(scene), may or May())


def test_a_scene_that_nobody_touched_is_as_it_was(filled):
    assert list(differences(snapshot(filled), snapshot(filled))) == []


def test_changed_and_changed_back_is_as_it_was(filled):
    node = named(filled, "knee")
    display, transform = node.GetDisplayNode(), node.GetTransformNodeID()

    def thereAndBack():
        node.SetAndObserveTransformNodeID(None)
        node.SetAndObserveTransformNodeID(transform)
        if display is not None:
            display.SetVisibility(not display.GetVisibility())
            display.SetVisibility(not display.GetVisibility())

    assert changed(filled, thereAndBack) == []


def test_a_segment_that_is_gone_is_named(filled):
    segmentation = named(filled, "bone").GetSegmentation()
    words = changed(filled, segmentation.RemoveAllSegments)
    assert any("bone" in line and "segments" in line for line in words)


def test_a_voxel_of_a_segment_or_of_a_volume_that_changed_is_named(filled):
    from JointRegistrationMRML.nodes.arrays import numpyView

    segmentation = named(filled, "bone").GetSegmentation()
    segment = segmentation.GetSegment(segmentation.GetNthSegmentID(0))
    labels = numpyView(segment.GetRepresentation("Binary labelmap"))

    def change():
        labels[2, 2, 2] = 1 - labels[2, 2, 2]
        numpyView(named(filled, "knee").GetImageData())[3, 3, 3] = 77

    words = changed(filled, change)
    assert len(words) == 2
    assert any("Binary labelmap" in line for line in words) and any("voxels" in line for line in words)


def test_a_node_taken_out_of_its_transform_is_named(filled):
    (line,) = [
        line for line in changed(filled, lambda: named(filled, "knee").SetAndObserveTransformNodeID(None))
        if ", parent:" in line
    ]  # fmt: skip
    assert line.endswith("-> ")


def test_a_map_that_interpolates_otherwise_or_has_another_field_is_named(filled):
    from JointRegistrationMRML.nodes.arrays import numpyView

    transform = named(filled, "bend").GetTransformFromParent()
    grid = (transform if hasattr(transform, "GetDisplacementGrid") else transform.GetInverse()).GetDisplacementGrid()

    def change():
        numpyView(grid)[0, 0, 0, 0] = 9

    assert any("displacements" in line for line in changed(filled, change))


def test_a_display_that_was_hidden_is_named(filled):
    display = named(filled, "bone").GetDisplayNode()
    words = changed(filled, lambda: display.SetVisibility(False))
    assert len(words) == 1 and "Visibility: " in words[0]


def test_a_moved_point_and_a_changed_cell_are_named(filled):
    def change():
        named(filled, "points").SetNthControlPointPosition(0, 1.0, 2.0, 4.0)
        named(filled, "numbers").GetTable().GetColumn(0).SetValue(0, "2")

    words = changed(filled, change)
    assert any("point 0" in line for line in words) and any("row 0" in line for line in words)


def test_what_comes_and_goes_is_allowed_by_class_and_name(filled):
    def change():
        filled.AddNewNodeByClass("vtkMRMLModelNode", "surface of bone")
        filled.RemoveNode(named(filled, "numbers"))

    before = snapshot(filled)
    change()
    after = snapshot(filled)
    hierarchy = ("vtkMRMLSubjectHierarchyNode:*",)
    assert len(unexpected(before, after, May(change=hierarchy))) == 2
    may = May(add=("vtkMRMLModelNode:surface of *",), remove=("vtkMRMLTableNode:numbers",), change=hierarchy)
    assert unexpected(before, after, may) == []


def test_the_windows_own_nodes_may_always_change(filled):
    camera = filled.AddNewNodeByClass("vtkMRMLCameraNode", "camera")
    assert changed(filled, lambda: camera.SetPosition(1, 2, 3)) == []
