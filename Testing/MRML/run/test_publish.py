"""One run in a scene: what it leaves there, and that a failure leaves nothing."""

from __future__ import annotations

import sys
from dataclasses import fields, replace

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationLib.core.errors import InputError, RegistrationCancelled
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.result import LOG2_JACOBIAN_FLOOR
from JointRegistrationMRML.nodes.arrays import numpyView, vtkMatrix
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation, segmentationFromLabels
from JointRegistrationMRML.nodes.transforms import (
    FIXED_ROLE,
    MOVING_ROLE,
    affineFromNode,
    affineTransformNode,
    displacementFromNode,
)
from JointRegistrationMRML.nodes.volumes import imageFromVolume
from JointRegistrationMRML.nodes.world import transformPoints
from JointRegistrationMRML.run import display as displayModule
from JointRegistrationMRML.run import publish
from JointRegistrationMRML.run.inputs import readInputs
from JointRegistrationMRML.run.publish import publishResult
from JointRegistrationMRML.run.record import readRecord, recordsOf
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes, OutputOptions
from Testing.Support.at_once import gridTransformNode, maskSegmentation
from Testing.Support.known_scene import (
    FIXED_GRID,
    MOVING_GRID,
    addVolume,
    knownResult,
    pointsInside,
    sceneState,
    smoothField,
)

KINDS = [field.name for field in fields(OutputNodes)]


def _hierarchy(scene):
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def test_a_run_leaves_every_result_in_one_folder_of_its_own(knee):
    outputs = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    hierarchy = _hierarchy(knee.scene)
    assert hierarchy.GetItemName(outputs.folderItem) == "Registration: moving knee to fixed knee"
    for kind in KINDS:
        node = getattr(outputs.nodes, kind)
        assert node.GetScene() is knee.scene, kind
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == outputs.folderItem, kind
    assert outputs.result is knee.result


def test_results_hold_what_the_run_found(knee):
    nodes = registerVolumes(knee.scene, knee.nodes, runner=knee.run).nodes
    field, grid, fromParent = displacementFromNode(nodes.transform)
    assert fromParent and grid.is_close(FIXED_GRID)
    np.testing.assert_allclose(field, knee.result.displacement_field_mm, atol=1e-6)
    field, grid, fromParent = displacementFromNode(nodes.inverseTransform)
    assert fromParent and grid.is_close(MOVING_GRID)
    np.testing.assert_allclose(field, knee.result.inverse_displacement_field_mm, atol=1e-6)
    np.testing.assert_allclose(affineFromNode(nodes.affine), knee.result.affine_ras)
    warped = imageFromVolume(nodes.warpedVolume)
    assert warped.grid.is_close(FIXED_GRID)
    np.testing.assert_array_equal(warped.array, knee.result.warped)


def test_roles_name_the_two_volumes_and_are_exchanged_for_the_inverse(knee):
    nodes = registerVolumes(knee.scene, knee.nodes, runner=knee.run).nodes
    for kind in KINDS:
        node = getattr(nodes, kind)
        pair = (node.GetNodeReference(FIXED_ROLE), node.GetNodeReference(MOVING_ROLE))
        expected = (knee.nodes.fixed, knee.nodes.moving)
        assert pair == (expected[::-1] if kind == "inverseTransform" else expected), kind


def test_warped_volume_looks_like_the_moving_one(knee):
    display = registerVolumes(knee.scene, knee.nodes, runner=knee.run).nodes.warpedVolume.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel(), display.GetAutoWindowLevel()) == (77.0, 33.0, 0)


