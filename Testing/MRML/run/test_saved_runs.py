"""Runs that a scene holds are found by their records, and say again what they said when they were made."""

from __future__ import annotations

import math
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import slicer
import torch
from scipy.ndimage import map_coordinates

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.result import LandmarkErrors
from JointRegistrationLib.core.settings import with_settings
from JointRegistrationLib.ops import maps
from JointRegistrationMRML.inspection.session import VIEWS, Inspection
from JointRegistrationMRML.nodes.segments.segmentations import labelsFromSegmentation, segmentationFromLabels
from JointRegistrationMRML.run.record import FIGURES, recordsOf
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import OUTPUT_CLASSES, OUTPUT_KINDS, OutputNodes, OutputOptions
from JointRegistrationMRML.run.saved_result import jacobianOf
from JointRegistrationMRML.run.saved_runs import findRuns, outputsOf
from JointRegistrationMRML.scene.headless import createHeadlessScene, loadScene, saveScene
from JointRegistrationMRML.scene.transaction import discard, nodesOf
from Testing.Support.known_scene import FIXED_GRID, GRIDS, latticePoints, smoothField


def _run(knee: Any, options: OutputOptions | None = None) -> Any:
    return registerVolumes(knee.scene, knee.nodes, runner=knee.run, options=options)


@pytest.mark.parametrize("name", ["RAS", "LAS-left-handed", "oblique-anisotropic-left-handed"])
def test_the_determinant_is_the_librarys(name: str) -> None:
    grid = GRIDS[name]
    field = smoothField(grid, 6.0).astype(np.float32)
    tensor = torch.from_numpy(field).permute(3, 0, 1, 2)[None].double()
    expected = maps.jacobian_determinant(maps.identity(grid, dtype=torch.float64) + tensor, grid)
    np.testing.assert_allclose(jacobianOf(field, grid), expected[0, 0].numpy(), atol=2e-5)


def test_a_saved_run_says_the_same_again(knee: Any, tmp_path: Any) -> None:
    odd = 'bone: "50 %"; née'
    knee.nodes.movingSegmentation.GetSegmentation().GetSegment("bone").SetName(odd)
    labels = labelsFromSegmentation(knee.nodes.movingSegmentation, FIXED_GRID)
    knee.nodes = replace(
        knee.nodes,
        fixedSegmentation=knee.scene.AddNode(segmentationFromLabels(labels, "fixed labels")),
        fixedMask=knee.nodes.movingSegmentation,
        fixedMaskSegment=odd,
    )
    knee.result = replace(
        knee.result,
        inverse_error_max_mm=math.nan,
        timings_s={"affine": 1 / 3, "total": 12.5},
        config=with_settings(RegistrationConfig(), {"refine": 7, "detail": "smooth"}),
        notes=(odd, "two"),
        landmark_errors_mm=LandmarkErrors(("P1", "P2"), (3.0, 1 / 3), (0.5, 0.25)),
    )
    made = _run(knee)
    loadScene(knee.scene, saveScene(knee.scene, tmp_path / "knee.mrb"))
    (run,) = findRuns(knee.scene)
    again = outputsOf(knee.scene, run)
    for name in FIGURES:
        value, before = getattr(again.result, name), getattr(made.result, name)
        assert np.array_equal(value, before) if name == "affine_ras" else repr(value) == repr(before), name
    assert again.overlaps == made.overlaps
    assert [overlap.name for overlap in made.overlaps] == [odd, "Femoral cartilage", "Lesion"]
    np.testing.assert_allclose(again.result.displacement_field_mm, made.result.displacement_field_mm, atol=1e-4)
    np.testing.assert_allclose(again.result.warped, made.result.warped, atol=1e-4)
    assert again.result.fixed_grid.is_close(made.result.fixed_grid)
    assert {kind for kind, node in vars(again.nodes).items() if node is None} == set()
    assert again.inputs.movingSegmentation is again.inputs.fixedMask is not None
    assert (again.inputs.fixedMaskSegment, again.inputs.movingMaskSegment) == (odd, "")
    assert again.folderItem != 0


