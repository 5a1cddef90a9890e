"""Runs that a scene holds are found by their roles, and say again what they said when they were made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.ops import maps
from JointRegistrationMRML.inspection.session import VIEWS, Inspection
from JointRegistrationMRML.nodes.arrays import INPUT_ROLES
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from JointRegistrationMRML.run.saved_result import jacobianOf
from JointRegistrationMRML.run.saved_runs import findRuns, guessedInputs, outputsOf
from JointRegistrationMRML.scene.headless import loadScene, saveScene
from JointRegistrationMRML.scene.transaction import nodesOf
from Testing.Support.known_scene import FIXED_GRID, GRIDS, knownResult, latticePoints, smoothField


def _run(knee: Any, options: OutputOptions | None = None) -> Any:
    return registerVolumes(knee.scene, knee.nodes, runner=knee.run, options=options)


@pytest.mark.parametrize("name", ["RAS", "LAS-left-handed", "oblique-anisotropic-left-handed"])
def test_the_determinant_is_the_librarys(name: str) -> None:
    grid = GRIDS[name]
    field = smoothField(grid, 6.0).astype(np.float32)
    tensor = torch.from_numpy(field).permute(3, 0, 1, 2)[None].double()
    expected = maps.jacobian_determinant(maps.identity(grid, dtype=torch.float64) + tensor, grid)
    np.testing.assert_allclose(jacobianOf(field, grid), expected[0, 0].numpy(), atol=2e-5)


def test_a_run_is_found_once_though_its_inverse_looks_like_it(knee: Any) -> None:
    outputs = _run(knee)
    (found,) = findRuns(knee.scene)
    assert found.transform is outputs.nodes.transform
    assert (found.fixed, found.moving) == (knee.nodes.fixed, knee.nodes.moving)


def test_of_two_bare_transforms_the_first_one_is_the_run(knee: Any) -> None:
    wanted = {name: False for name in vars(OutputOptions()) if name not in ("transform", "inverseTransform")}
    outputs = _run(knee, OutputOptions(**wanted))
    assert [run.transform for run in findRuns(knee.scene)] == [outputs.nodes.transform]


def test_two_runs_on_one_pair_keep_their_own_results(knee: Any) -> None:
    first, second = _run(knee), _run(knee)
    found = findRuns(knee.scene)
    assert [run.transform for run in found] == [first.nodes.transform, second.nodes.transform]
    for run, made in zip(found, (first, second), strict=True):
        nodes = outputsOf(knee.scene, run).nodes
        assert all(node is getattr(made.nodes, kind) for kind, node in vars(nodes).items())


def test_a_saved_run_says_the_same_again(knee: Any, tmp_path: Any) -> None:
    made = _run(knee).result
    loadScene(knee.scene, saveScene(knee.scene, tmp_path / "knee.mrb"))
    (run,) = findRuns(knee.scene)
    again = outputsOf(knee.scene, run)
    np.testing.assert_allclose(again.result.displacement_field_mm, made.displacement_field_mm, atol=1e-4)
    np.testing.assert_allclose(again.result.warped, made.warped, atol=1e-4)
    assert again.result.fixed_grid.is_close(made.fixed_grid)
    assert (again.result.similarity_before, again.result.similarity_after) == (0.5, 0.9)
    assert (again.result.inverse_error_mean_mm, again.result.inverse_error_max_mm) == (0.01, 0.1)
    assert {kind for kind, node in vars(again.nodes).items() if node is None} == set()
    assert again.nodes.jacobian.GetName().endswith("(log2 Jacobian)")
    assert again.folderItem != 0


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


def test_planted_folds_are_counted_from_the_field(knee: Any) -> None:
    field = knownResult().displacement_field_mm.copy()
    field[10:13, 8:11, 8:11] += 30
    knee.result = replace(knee.result, displacement_field_mm=field)
    _run(knee)
    (run,) = findRuns(knee.scene)
    result = outputsOf(knee.scene, run).result
    assert result.folds.count == int((jacobianOf(field, FIXED_GRID) <= 0).sum()) > 0


def test_the_runs_segmentations_are_known_again(knee: Any, tmp_path: Any) -> None:
    _run(knee)
    loadScene(knee.scene, saveScene(knee.scene, tmp_path / "knee.mrb"))
    (run,) = findRuns(knee.scene)
    inputs = outputsOf(knee.scene, run).inputs
    assert inputs.movingSegmentation.GetName() == "moving labels"
    assert inputs.fixedSegmentation is None


def test_without_a_note_the_warped_segmentation_and_the_voxels_tell(knee: Any) -> None:
    outputs = _run(knee)
    (run,) = findRuns(knee.scene)
    for role in INPUT_ROLES.values():
        run.transform.SetNodeReferenceID(role, None)
    assert guessedInputs(knee.scene, run).movingSegmentation is knee.nodes.movingSegmentation
    knee.scene.RemoveNode(outputs.nodes.warpedSegmentation)
    assert guessedInputs(knee.scene, run).movingSegmentation is knee.nodes.movingSegmentation  # on the moving voxels
    knee.nodes.movingSegmentation.SetNodeReferenceID(
        knee.nodes.movingSegmentation.GetReferenceImageGeometryReferenceRole(), knee.nodes.fixed.GetID()
    )
    assert guessedInputs(knee.scene, run).movingSegmentation is None
    assert guessedInputs(knee.scene, run).fixedSegmentation is knee.nodes.movingSegmentation