def test_jacobian_is_shown_centred_on_zero_with_a_legend(knee):
    node = registerVolumes(knee.scene, knee.nodes, runner=knee.run).nodes.jacobian
    values = numpyView(node.GetImageData())
    folded = knee.result.jacobian_determinant <= 0
    np.testing.assert_allclose(values[~folded], np.log2(knee.result.jacobian_determinant[~folded]), rtol=1e-6)
    assert np.all(values[folded] == LOG2_JACOBIAN_FLOOR)
    display = node.GetDisplayNode()
    assert display.GetLevel() == 0
    assert display.GetAutoWindowLevel() == 0
    assert display.GetWindow() == pytest.approx(2 * 0.4)  # log2 of 0.8 and 1.25 is -0.32 and 0.32
    colors = display.GetColorNode()
    low, middle, high = (_color(colors, index) for index in (0, 128, 255))
    assert low[2] > 0.5 > low[0] and high[0] > 0.5 > high[2]
    assert min(middle) > 0.9
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
    assert "twice" in legend.GetTitleText() and "half" in legend.GetTitleText()


def _color(colors, index):
    rgba = [0.0] * 4
    colors.GetColor(index, rgba)
    return rgba[:3]


def test_folds_segment_has_exactly_the_planted_voxels(knee):
    node = registerVolumes(knee.scene, knee.nodes, runner=knee.run).nodes.folds
    assert node.GetSegmentation().GetNthSegment(0).GetName() == "Folds"
    labels = labelsFromSegmentation(node, FIXED_GRID)
    np.testing.assert_array_equal(labels.layers[0].labels > 0, knee.result.jacobian_determinant <= 0)
    assert (labels.layers[0].labels > 0).sum() == 8


def test_a_map_without_folds_gives_an_empty_folds_segment(knee):
    knee.result = knownResult(folded=False)
    node = registerVolumes(knee.scene, knee.nodes, runner=knee.run).nodes.folds
    assert node.GetSegmentation().GetNumberOfSegments() == 1
    assert labelsFromSegmentation(node, FIXED_GRID).layers[0].labels.sum() == 0


def test_warped_segmentation_keeps_ids_names_colours_and_refers_to_the_fixed_volume(knee):
    display = knee.nodes.movingSegmentation.GetDisplayNode()
    display.SetSegmentVisibility("lesion", False)
    display.SetSegmentOpacity2DFill("bone", 0.25)
    node = registerVolumes(knee.scene, knee.nodes, runner=knee.run).nodes.warpedSegmentation
    given, warped = knee.nodes.movingSegmentation.GetSegmentation(), node.GetSegmentation()
    assert warped.GetSegmentIDs() == given.GetSegmentIDs()
    for segmentId in given.GetSegmentIDs():
        assert warped.GetSegment(segmentId).GetName() == given.GetSegment(segmentId).GetName()
        np.testing.assert_allclose(
            warped.GetSegment(segmentId).GetColor(), given.GetSegment(segmentId).GetColor(), atol=1e-6
        )
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is knee.nodes.fixed
    assert not node.GetDisplayNode().GetSegmentVisibility("lesion")
    assert node.GetDisplayNode().GetSegmentOpacity2DFill("bone") == 0.25


def test_only_the_wanted_results_are_made(knee):
    none = dict.fromkeys(KINDS, False)
    options = OutputOptions(**{**none, "warpedVolume": True})
    before = sceneState(knee.scene)
    outputs = registerVolumes(knee.scene, knee.nodes, options=options, runner=knee.run)
    assert [kind for kind in KINDS if getattr(outputs.nodes, kind) is not None] == ["warpedVolume"]
    added = {name for _, name in sceneState(knee.scene) - before}
    assert "moving knee warped" in added
    assert not any("Jacobian" in name or "folds" in name for name in added)


def test_without_a_moving_segmentation_there_is_no_warped_one(knee):
    nodes = InputNodes(knee.nodes.fixed, knee.nodes.moving)
    assert registerVolumes(knee.scene, nodes, runner=knee.run).nodes.warpedSegmentation is None


