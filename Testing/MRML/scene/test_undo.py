"""Discard: the scene is as it was before the run, but for what a user made or edited since."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import slicer

from JointRegistrationMRML.nodes.arrays import numpyView, vtkMatrix
from JointRegistrationMRML.nodes.transforms import displacementFromNode
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputNodes, OutputOptions
from JointRegistrationMRML.scene.headless import saveScene
from JointRegistrationMRML.scene.transaction import discard
from Testing.Support.known_scene import FIXED_GRID, addVolume, knownResult, sceneState

KINDS = [field.name for field in fields(OutputNodes)]
LIVE = OutputOptions(showMovingTransformed=True)


def _hierarchy(scene):
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def _run(knee, **options):
    return registerVolumes(knee.scene, knee.nodes, runner=knee.run, **options)


def _references(scene):
    """Every reference of every node, by role, without the subject hierarchy's."""
    found = set()
    nodes = scene.GetNodes()
    for index in range(nodes.GetNumberOfItems()):
        node = nodes.GetItemAsObject(index)
        if node.IsA("vtkMRMLSubjectHierarchyNode"):
            continue
        for role in (node.GetNthNodeReferenceRole(n) for n in range(node.GetNumberOfNodeReferenceRoles())):
            for n in range(node.GetNumberOfNodeReferences(role)):
                found.add((node.GetID(), role, n, node.GetNthNodeReferenceID(role, n)))
    return found


@pytest.mark.parametrize("options", [OutputOptions(), LIVE], ids=["plain", "live"])
def test_a_discarded_run_leaves_the_scene_as_it_was(knee, options):
    _hierarchy(knee.scene)
    before, references = sceneState(knee.scene), _references(knee.scene)
    outputs = _run(knee, options=options)
    assert sceneState(knee.scene) != before
    assert discard(knee.scene, outputs.record) == []
    assert sceneState(knee.scene) == before
    assert _references(knee.scene) == references
    assert knee.nodes.moving.GetTransformNodeID() is None
    assert knee.nodes.movingSegmentation.GetTransformNodeID() is None
    assert _hierarchy(knee.scene).GetItemParent(outputs.folderItem) == 0
    assert not knee.scene.IsBatchProcessing()


def test_the_transform_above_the_moving_volume_comes_back(knee):
    above = knee.scene.AddNewNodeByClass("vtkMRMLTransformNode", "above")
    matrix = np.eye(4)
    matrix[0, 3] = 3
    above.SetMatrixTransformToParent(vtkMatrix(matrix))
    knee.nodes.moving.SetAndObserveTransformNodeID(above.GetID())
    before = sceneState(knee.scene)
    outputs = _run(knee, options=LIVE)
    assert knee.nodes.moving.GetParentTransformNode() is not above
    discard(knee.scene, outputs.record)
    assert knee.nodes.moving.GetParentTransformNode() is above
    assert sceneState(knee.scene) == before


def test_a_second_run_into_the_same_nodes_goes_back_to_the_first(knee):
    first = _run(knee)
    before = sceneState(knee.scene)
    field = displacementFromNode(first.nodes.transform)[0].copy()
    window = first.nodes.jacobian.GetDisplayNode().GetWindow()
    knee.result = knownResult(folded=False)
    knee.result.displacement_field_mm[...] = 1
    knee.result.jacobian_determinant[...] = 1.5
    second = _run(knee, reuse=first.nodes)
    assert first.nodes.jacobian.GetDisplayNode().GetWindow() != window
    assert discard(knee.scene, second.record) == []
    assert sceneState(knee.scene) == before
    np.testing.assert_array_equal(displacementFromNode(first.nodes.transform)[0], field)
    assert first.nodes.jacobian.GetDisplayNode().GetWindow() == window


def test_runs_can_be_discarded_in_any_order(knee):
    before = sceneState(knee.scene)
    first, second = _run(knee), _run(knee)
    colors = second.nodes.jacobian.GetDisplayNode().GetColorNode()
    discard(knee.scene, first.record)
    assert second.nodes.jacobian.GetDisplayNode().GetColorNode() is colors  # the second run still needs them
    discard(knee.scene, second.record)
    assert {name for _, name in sceneState(knee.scene) - before} <= {colors.GetName(), *_storageNames(knee.scene)}


def _storageNames(scene):
    nodes = scene.GetNodesByClass("vtkMRMLStorageNode")
    return {nodes.GetItemAsObject(index).GetName() for index in range(nodes.GetNumberOfItems())}