def test_two_runs_on_one_pair_keep_their_own_results(knee: Any) -> None:
    first = _run(knee)
    knee.result = replace(knee.result, similarity_after=0.75)
    second = _run(knee)
    found = findRuns(knee.scene)
    assert [run.transform for run in found] == [first.nodes.transform, second.nodes.transform]
    for run, made in zip(found, (first, second), strict=True):
        again = outputsOf(knee.scene, run)
        assert again.nodes == made.nodes
        assert again.result.similarity_after == made.result.similarity_after


@pytest.mark.parametrize("kind", [kind for kind in OUTPUT_KINDS if kind != "transform"])
def test_without_one_of_its_results_a_run_still_says_the_same(knee: Any, kind: str) -> None:
    made = _run(knee)
    knee.scene.RemoveNode(getattr(made.nodes, kind))
    knee.scene.AddNewNodeByClass(OUTPUT_CLASSES[kind], "another")  # must not be taken for it
    (run,) = findRuns(knee.scene)
    again = outputsOf(knee.scene, run)
    assert again.nodes == replace(made.nodes, **{kind: None})
    assert again.result.summary()["ncc_after"] == 0.9
    assert again.result.timings_s == {"total": 1.0}
    np.testing.assert_array_equal(again.result.affine_ras, made.result.affine_ras)


def test_renamed_and_moved_results_are_still_the_runs(knee: Any) -> None:
    made = _run(knee)
    for node in vars(made.nodes).values():
        node.SetName("mine")
    made.nodes.jacobian.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    made.nodes.folds.GetSegmentation().GetNthSegment(0).SetName("mine too")
    knee.scene.RemoveNode(made.nodes.resultsTable)
    (run,) = findRuns(knee.scene)
    assert (run.name, outputsOf(knee.scene, run).nodes) == ("mine", replace(made.nodes, resultsTable=None))


def test_without_its_transform_or_a_volume_a_run_is_not_listed(knee: Any) -> None:
    first, second = _run(knee), _run(knee)
    knee.scene.RemoveNode(first.nodes.transform)
    assert [run.transform for run in findRuns(knee.scene)] == [second.nodes.transform], "nor its inverse"
    knee.scene.RemoveNode(knee.nodes.fixed)
    assert findRuns(knee.scene) == []


def test_a_scene_that_is_imported_twice_holds_two_runs_of_their_own_nodes(knee: Any, tmp_path: Any) -> None:
    _run(knee)
    with zipfile.ZipFile(saveScene(knee.scene, tmp_path / "knee.mrb")) as archive:
        archive.extractall(tmp_path)
    (path,) = tmp_path.rglob("*.mrml")
    other = createHeadlessScene()
    for _ in range(2):
        other.scene.SetURL(str(path))
        assert other.scene.Import()
    first, second = (outputsOf(other.scene, run) for run in findRuns(other.scene))
    for one, another in zip(
        [*vars(first.nodes).values(), first.inputs.fixed, first.inputs.moving, first.inputs.movingSegmentation],
        [*vars(second.nodes).values(), second.inputs.fixed, second.inputs.moving, second.inputs.movingSegmentation],
        strict=True,
    ):
        assert None not in (one, another) and one is not another
        assert one.GetClassName() == another.GetClassName()
    assert first.result.timings_s == second.result.timings_s == {"total": 1.0}


def test_a_run_into_the_nodes_of_another_takes_its_place_until_it_is_discarded(knee: Any) -> None:
    first = _run(knee)
    knee.result = replace(knee.result, similarity_after=0.75)
    second = registerVolumes(knee.scene, knee.nodes, runner=knee.run, reuse=first.nodes)
    (run,) = findRuns(knee.scene)
    assert outputsOf(knee.scene, run).result.similarity_after == 0.75
    discard(knee.scene, second.record)
    assert findRuns(knee.scene) == [run]
    again = outputsOf(knee.scene, run)
    assert (again.result.similarity_after, again.nodes) == (0.9, first.nodes)
    discard(knee.scene, first.record)
    assert (findRuns(knee.scene), recordsOf(knee.scene)) == ([], [])