def test_runs_have_their_own_folders_and_share_the_colours(knee):
    first = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    second = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    names = [_hierarchy(knee.scene).GetItemName(outputs.folderItem) for outputs in (first, second)]
    assert names[1] == f"{names[0]} (2)"
    colors = [outputs.nodes.jacobian.GetDisplayNode().GetColorNode() for outputs in (first, second)]
    assert colors[0] is colors[1]
    assert first.nodes.transform.GetName() != second.nodes.transform.GetName()


def test_a_second_run_starts_where_the_first_did_though_its_inputs_are_shown_through_the_first(knee):
    """That goes for points placed since on the image shown so; another program's transform counts as before."""
    shown = OutputOptions(showMovingTransformed=True)
    first = registerVolumes(knee.scene, knee.nodes, options=shown, runner=knee.run)
    points = knee.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "placed since")
    points.SetAndObserveTransformNodeID(knee.nodes.moving.GetTransformNodeID())
    points.AddControlPoint(1.0, 2.0, 3.0)
    fixedPoints = knee.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "in the fixed image")
    fixedPoints.AddControlPoint(1.0, 2.0, 3.0)
    nodes = replace(knee.nodes, movingLandmarks=points, fixedLandmarks=fixedPoints)
    inputs = readInputs(nodes)
    assert inputs.moving.grid.is_close(MOVING_GRID)
    np.testing.assert_allclose(inputs.landmarks.moving_ras, [[1.0, 2.0, 3.0]])
    second = registerVolumes(knee.scene, nodes, options=shown, runner=knee.run)
    for node in (nodes.moving, nodes.movingSegmentation, points):
        assert node.GetParentTransformNode() is second.nodes.transform
    assert readInputs(nodes).moving.grid.is_close(MOVING_GRID)
    first.nodes.transform.RemoveAttribute("JointRegistration.Result")
    nodes.moving.SetAndObserveTransformNodeID(first.nodes.transform.GetID())
    assert not readInputs(nodes).moving.grid.is_close(MOVING_GRID)


def test_a_node_with_data_that_no_run_made_is_not_overwritten(knee):
    mine = addVolume(knee.scene, np.ones(FIXED_GRID.shape), FIXED_GRID, "mine")
    with pytest.raises(InputError, match="warped volume: mine holds what no registration made"):
        registerVolumes(knee.scene, knee.nodes, reuse=OutputNodes(warpedVolume=mine), runner=knee.run)
    linear = affineTransformNode(np.diag([1.0, 1.0, -1.0, 1.0]), "flip")
    knee.scene.AddNode(linear)
    with pytest.raises(InputError, match="transform: flip holds"):
        registerVolumes(knee.scene, knee.nodes, reuse=OutputNodes(transform=linear), runner=knee.run)


# -- failures -------------------------------------------------------------------------------------------

STEPS = [
    "gridTransformNodeSteps",
    "affineTransformNode",
    "volumeFromImage",
    "warpSegmentsSteps",
    "segmentationSteps",
    "jacobianSteps",
    "foldsSteps",
    "sharedDivergingColors",
    "showJacobian",
    "addLegend",
    "_setRoles",
    "putRecord",
    "_displayLike",
    "_displaySegmentsLike",
    "showPairSteps",
    "_intoFolder",
    "_freeName",
]


def _ownerOf(step):
    return publish if hasattr(publish, step) else displayModule


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_nothing_is_left_when_a_step_fails(knee, monkeypatch, step, late):
    owner = _ownerOf(step)
    real = getattr(owner, step)

    def failing(*args, **kwargs):
        if late:
            real(*args, **kwargs)
        raise MemoryError(step)

    items = _hierarchy(knee.scene).GetNumberOfItems()
    before = sceneState(knee.scene)
    monkeypatch.setattr(owner, step, failing)
    with pytest.raises(MemoryError, match=step):
        registerVolumes(knee.scene, knee.nodes, options=OutputOptions(showMovingTransformed=True), runner=knee.run)
    assert sceneState(knee.scene) == before
    assert _hierarchy(knee.scene).GetNumberOfItems() == items
    assert knee.nodes.moving.GetTransformNodeID() is None
    assert not knee.scene.IsBatchProcessing()


