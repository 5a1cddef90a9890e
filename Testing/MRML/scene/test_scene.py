"""A scene of a run saved as .mrb and read back: everything, with its display."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import slicer

from JointRegistrationLib.core.errors import FileError
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation
from JointRegistrationMRML.nodes.transforms import FIXED_ROLE, MOVING_ROLE, affineFromNode, displacementFromNode
from JointRegistrationMRML.nodes.volumes import imageFromVolume
from JointRegistrationMRML.nodes.world import transformPoints
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from JointRegistrationMRML.scene.headless import createHeadlessScene, loadScene, saveScene
from Testing.Support.known_scene import FIXED_GRID, MOVING_GRID, pointsInside


@pytest.fixture
def saved(knee, tmp_path):
    outputs = registerVolumes(
        knee.scene, knee.nodes, options=OutputOptions(showMovingTransformed=True), runner=knee.run
    )
    return knee, outputs, saveScene(knee.scene, tmp_path / "scene.mrb")


@pytest.fixture
def reloaded(saved):
    knee, outputs, path = saved
    headless = createHeadlessScene()
    loadScene(headless.scene, path)

    def find(node):
        return headless.scene.GetFirstNodeByName(node.GetName())

    return knee, outputs, headless, find


def test_transforms_are_the_same_between_lattice_points_too_and_both_ways(reloaded, rng):
    _, outputs, _, find = reloaded
    for node, grid in ((outputs.nodes.transform, FIXED_GRID), (outputs.nodes.inverseTransform, MOVING_GRID)):
        points, found = pointsInside(grid, rng), find(node)
        for side in ("GetTransformFromParent", "GetTransformToParent"):
            shown, read = (transformPoints(getattr(one, side)(), points) for one in (node, found))
            np.testing.assert_allclose(read, shown, atol=1e-6, err_msg=side)


def test_file_holds_the_scene_and_one_file_per_result(saved):
    _, _, path = saved
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = [name.split("/")[-1] for name in archive.namelist()]
    run = "moving knee to fixed knee"
    expected = {
        "scene.mrml",
        "fixed knee.nrrd",
        "moving knee.nrrd",
        "moving labels.seg.nrrd",
        "moving knee warped.nrrd",
        "moving labels warped.seg.nrrd",
        f"{run}.h5",
        "fixed knee to moving knee.h5",
        f"{run} (affine).h5",
        f"{run} (log2 Jacobian).nrrd",
        f"{run} (folds).seg.nrrd",
        f"{run} (results).tsv",
        "Jacobian blue-white-red.ctbl",
    }
    assert expected == {name for name in names if name}


def test_saving_leaves_nothing_else_and_does_not_move_the_scene(saved):
    knee, _, path = saved
    assert [entry.name for entry in path.parent.iterdir()] == ["scene.mrb"]
    assert str(path.parent) not in (knee.scene.GetURL() or "")


def test_voxels_transforms_and_segments_come_back(reloaded, rng):
    knee, outputs, headless, find = reloaded
    assert headless.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 4
    warped = imageFromVolume(find(outputs.nodes.warpedVolume))
    assert warped.grid.is_close(FIXED_GRID)
    np.testing.assert_array_equal(warped.array, knee.result.warped)
    assert imageFromVolume(find(knee.nodes.moving), find(outputs.nodes.transform)).array.dtype == np.int16
    for which, grid in (("transform", FIXED_GRID), ("inverseTransform", MOVING_GRID)):
        field, there, fromParent = displacementFromNode(find(getattr(outputs.nodes, which)))
        assert fromParent and there.is_close(grid)
        np.testing.assert_allclose(field, displacementFromNode(getattr(outputs.nodes, which))[0], atol=1e-5)
    np.testing.assert_allclose(affineFromNode(find(outputs.nodes.affine)), knee.result.affine_ras, atol=1e-9)
    folds = labelsFromSegmentation(find(outputs.nodes.folds), FIXED_GRID)
    np.testing.assert_array_equal(folds.layers[0].labels > 0, knee.result.jacobian_determinant <= 0)
    lattice = FIXED_GRID.corners_ras
    np.testing.assert_allclose(
        transformPoints(find(outputs.nodes.transform).GetTransformFromParent(), lattice),
        transformPoints(outputs.nodes.transform.GetTransformFromParent(), lattice),
        atol=1e-3,
    )


def test_display_settings_colours_and_legend_come_back(reloaded):
    _, outputs, _, find = reloaded
    before, after = (node.GetDisplayNode() for node in (outputs.nodes.jacobian, find(outputs.nodes.jacobian)))
    assert after.GetWindow() == pytest.approx(before.GetWindow(), rel=1e-5)
    assert (after.GetLevel(), after.GetAutoWindowLevel()) == (0.0, 0)
    for index in (0, 64, 128, 255):
        given, found = [0.0] * 4, [0.0] * 4
        before.GetColorNode().GetColor(index, given)
        after.GetColorNode().GetColor(index, found)
        np.testing.assert_allclose(found, given, atol=1 / 255)
    legends = [
        slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
        for node in (outputs.nodes.jacobian, find(outputs.nodes.jacobian))
    ]
    assert legends[1].GetTitleText() == legends[0].GetTitleText()
    warped = find(outputs.nodes.warpedVolume).GetDisplayNode()
    assert (warped.GetWindow(), warped.GetLevel(), warped.GetAutoWindowLevel()) == (77.0, 33.0, 0)


def test_names_colours_roles_folder_and_live_view_come_back(reloaded):
    knee, outputs, headless, find = reloaded
    given, found = outputs.nodes.warpedSegmentation, find(outputs.nodes.warpedSegmentation)
    for segmentId in ("bone", "cartilage", "lesion"):
        a, b = (node.GetSegmentation().GetSegment(segmentId) for node in (given, found))
        assert a.GetName() == b.GetName()
        np.testing.assert_allclose(a.GetColor(), b.GetColor(), atol=1e-5)
    for node in (outputs.nodes.transform, outputs.nodes.warpedVolume, outputs.nodes.folds):
        assert find(node).GetNodeReference(FIXED_ROLE) is find(knee.nodes.fixed)
        assert find(node).GetNodeReference(MOVING_ROLE) is find(knee.nodes.moving)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(headless.scene)
    item = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(find(outputs.nodes.transform)))
    assert hierarchy.GetItemName(item) == "Registration: moving knee to fixed knee"
    assert find(knee.nodes.moving).GetParentTransformNode() is find(outputs.nodes.transform)


def test_transform_in_the_file_is_the_one_simpleitk_reads(saved, rng, tmp_path):
    import SimpleITK as sitk

    _, outputs, path = saved
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/moving knee to fixed knee.h5"))
        archive.extract(name, tmp_path / "out")
    transform = sitk.ReadTransform(str(tmp_path / "out" / name))
    flip = np.array([-1.0, -1.0, 1.0])
    points = pointsInside(FIXED_GRID, rng, 50)
    moved = np.array([transform.TransformPoint(point) for point in points * flip]) * flip
    expected = transformPoints(outputs.nodes.transform.GetTransformFromParent(), points)
    np.testing.assert_allclose(moved, expected, atol=1e-3)


def test_ending_is_added_and_an_old_file_replaced(scene, tmp_path):
    (tmp_path / "scene.mrb").write_text("old")
    assert saveScene(scene, tmp_path / "scene") == tmp_path / "scene.mrb"
    assert zipfile.is_zipfile(tmp_path / "scene.mrb")


def test_what_cannot_be_written_is_said_and_leaves_nothing(scene, tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        saveScene(scene, tmp_path / "nowhere" / "scene.mrb")
    (tmp_path / "taken.mrb").mkdir()
    with pytest.raises(FileError, match=r"taken\.mrb: cannot be written"):
        saveScene(scene, tmp_path / "taken.mrb")
    assert [entry.name for entry in tmp_path.iterdir()] == ["taken.mrb"]


def test_what_is_no_scene_is_said(scene, tmp_path):
    (tmp_path / "text.mrb").write_text("hello")
    with pytest.raises(FileError, match="not a Slicer scene"):
        loadScene(scene, tmp_path / "text.mrb")
    with pytest.raises(FileError, match="not a Slicer scene"):
        loadScene(scene, tmp_path / "missing.mrb")
    with zipfile.ZipFile(tmp_path / "empty.mrb", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(FileError, match=r"no \.mrml scene"):
        loadScene(scene, tmp_path / "empty.mrb")


def test_scenes_of_one_process_do_not_pile_up_conversions():
    factory = slicer.vtkSegmentationConverterFactory.GetInstance()
    scenes = [createHeadlessScene() for _ in range(3)]
    kinds = [rule.GetClassName() for rule in factory.GetConverterRules()]
    assert len(scenes) == 3 and len(kinds) == len(set(kinds)) >= 4
