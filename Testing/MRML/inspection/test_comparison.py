"""What the slice views show after a run, and that they show afterwards what they did before."""

from __future__ import annotations

import numpy as np
import pytest

from JointRegistrationLib.core.errors import InputError
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from JointRegistrationMRML.scene.transaction import discard
from JointRegistrationMRML.scene.view_state import restoreViews
from Testing.Support.at_once import showComparison
from Testing.Support.known_scene import FIXED_GRID, addVolume, sceneState


@pytest.fixture
def slices(knee):
    """Three views that show something of the user's own."""
    mine = addVolume(knee.scene, np.zeros(FIXED_GRID.shape, np.float32), FIXED_GRID, "mine")
    nodes = [knee.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", name) for name in ("Red", "Green", "Yellow")]
    for node in nodes:
        node.SetBackgroundVolumeID(mine.GetID())
        node.SetForegroundOpacity(0.2)
        node.SetCompositing(node.Add)
    return nodes


def _run(knee, **options):
    return registerVolumes(knee.scene, knee.nodes, runner=knee.run, **options)


def _layers(node):
    layers = (node.GetBackgroundVolumeID(), node.GetForegroundVolumeID(), node.GetForegroundOpacity())
    return (*layers, node.GetCompositing())


def test_the_result_lies_half_transparent_over_the_fixed_volume_in_every_view(knee, slices):
    outputs = _run(knee)
    nodes = outputs.nodes
    foregrounds = {"warped": nodes.warpedVolume, "jacobian": nodes.jacobian, "moving": knee.nodes.moving}
    for mode, foreground in foregrounds.items():
        showComparison(knee.scene, outputs, mode)
        for node in slices:
            assert _layers(node) == (knee.nodes.fixed.GetID(), foreground.GetID(), 0.5, node.Alpha)


def test_views_are_restored_after_any_number_of_modes(knee, slices):
    before = [_layers(node) for node in slices]
    outputs = _run(knee)
    display = outputs.nodes.warpedVolume.GetDisplayNode()
    window = (display.GetWindow(), display.GetLevel())
    record = None
    for mode in ("warped", "jacobian", "moving", "warped"):
        record = showComparison(knee.scene, outputs, mode, earlier=record)
    restoreViews(knee.scene, record)
    assert [_layers(node) for node in slices] == before
    assert (display.GetWindow(), display.GetLevel()) == window
    assert knee.nodes.movingSegmentation.GetDisplayNode().GetVisibility() == 1


def test_discard_restores_the_views_and_removes_the_results(knee, slices):
    before, state = [_layers(node) for node in slices], sceneState(knee.scene)
    outputs = _run(knee)
    views = showComparison(knee.scene, outputs, "warped")
    assert discard(knee.scene, outputs.record, views) == []
    assert [_layers(node) for node in slices] == before
    assert {identifier for identifier, _ in sceneState(knee.scene)} - {identifier for identifier, _ in state} <= {
        "vtkMRMLSubjectHierarchyNode1"
    }
    assert knee.nodes.movingSegmentation.GetDisplayNode().GetVisibility() == 1


def test_a_view_that_the_user_changed_is_left_alone(knee, slices):
    outputs = _run(knee)
    record = showComparison(knee.scene, outputs)
    slices[0].SetBackgroundVolumeID(knee.nodes.moving.GetID())
    slices[1].SetForegroundOpacity(0.9)
    knee.scene.RemoveNode(slices[2])
    restoreViews(knee.scene, record)
    assert slices[0].GetBackgroundVolumeID() == knee.nodes.moving.GetID()
    assert slices[1].GetForegroundOpacity() == 0.9
    assert slices[1].GetForegroundVolumeID() is None


def test_a_volume_that_is_gone_is_not_shown_again(knee, slices):
    mine = knee.scene.GetNodeByID(slices[0].GetBackgroundVolumeID())
    outputs = _run(knee)
    record = showComparison(knee.scene, outputs)
    knee.scene.RemoveNode(mine)
    restoreViews(knee.scene, record)
    assert slices[0].GetBackgroundVolumeID() is None


@pytest.mark.parametrize(("factor", "shared"), [(1.0, True), (1.5, True), (5.0, False)])
def test_windows_are_shared_by_the_range_of_the_intensities(knee, slices, factor, shared):
    values = np.linspace(0, 100, FIXED_GRID.num_voxels, dtype=np.float32).reshape(FIXED_GRID.shape)
    fixed = addVolume(knee.scene, values, FIXED_GRID, "even")
    fixed.GetDisplayNode().AutoWindowLevelOff()
    fixed.GetDisplayNode().SetWindowLevel(60.0, 30.0)
    knee.nodes = type(knee.nodes)(fixed, knee.nodes.moving)
    knee.result.warped[...] = factor * values
    outputs = _run(knee)
    showComparison(knee.scene, outputs)
    display = outputs.nodes.warpedVolume.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == ((60.0, 30.0) if shared else (77.0, 33.0))


@pytest.mark.parametrize("live", [False, True])
def test_one_form_of_the_moving_segmentation_is_shown(knee, slices, live):
    outputs = _run(knee, options=OutputOptions(showMovingTransformed=live))
    moving, warped = knee.nodes.movingSegmentation.GetDisplayNode(), outputs.nodes.warpedSegmentation.GetDisplayNode()
    record = showComparison(knee.scene, outputs, "warped")
    assert (moving.GetVisibility(), warped.GetVisibility()) == (0, 1)
    showComparison(knee.scene, outputs, "moving", earlier=record)
    assert (moving.GetVisibility(), warped.GetVisibility()) == (1, 0)


@pytest.mark.parametrize("live", [False, True])
def test_without_a_warped_segmentation_the_moving_one_is_shown_only_through_the_transform(knee, slices, live):
    options = OutputOptions(warpedSegmentation=False, showMovingTransformed=live)
    outputs = _run(knee, options=options)
    record = showComparison(knee.scene, outputs, "warped")
    assert knee.nodes.movingSegmentation.GetDisplayNode().GetVisibility() == int(live)
    restoreViews(knee.scene, record)
    assert knee.nodes.movingSegmentation.GetDisplayNode().GetVisibility() == 1


def test_what_cannot_be_shown_is_said(knee, slices):
    outputs = _run(knee, options=OutputOptions(jacobian=False))
    with pytest.raises(InputError, match="unknown"):
        showComparison(knee.scene, outputs, "flicker")
    with pytest.raises(InputError, match="made no such volume"):
        showComparison(knee.scene, outputs, "jacobian")
    knee.scene.RemoveNode(knee.nodes.fixed)
    before = [_layers(node) for node in slices]
    with pytest.raises(InputError, match="no longer in the scene"):
        showComparison(knee.scene, outputs)
    assert [_layers(node) for node in slices] == before