@pytest.mark.parametrize("step", ["foldsSteps", "_setRoles", "addLegend", "putRecord", "_intoFolder"])
def test_reused_nodes_get_their_old_content_back_when_a_step_fails(knee, monkeypatch, step):
    first = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    before, old = sceneState(knee.scene), _contents(first.nodes)
    knee.result = _otherResult()
    owner = _ownerOf(step)
    real = getattr(owner, step)

    def failing(*args, **kwargs):
        real(*args, **kwargs)
        raise MemoryError(step)

    monkeypatch.setattr(owner, step, failing)
    with pytest.raises(MemoryError):
        registerVolumes(knee.scene, knee.nodes, reuse=first.nodes, runner=knee.run)
    assert sceneState(knee.scene) == before
    _assertSame(_contents(first.nodes), old)


def test_reused_nodes_get_the_new_content_and_keep_name_and_place(knee):
    first = registerVolumes(knee.scene, knee.nodes, runner=knee.run)
    first.nodes.warpedVolume.SetName("my warped")
    before = {identifier for identifier, _ in sceneState(knee.scene)}
    knee.result = _otherResult()
    second = registerVolumes(knee.scene, knee.nodes, reuse=first.nodes, runner=knee.run)
    assert {identifier for identifier, _ in sceneState(knee.scene)} == before
    assert second.folderItem == 0
    for kind in KINDS:
        assert getattr(second.nodes, kind) is getattr(first.nodes, kind)
    assert first.nodes.warpedVolume.GetName() == "my warped"
    np.testing.assert_array_equal(imageFromVolume(first.nodes.warpedVolume).array, knee.result.warped)
    np.testing.assert_allclose(displacementFromNode(first.nodes.transform)[0], knee.result.displacement_field_mm)
    assert labelsFromSegmentation(first.nodes.folds, FIXED_GRID).layers[0].labels.sum() == 0
    assert first.nodes.jacobian.GetDisplayNode().GetWindow() == pytest.approx(2 * 0.6)  # log2(1.5) = 0.58


def _otherResult():
    result = knownResult(folded=False)
    result.warped[...] = 5
    result.displacement_field_mm[...] = 1
    result.jacobian_determinant[...] = 1.5
    return result


def _contents(nodes: OutputNodes) -> dict[str, object]:
    display = nodes.jacobian.GetDisplayNode()
    return {
        "transform": displacementFromNode(nodes.transform)[0],
        "inverse": displacementFromNode(nodes.inverseTransform)[0],
        "affine": affineFromNode(nodes.affine),
        "warped": imageFromVolume(nodes.warpedVolume).array.copy(),
        "jacobian": imageFromVolume(nodes.jacobian).array.copy(),
        "folds": labelsFromSegmentation(nodes.folds, FIXED_GRID).layers[0].labels,
        "labels": labelsFromSegmentation(nodes.warpedSegmentation, FIXED_GRID).layers[0].labels,
        "window": np.array([display.GetWindow(), display.GetLevel()]),
        "colors": np.array([display.GetColorNodeID()]),
        "parents": np.array(
            [str(getattr(nodes, kind).GetTransformNodeID()) for kind in KINDS if kind != "resultsTable"]
        ),
        "table": np.array(
            [nodes.resultsTable.GetCellText(row, 1) for row in range(nodes.resultsTable.GetNumberOfRows())]
        ),
        "record": np.array([repr(readRecord(record)) for record in recordsOf(nodes.transform.GetScene())]),
        "roles": np.array([getattr(nodes, kind).GetNodeReferenceID(FIXED_ROLE) for kind in KINDS]),
    }