def test_what_the_user_made_since_stays(knee):
    before = sceneState(knee.scene)
    outputs = _run(knee)
    mine = addVolume(knee.scene, np.zeros(FIXED_GRID.shape, np.float32), FIXED_GRID, "mine")
    mine.SetAndObserveTransformNodeID(outputs.nodes.transform.GetID())
    hierarchy = _hierarchy(knee.scene)
    item = hierarchy.CreateItem(outputs.folderItem, mine)
    made = {(mine.GetID(), "mine"), (mine.GetDisplayNode().GetID(), mine.GetDisplayNode().GetName())}
    discard(knee.scene, outputs.record)
    assert sceneState(knee.scene) == before | made
    assert mine.GetParentTransformNode() is None
    assert hierarchy.GetItemParent(item) == outputs.folderItem  # a folder in use is not taken away


@pytest.mark.parametrize("kind", ["warpedVolume", "transform", "warpedSegmentation"])
def test_a_result_that_was_edited_stays_and_is_named(knee, kind):
    outputs = _run(knee)
    node = getattr(outputs.nodes, kind)
    display = node.GetDisplayNode()
    _edit(node)
    assert discard(knee.scene, outputs.record) == [node.GetName()]
    assert node.GetScene() is knee.scene
    assert display is None or display.GetScene() is knee.scene
    for other in KINDS:
        assert other == kind or getattr(outputs.nodes, other).GetScene() is None


def _edit(node):
    if node.IsA("vtkMRMLVolumeNode"):
        numpyView(node.GetImageData())[0] = 1
        node.GetImageData().Modified()
    elif node.IsA("vtkMRMLTransformNode"):
        node.ApplyTransformMatrix(vtkMatrix(np.diag([2.0, 1, 1, 1])))
    else:
        node.GetSegmentation().RemoveSegment("bone")


def test_a_reused_node_that_was_edited_keeps_the_edit(knee):
    first = _run(knee)
    second = _run(knee, reuse=first.nodes)
    _edit(first.nodes.warpedVolume)
    assert discard(knee.scene, second.record) == [first.nodes.warpedVolume.GetName()]
    assert np.all(numpyView(first.nodes.warpedVolume.GetImageData())[0] == 1)


def test_looking_at_results_is_no_edit(knee, tmp_path):
    before = sceneState(knee.scene)
    outputs = _run(knee, options=LIVE)
    outputs.nodes.warpedVolume.SetName("better name")
    outputs.nodes.warpedVolume.GetDisplayNode().SetWindowLevel(5, 5)
    outputs.nodes.warpedSegmentation.CreateClosedSurfaceRepresentation()
    outputs.nodes.transform.GetTransformToParent()  # computes the inverse
    assert discard(knee.scene, outputs.record) == []
    assert sceneState(knee.scene) == before


def test_storage_nodes_of_a_saved_scene_go_too(knee, tmp_path):
    saveScene(knee.scene, tmp_path / "before.mrb")
    before = sceneState(knee.scene)
    outputs = _run(knee)
    saveScene(knee.scene, tmp_path / "after.mrb")
    assert discard(knee.scene, outputs.record) == []
    assert sceneState(knee.scene) == before


def test_a_changed_parent_transform_is_left_alone(knee):
    outputs = _run(knee, options=LIVE)
    other = knee.scene.AddNewNodeByClass("vtkMRMLTransformNode", "other")
    knee.nodes.moving.SetAndObserveTransformNodeID(other.GetID())
    discard(knee.scene, outputs.record)
    assert knee.nodes.moving.GetParentTransformNode() is other


def test_deleted_results_inputs_and_folders_are_no_obstacle(knee):
    before = {identifier for identifier, _ in sceneState(knee.scene)}
    outputs = _run(knee, options=LIVE)
    for node in (outputs.nodes.transform, outputs.nodes.warpedVolume, knee.nodes.moving):
        knee.scene.RemoveNode(node)
    hierarchy = _hierarchy(knee.scene)
    hierarchy.RemoveItem(outputs.folderItem, False, False)
    moving = {"vtkMRMLScalarVolumeNode2", "vtkMRMLScalarVolumeDisplayNode2"}
    discard(knee.scene, outputs.record)
    assert before - moving <= {identifier for identifier, _ in sceneState(knee.scene)}
    assert not any(getattr(outputs.nodes, kind).GetScene() for kind in KINDS)


def test_discarding_twice_or_after_the_scene_was_closed_changes_nothing(knee):
    outputs = _run(knee, options=LIVE)
    discard(knee.scene, outputs.record)
    before = sceneState(knee.scene)
    assert discard(knee.scene, outputs.record) == []
    assert sceneState(knee.scene) == before
    closed = _run(knee, options=LIVE)
    knee.scene.Clear(0)
    addVolume(knee.scene, np.zeros(FIXED_GRID.shape, np.float32), FIXED_GRID, "new")
    before = sceneState(knee.scene)
    assert discard(knee.scene, closed.record) == []
    assert sceneState(knee.scene) == before