def test_a_result_that_went_to_another_run_is_no_longer_the_first_ones(knee: Any) -> None:
    first = _run(knee)
    second = registerVolumes(
        knee.scene, knee.nodes, runner=knee.run, reuse=OutputNodes(warpedVolume=first.nodes.warpedVolume)
    )
    runs = findRuns(knee.scene)
    found = [outputsOf(knee.scene, run).nodes for run in runs]
    assert found == [replace(first.nodes, warpedVolume=None), second.nodes]
    discard(knee.scene, second.record)
    assert outputsOf(knee.scene, runs[0]).nodes == first.nodes


def test_what_of_a_record_cannot_be_read_is_said_and_the_rest_is_read(knee: Any) -> None:
    _run(knee)
    (record,) = recordsOf(knee.scene)
    record.SetParameter("config", '{"method": "of a later version"}')
    record.SetParameter("timings_s", "{broken")
    record.SetParameter("version", '"9.9"')
    (run,) = findRuns(knee.scene)
    result = outputsOf(knee.scene, run).result
    assert (result.config, result.timings_s) == (RegistrationConfig(), {})
    assert result.similarity_after == 0.9
    (note,) = result.notes
    assert note.startswith('config, timings_s: saved by version "9.9"')


def test_the_record_is_hidden_and_not_taken_for_the_panels_parameters(knee: Any) -> None:
    _run(knee)
    (record,) = recordsOf(knee.scene)
    assert record.GetHideFromEditors() and record.GetSaveWithScene()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(knee.scene)
    assert hierarchy.GetItemByDataNode(record) == hierarchy.GetInvalidItemID()
    assert record.GetAttribute("ModuleName") != "JointRegistration"  # whose first node is the panel's
    assert not record.GetSingletonTag()


def test_every_view_opens_on_a_saved_run(knee: Any, tmp_path: Any) -> None:
    knee.result = replace(knee.result, displacement_field_mm=smoothField(FIXED_GRID, 2.0).astype(np.float32))
    _run(knee)
    loadScene(knee.scene, saveScene(knee.scene, tmp_path / "knee.mrb"))
    (run,) = findRuns(knee.scene)
    before = {node.GetID() for node in nodesOf(knee.scene)}
    inspection = Inspection(knee.scene, outputsOf(knee.scene, run))
    for name in VIEWS:
        if name != "agreement":  # there is no fixed segmentation
            inspection.open(name)
    inspection.closeAll()
    assert {node.GetID() for node in nodesOf(knee.scene)} == before


def test_without_a_warped_volume_the_moving_one_is_resampled(knee: Any) -> None:
    _run(knee, OutputOptions(warpedVolume=False))
    (run,) = findRuns(knee.scene)
    warped = outputsOf(knee.scene, run).result.warped
    points = latticePoints(FIXED_GRID) + smoothField(FIXED_GRID)
    at = transform_points(knee.result.moving_grid.ras_to_ijk, points)[..., ::-1]
    voxels = _voxels(knee.nodes.moving).astype(float)
    inside = ((at >= 0.5) & (at <= np.array(voxels.shape) - 1.5)).all(axis=-1)
    expected = map_coordinates(voxels, np.moveaxis(at, -1, 0), order=1)
    np.testing.assert_allclose(warped[inside], expected[inside], atol=1.0)  # the moving image has whole numbers


def _voxels(node: Any) -> Any:
    from JointRegistrationMRML.nodes.arrays import numpyView

    return numpyView(node.GetImageData())


def test_a_volume_that_was_moved_since_is_refused_with_its_name(knee: Any) -> None:
    _run(knee)
    (run,) = findRuns(knee.scene)
    knee.nodes.fixed.SetOrigin(100, 0, 0)
    with pytest.raises(InputError, match="not that of fixed knee"):
        outputsOf(knee.scene, run)