def _assertSame(first: dict[str, object], second: dict[str, object]) -> None:
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_a_failing_runner_leaves_the_scene_alone(knee):
    def failing(inputs, config, progress, cancelled):
        raise InputError("the images do not overlap")

    before = sceneState(knee.scene)
    with pytest.raises(InputError, match="overlap"):
        registerVolumes(knee.scene, knee.nodes, runner=failing)
    assert sceneState(knee.scene) == before


def test_cancelling_while_the_runner_ends_publishes_nothing(knee):
    before = sceneState(knee.scene)
    with pytest.raises(RegistrationCancelled):
        registerVolumes(knee.scene, knee.nodes, runner=knee.run, cancelled=lambda: True)
    assert sceneState(knee.scene) == before


def test_progress_grows_to_one(knee):
    seen = []
    registerVolumes(knee.scene, knee.nodes, runner=knee.run, progress=lambda *step: seen.append(step))
    fractions = [fraction for _, fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert seen[0][0] == "pretending"


def test_unfit_inputs_and_outputs_are_refused_before_anything_runs(knee):
    def never(*args):
        raise AssertionError("the runner was called")

    def refused(match, nodes=knee.nodes, **options):
        before = sceneState(knee.scene)
        with pytest.raises(InputError, match=match):
            registerVolumes(knee.scene, nodes, runner=never, **options)
        assert sceneState(knee.scene) == before

    fixed, moving, labels = knee.nodes.fixed, knee.nodes.moving, knee.nodes.movingSegmentation
    refused("moving volume is not selected", InputNodes(fixed, None))
    refused("fixed knee.*same volume", InputNodes(fixed, fixed))
    refused("segmentation is needed", InputNodes(fixed, moving, movingSegmentation=moving))
    points = knee.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    refused("one image only", InputNodes(fixed, moving, fixedLandmarks=points))
    refused("moving knee is an input", reuse=OutputNodes(warpedVolume=moving))
    refused("vtkMRMLTransformNode is needed", reuse=OutputNodes(transform=labels))
    mine = addVolume(knee.scene, np.zeros(FIXED_GRID.shape, np.float32), FIXED_GRID, "mine")
    refused("mine holds what no registration made", reuse=OutputNodes(warpedVolume=mine))
    other = knee.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "other")
    refused("other is chosen for two", reuse=OutputNodes(warpedVolume=other, jacobian=other))
    stranger = slicer.vtkMRMLScalarVolumeNode()
    refused("not in the scene", reuse=OutputNodes(warpedVolume=stranger))
    with pytest.raises(InputError, match="only if the transform is wanted"):
        OutputOptions(transform=False, showMovingTransformed=True)


# -- transforms above the inputs --------------------------------------------------------------------------


def _shift(scene, name, offset):
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    matrix = np.eye(4)
    matrix[:3, 3] = offset
    node.SetMatrixTransformToParent(vtkMatrix(matrix))
    return node


def _worldToMovingVoxel(moving, point):
    fromWorld = vtk.vtkGeneralTransform()
    moving.GetParentTransformNode().GetTransformFromWorld(fromWorld)
    return transform_points(MOVING_GRID.ras_to_ijk, fromWorld.TransformPoint(point))


def test_live_view_puts_the_moving_volume_under_the_transform(knee, rng):
    options = OutputOptions(showMovingTransformed=True)
    outputs = registerVolumes(knee.scene, knee.nodes, options=options, runner=knee.run)
    assert knee.nodes.moving.GetParentTransformNode() is outputs.nodes.transform
    for point in pointsInside(FIXED_GRID, rng, 5):
        shown = outputs.nodes.transform.GetTransformFromParent().TransformPoint(point)
        np.testing.assert_allclose(
            _worldToMovingVoxel(knee.nodes.moving, point), transform_points(MOVING_GRID.ras_to_ijk, shown), atol=1e-6
        )


