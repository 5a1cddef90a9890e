"""Folds that were planted are found: in the list, the table, the segment, and by going to each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
from scipy import ndimage

from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.result import FoldCount
from JointRegistrationMRML.inspection.session import Inspection
from JointRegistrationMRML.measure.folds import COLUMNS, foldsOf
from JointRegistrationMRML.nodes.segments.masks import segmentMask
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from Testing.Support.known_scene import FIXED_GRID

#: Centre and reach, in voxels (i, j, k), of what is turned over; far enough apart not to touch.
PLANTED = (((5, 5, 6), 2.4), ((14, 12, 16), 1.6), ((6, 14, 12), 1.2))


def _foldedMap():
    """A displacement (k, j, i, 3) that turns some places over, its determinant, and these places.

    Around each centre points are reflected through it along i, which turns space inside out.
    """
    k, j, i = np.indices(FIXED_GRID.shape).astype(float)
    moved = np.zeros((*FIXED_GRID.shape, 3))
    for (ci, cj, ck), reach in PLANTED:
        distance = np.sqrt((i - ci) ** 2 + (j - cj) ** 2 + (k - ck) ** 2)
        amount = 2.2 * np.exp(-0.5 * (distance / reach) ** 2)
        moved[..., 0] -= amount * (i - ci)
    toRas = FIXED_GRID.ijk_to_ras[:3, :3]
    index = np.stack([i, j, k], axis=-1) + moved
    gradients = [np.gradient(index[..., component]) for component in range(3)]
    jacobian = np.stack([np.stack([g[2], g[1], g[0]], axis=-1) for g in gradients], axis=-2)
    return (moved @ toRas.T).astype(np.float32), np.linalg.det(jacobian).astype(np.float32)


@pytest.fixture
def planted(knee):
    """A run of a map with planted folds, and its determinant."""
    field, determinant = _foldedMap()
    count = int((determinant <= 0).sum())
    knee.result = replace(
        knee.result,
        displacement_field_mm=field,
        jacobian_determinant=determinant,
        folds=FoldCount(count, 100 * count / determinant.size, count),
    )
    return knee, determinant


def _components(determinant):
    """Voxels of each fold by an independent way, the largest first."""
    labels, count = ndimage.label(determinant <= 0, np.ones((3, 3, 3)))
    return sorted((np.argwhere(labels == n) for n in range(1, count + 1)), key=len, reverse=True)


def test_the_planted_map_folds_where_it_was_meant_to(planted):
    _, determinant = planted
    found = _components(determinant)
    assert len(found) == len(PLANTED)
    for (centre, _), voxels in zip(PLANTED, found, strict=True):
        assert np.abs(voxels.mean(axis=0)[::-1] - centre).max() < 0.6


def test_each_fold_is_listed_with_its_place_and_size(planted):
    _, determinant = planted
    folds, expected = foldsOf(determinant, FIXED_GRID), _components(determinant)
    assert [fold.voxels for fold in folds] == [len(voxels) for voxels in expected]
    for fold, voxels in zip(folds, expected, strict=True):
        assert fold.volumeMm3 == pytest.approx(len(voxels) * FIXED_GRID.voxel_volume_mm3)
        values = determinant[tuple(voxels.T)]
        assert fold.lowestJ == values.min()
        worst = voxels[values.argmin()][::-1]
        np.testing.assert_allclose(fold.position_ras, transform_points(FIXED_GRID.ijk_to_ras, worst), atol=1e-9)


@pytest.mark.parametrize("made", [True, False], ids=["the run's segment", "a segment of the view"])
def test_table_and_segment_hold_exactly_the_planted_folds(planted, made):
    knee, determinant = planted
    outputs = registerVolumes(knee.scene, knee.nodes, runner=knee.run, options=OutputOptions(folds=made))
    view = Inspection(knee.scene, outputs).open("folds")
    table = view.nodes["table"].GetTable()
    assert tuple(table.GetColumnName(n) for n in range(table.GetNumberOfColumns())) == COLUMNS
    folds = foldsOf(determinant, FIXED_GRID)
    assert table.GetNumberOfRows() == len(folds) == len(PLANTED)
    for row, fold in enumerate(folds):
        values = [table.GetValue(row, n).ToDouble() for n in range(len(COLUMNS))]
        expected = (row + 1, *fold.position_ras, fold.voxels, fold.volumeMm3, fold.lowestJ)
        np.testing.assert_allclose(values, expected, atol=6e-4)
    segmentation = outputs.nodes.folds if made else view.nodes["folds"]
    mask = segmentMask(segmentation, FIXED_GRID, "Folds")
    there = np.zeros(FIXED_GRID.shape, bool)
    there[mask.slices] = mask.voxels
    np.testing.assert_array_equal(there, determinant <= 0)


def test_go_to_fold_centres_every_view_on_each_in_turn(planted):
    knee, determinant = planted
    scene = knee.scene
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    views = [scene.AddNewNodeByClass("vtkMRMLSliceNode", name) for name in ("Red", "Green", "Yellow")]
    for view, orientation in zip(views, ("Axial", "Coronal", "Sagittal"), strict=True):
        view.SetOrientation(orientation)
        view.SetFieldOfView(90.0, 80.0, 1.0)
    crosshair = scene.AddNewNodeByClass("vtkMRMLCrosshairNode", "Crosshair")
    inspection = Inspection(scene, registerVolumes(scene, knee.nodes, runner=knee.run))
    folds = foldsOf(determinant, FIXED_GRID)
    for fold in (*folds, folds[0]):  # after the last comes the first
        assert inspection.nextFold() == fold
        for view in views:
            centre = [view.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
            np.testing.assert_allclose(centre, fold.position_ras, atol=1e-6)
            assert view.GetFieldOfView()[:2] == (90.0, 80.0)
        np.testing.assert_allclose(crosshair.GetCrosshairRAS(), fold.position_ras, atol=1e-6)


def test_without_folds_the_list_is_empty_and_there_is_nowhere_to_go(knee):
    knee.result.jacobian_determinant[...] = 1
    inspection = Inspection(knee.scene, registerVolumes(knee.scene, knee.nodes, runner=knee.run))
    assert inspection.open("folds").nodes["table"].GetTable().GetNumberOfRows() == 0
    assert list(inspection.folds) == []
    assert inspection.nextFold() is None


def test_voxels_that_share_a_corner_are_one_fold():
    determinant = np.ones(FIXED_GRID.shape, np.float32)
    determinant[3, 3, 3] = determinant[4, 4, 4] = -1
    determinant[10, 10, 10] = 0  # zero folds too
    assert [fold.voxels for fold in foldsOf(determinant, FIXED_GRID)] == [2, 1]
