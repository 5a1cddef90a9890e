"""Landmark pairs placed in the views: lists that belong to their image, and views that come back as they were."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationMRML.checks.guides import landmarkProblems
from JointRegistrationMRML.inspection.placing import isPlacing, modeNode, newLandmarks, startPlacing, stopPlacing
from JointRegistrationMRML.nodes.colors import FIXED_COLOR, WARPED_COLOR
from JointRegistrationMRML.nodes.points import landmarksFromMarkups
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputOptions
from JointRegistrationMRML.scene.transaction import discard
from Testing.Support.examples import run_example
from Testing.Support.known_scene import FIXED_GRID, smoothField


@pytest.fixture
def slices(knee):
    """Slice views that show the moving volume over the fixed one, one of them far off."""
    nodes = []
    for name in ("Red", "Green"):
        view, composite = slicer.vtkMRMLSliceNode(), slicer.vtkMRMLSliceCompositeNode()
        view.SetLayoutName(name)
        view.SetName(name)
        composite.SetLayoutName(name)
        composite.SetBackgroundVolumeID(knee.nodes.fixed.GetID())
        composite.SetForegroundVolumeID(knee.nodes.moving.GetID())
        composite.SetForegroundOpacity(0.3)
        nodes.append((knee.scene.AddNode(view), knee.scene.AddNode(composite)))
        nodes[-1][0].JumpSliceByCentering(*FIXED_GRID.center_ras)
    nodes[1][0].JumpSliceByCentering(500.0, 500.0, 500.0)
    return nodes


def _state(slices):
    return [(c.GetBackgroundVolumeID(), c.GetForegroundVolumeID(), c.GetForegroundOpacity()) for _view, c in slices]


def _position(view):
    return np.array([view.GetSliceToRAS().GetElement(row, 3) for row in range(3)])


def test_placing_shows_the_image_alone_and_gives_the_views_back(knee, slices):
    before = _state(slices)
    other = newLandmarks(knee.scene, "Moving landmarks", "moving", knee.nodes.moving)
    points = newLandmarks(knee.scene, "Fixed landmarks", "fixed", knee.nodes.fixed)
    display = knee.nodes.movingSegmentation.GetDisplayNode()
    record = startPlacing(knee.scene, points, knee.nodes.fixed, [knee.nodes.movingSegmentation, None])
    assert not display.GetVisibility()
    assert isPlacing(knee.scene, points)
    assert {(background, opacity) for background, _, opacity in _state(slices)} == {(knee.nodes.fixed.GetID(), 0.0)}
    assert not isPlacing(knee.scene, other)
    stopPlacing(knee.scene, record)
    assert not isPlacing(knee.scene, points)
    assert _state(slices) == before
    assert display.GetVisibility()


def test_layers_that_a_person_changed_meanwhile_stay(knee, slices):
    points = newLandmarks(knee.scene, "Fixed landmarks", "fixed", knee.nodes.fixed)
    record = startPlacing(knee.scene, points, knee.nodes.fixed)
    slices[0][1].SetForegroundOpacity(0.9)
    stopPlacing(knee.scene, record)
    assert [opacity for _, _, opacity in _state(slices)] == [0.9, 0.3]


def test_views_that_look_past_the_image_go_to_its_middle_and_others_stay(knee, slices):
    near = _position(slices[0][0])
    record = startPlacing(knee.scene, newLandmarks(knee.scene, "points", "fixed", knee.nodes.fixed), knee.nodes.fixed)
    np.testing.assert_allclose(_position(slices[0][0]), near)
    np.testing.assert_allclose(_position(slices[1][0]), FIXED_GRID.center_ras, atol=1e-6)
    stopPlacing(knee.scene, record)


def test_another_mouse_mode_is_left_alone_when_placing_ends(knee):
    record = startPlacing(knee.scene, newLandmarks(knee.scene, "points", "fixed", None), None)
    mode = modeNode(knee.scene)
    mode.SetCurrentInteractionMode(mode.Select)
    stopPlacing(knee.scene, record)
    assert mode.GetCurrentInteractionMode() == mode.Select


def test_points_have_the_same_numbers_in_both_lists_and_names_are_not_used_twice(knee):
    lists = [newLandmarks(knee.scene, "Fixed landmarks", "fixed", knee.nodes.fixed) for _ in range(2)]
    assert [node.GetName() for node in lists] == ["Fixed landmarks", "Fixed landmarks_1"]
    for node in lists:
        for x in range(3):
            node.AddControlPoint(vtk.vtkVector3d(x, 0, 0))
    assert landmarksFromMarkups(*lists).names == ("1", "2", "3")


def test_the_points_of_either_image_are_told_apart(knee):
    labels, colors = [], []
    for which in ("fixed", "moving"):
        node = newLandmarks(knee.scene, f"{which} points", which, None)
        node.AddControlPoint(vtk.vtkVector3d(1, 2, 3))
        labels.append(node.GetNthControlPointLabel(0))
        colors.append(node.GetDisplayNode().GetSelectedColor())
    assert labels == ["F1", "M1"]
    assert colors == [pytest.approx(FIXED_COLOR), pytest.approx(WARPED_COLOR)]


def test_points_placed_through_a_result_are_those_of_the_moving_image_itself(knee):
    outputs = registerVolumes(
        knee.scene, knee.nodes, options=OutputOptions(showMovingTransformed=True), runner=knee.run
    )
    fixed = newLandmarks(knee.scene, "Fixed landmarks", "fixed", knee.nodes.fixed)
    moving = newLandmarks(knee.scene, "Moving landmarks", "moving", knee.nodes.moving)
    index = (12, 14, 11)
    seen = FIXED_GRID.ijk_to_ras @ np.array([index[2], index[1], index[0], 1.0])
    for node in (fixed, moving):
        node.AddControlPointWorld(vtk.vtkVector3d(*seen[:3]))
    pairs = landmarksFromMarkups(fixed, moving, leftOut=outputs.nodes.transform)
    expected = seen[:3] + smoothField(FIXED_GRID)[index]
    np.testing.assert_allclose(pairs.moving_ras[0], expected, atol=0.02)
    discard(knee.scene, outputs.record)
    world = np.zeros(3)
    moving.GetNthControlPointPositionWorld(0, world)
    np.testing.assert_allclose(world, expected, atol=0.02, err_msg="on the anatomy also without the result")


def test_landmarks_of_a_run_are_shown_through_its_result_and_come_back_with_discard(knee):
    fixed = newLandmarks(knee.scene, "Fixed landmarks", "fixed", knee.nodes.fixed)
    moving = newLandmarks(knee.scene, "Moving landmarks", "moving", knee.nodes.moving)
    for node in (fixed, moving):
        node.AddControlPoint(vtk.vtkVector3d(*FIXED_GRID.center_ras))
    nodes = dataclasses.replace(knee.nodes, fixedLandmarks=fixed, movingLandmarks=moving)
    outputs = registerVolumes(knee.scene, nodes, options=OutputOptions(showMovingTransformed=True), runner=knee.run)
    assert moving.GetParentTransformNode() is outputs.nodes.transform
    assert fixed.GetParentTransformNode() is None
    read = landmarksFromMarkups(fixed, moving, leftOut=outputs.nodes.transform)
    np.testing.assert_allclose(read.moving_ras[0], FIXED_GRID.center_ras)
    discard(knee.scene, outputs.record)
    assert moving.GetParentTransformNode() is None


def test_the_point_that_follows_the_mouse_does_not_count(knee):
    lists = [newLandmarks(knee.scene, f"{which} landmarks", which.lower(), None) for which in ("Fixed", "Moving")]
    for node in lists:
        for x in (1.0, 2.0):
            node.AddControlPoint(vtk.vtkVector3d(x, 0, 0))
    fixed = lists[0]
    fixed.SetNthControlPointPosition(fixed.AddControlPoint(vtk.vtkVector3d()), 9.0, 9.0, 9.0, fixed.PositionPreview)
    pairs = landmarksFromMarkups(*lists)
    np.testing.assert_allclose(pairs.fixed_ras, [(1, 0, 0), (2, 0, 0)])
    assert pairs.names == ("1", "2")
    assert list(landmarkProblems(InputNodes(None, None, fixedLandmarks=fixed, movingLandmarks=lists[1]))) == []


def test_points_of_the_same_labels_are_paired_by_label_as_on_the_command_line(scene):
    places = {"fixed": [("a", 1.0), ("b", 2.0), ("c", 3.0)], "moving": [("c", 30.0), ("a", 10.0), ("b", 20.0)]}
    lists = []
    for name, points in places.items():
        node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        for label, x in points:
            node.AddControlPoint([x, 0.0, 0.0], label)
        lists.append(node)
    pairs = landmarksFromMarkups(*lists)
    assert pairs.names == ("a", "b", "c")
    assert pairs.moving_ras[:, 0].tolist() == [10, 20, 30]


def test_the_example_of_the_docs_gives_the_views_back(knee, slices):
    before = _state(slices)
    names = run_example("docs/inspection.md", 2, scene=knee.scene, fixedVolume=knee.nodes.fixed)
    assert names["points"].GetScene() is knee.scene and not isPlacing(knee.scene, names["points"])
    assert _state(slices) == before