def test_result_maps_world_to_world_when_a_linear_transform_moves_the_moving_volume(knee, rng):
    """A voxel is drawn where map and starting transform, in this order, send it; the start stays as it was."""
    offset = np.array([30.0, -20.0, 10.0])
    start = _shift(knee.scene, "start", offset)
    knee.nodes.moving.SetAndObserveTransformNodeID(start.GetID())
    inputs = readInputs(knee.nodes)
    np.testing.assert_allclose(inputs.moving.grid.origin_ras, np.asarray(MOVING_GRID.origin_ras) + offset)
    options = OutputOptions(showMovingTransformed=True)
    outputs = registerVolumes(knee.scene, knee.nodes, options=options, runner=knee.run)
    between = knee.nodes.moving.GetParentTransformNode()
    assert between is not start
    assert between.GetParentTransformNode() is outputs.nodes.transform
    assert start.GetParentTransformNode() is None
    for point in pointsInside(FIXED_GRID, rng, 5):
        world = outputs.nodes.transform.GetTransformFromParent().TransformPoint(point)
        expected = transform_points(MOVING_GRID.ras_to_ijk, np.asarray(world) - offset)
        np.testing.assert_allclose(_worldToMovingVoxel(knee.nodes.moving, point), expected, atol=1e-6)


def test_a_second_run_into_the_same_transform_does_not_count_the_first(knee):
    options = OutputOptions(showMovingTransformed=True)
    first = registerVolumes(knee.scene, knee.nodes, options=options, runner=knee.run)
    knee.nodes.movingSegmentation.SetAndObserveTransformNodeID(first.nodes.transform.GetID())
    inputs = readInputs(knee.nodes, first.nodes)
    assert inputs.moving.grid.is_close(MOVING_GRID)
    before = labelsFromSegmentation(first.nodes.warpedSegmentation, FIXED_GRID)
    registerVolumes(knee.scene, knee.nodes, options=options, reuse=first.nodes, runner=knee.run)
    assert knee.nodes.moving.GetParentTransformNode() is first.nodes.transform
    after = labelsFromSegmentation(first.nodes.warpedSegmentation, FIXED_GRID)
    np.testing.assert_array_equal(after.layers[0].labels, before.layers[0].labels)


def test_masks_and_landmarks_are_read_in_world_coordinates(knee):
    offset = np.array([3.0, 4.0, 5.0])
    start = _shift(knee.scene, "start", offset)
    points = {}
    for name in ("fixed points", "moving points"):
        points[name] = knee.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        for position in ((1, 2, 3), (4, 5, 6), (-7, 8, 9)):
            points[name].AddControlPoint(vtk.vtkVector3d(*position), "patella")
    points["moving points"].SetAndObserveTransformNodeID(start.GetID())
    mask = addVolume(knee.scene, np.ones(FIXED_GRID.shape, np.uint8), FIXED_GRID, "mask")
    inputs = readInputs(
        InputNodes(
            knee.nodes.fixed,
            knee.nodes.moving,
            fixedMask=mask,
            movingMask=knee.nodes.movingSegmentation,
            fixedLandmarks=points["fixed points"],
            movingLandmarks=points["moving points"],
        )
    )
    np.testing.assert_allclose(inputs.landmarks.fixed_ras, [(1, 2, 3), (4, 5, 6), (-7, 8, 9)])
    np.testing.assert_allclose(inputs.landmarks.moving_ras - inputs.landmarks.fixed_ras, [offset] * 3)
    assert inputs.landmarks.names == ("patella",) * 3
    assert inputs.fixed_mask.grid.is_close(FIXED_GRID)
    assert inputs.moving_mask.grid.is_close(MOVING_GRID)
    distance = np.linalg.norm(_positions(inputs.moving_mask.grid) - MOVING_GRID.center_ras, axis=-1)
    assert np.all(inputs.moving_mask.array[distance < 12])
    assert not np.any(inputs.moving_mask.array[distance > 18])


def _positions(grid):
    from Testing.Support.known_scene import latticePoints

    return latticePoints(grid)


def test_unplaced_and_uneven_landmarks_are_refused(knee):
    fixed = knee.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "fixed points")
    moving = knee.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "moving points")
    fixed.AddControlPoint(vtk.vtkVector3d(1, 2, 3))
    nodes = InputNodes(knee.nodes.fixed, knee.nodes.moving, fixedLandmarks=fixed, movingLandmarks=moving)
    with pytest.raises(InputError, match="landmarks"):
        readInputs(nodes)
    moving.AddControlPoint(vtk.vtkVector3d(1, 2, 3), "patella")
    moving.UnsetNthControlPointPosition(0)
    with pytest.raises(InputError, match=r"patella of moving points is not placed"):
        readInputs(nodes)


def test_layer_imports_neither_torch_nor_qt():
    import subprocess

    code = (
        "import sys; import JointRegistrationMRML.run.register, JointRegistrationMRML.scene.headless;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'qt', 'ctk', 'PythonQt')))"
    )
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0


def test_publishing_alone_serves_a_result_from_elsewhere(knee):
    outputs = publishResult(knee.scene, knee.nodes, knee.result)
    moved = transformPoints(outputs.nodes.transform.GetTransformFromParent(), FIXED_GRID.corners_ras)
    field = smoothField(FIXED_GRID)
    np.testing.assert_allclose(moved[0], FIXED_GRID.corners_ras[0] + field[0, 0, 0], atol=1e-4)


def test_results_table_holds_the_figures_and_the_overlap_of_segments(knee):
    fixedLabels = knee.scene.AddNode(
        segmentationFromLabels(labelsFromSegmentation(knee.nodes.movingSegmentation, FIXED_GRID), "fixed labels")
    )
    nodes = replace(knee.nodes, fixedSegmentation=fixedLabels)
    outputs = registerVolumes(knee.scene, nodes, runner=knee.run)
    table = outputs.nodes.resultsTable
    rows = {table.GetCellText(row, 0): table.GetCellText(row, 1) for row in range(table.GetNumberOfRows())}
    assert rows["NCC after"] == "0.9"
    assert rows["Dice before, Femur"] == "1"
    assert [overlap.name for overlap in outputs.overlaps] == ["Femur", "Femoral cartilage", "Lesion"]
    assert all(0 < overlap.after < 1 for overlap in outputs.overlaps)
    assert float(rows["Dice after, Femur"]) == pytest.approx(outputs.overlaps[0].after, rel=1e-4)


def test_overlap_without_a_common_segment_is_left_out(knee):
    fixedLabels = knee.scene.AddNode(
        maskSegmentation(np.ones(FIXED_GRID.shape, bool), FIXED_GRID, "Patella", (1, 0, 0))
    )
    outputs = registerVolumes(knee.scene, replace(knee.nodes, fixedSegmentation=fixedLabels), runner=knee.run)
    assert outputs.overlaps == ()
    assert outputs.nodes.resultsTable.GetNumberOfRows() > 5


def test_an_initial_transform_reaches_the_runner_as_the_map_of_fixed_points(knee):
    toParent = np.array([[1, 0, 0, 5], [0, 1, 0, -3], [0, 0, 1, 2], [0, 0, 0, 1.0]])
    node = knee.scene.AddNode(affineTransformNode(np.linalg.inv(toParent), "start"))
    inputs = readInputs(replace(knee.nodes, initialTransform=node))
    np.testing.assert_allclose(inputs.initial_affine_ras, np.linalg.inv(toParent))


def test_an_initial_transform_that_is_not_linear_is_refused(knee):
    node = knee.scene.AddNode(gridTransformNode(smoothField(FIXED_GRID), FIXED_GRID, "bent"))
    with pytest.raises(InputError, match=r"initial transform: bent is not linear"):
        readInputs(replace(knee.nodes, initialTransform=node))
