"""Metrics against scipy, analytic shapes and the specification's two matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from JointRegistrationLib.core.errors import GeometryError
from JointRegistrationLib.core.figures import metrics
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image, LandmarkPairs
from JointRegistrationLib.core.result import FoldCount
from JointRegistrationLib.ops import maps
from JointRegistrationLib.registration import native_grids
from Testing.Support.grids import GRIDS, rotation, smooth_random


def folds_of(map_ras: torch.Tensor, grid: Grid) -> FoldCount:
    """As a run's result counts them."""
    displacement = (map_ras - maps.identity(grid, dtype=map_ras.dtype))[0].movedim(0, -1)
    return native_grids.jacobian(grid, displacement.float().numpy())[1]


def ball(grid: Grid, radius_mm: float, offset_mm=(0.0, 0.0, 0.0)) -> np.ndarray:
    positions = maps.identity(grid, dtype=torch.float64)[0].numpy()
    center = grid.center_ras + np.asarray(offset_mm)
    return np.linalg.norm(positions - center[:, None, None, None], axis=0) <= radius_mm


def scipy_distances(a: np.ndarray, b: np.ndarray, spacing_kji) -> np.ndarray:
    """The definition, with scipy's erosion (outside the image is background) and exact EDT."""
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (a, b)]
    to = [ndimage.distance_transform_edt(~surface, sampling=spacing_kji) for surface in surfaces]
    return np.concatenate([to[1][surfaces[0]], to[0][surfaces[1]]])


# -- overlap ----------------------------------------------------------------------------------------


def test_dice_of_half_overlapping_boxes_is_a_half():
    a, b = np.zeros((4, 4, 8), int), np.zeros((4, 4, 8), int)
    a[..., 0:4] = 3
    b[..., 2:6] = 3
    assert metrics.dice(a, b, [3]) == {3: 0.5}


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.int64, np.float32])
def test_labels_are_counted_alike_whatever_their_type_and_size(kind):
    few, other = np.random.default_rng(0).integers(0, 4, (2, 6, 7, 8))
    expected = metrics.dice(few, other)
    assert [metrics.dice(few == n, other == n)[1] for n in (1, 2, 3)] == list(expected.values())
    factor = 60 if kind is np.uint8 else 7000
    found = metrics.dice((factor * few).astype(kind), (factor * other).astype(kind))
    assert list(found.values()) == list(expected.values()) and list(found) == [factor, 2 * factor, 3 * factor]
    counts = metrics.JointCounts(few, other)
    assert counts.dice(1, 2) == metrics.dice(few == 1, other == 2)[1]
    assert counts.dice(0, 0) == metrics.dice(few == 0, other == 0)[1]


def test_dice_covers_every_label_of_either_image_but_background():
    a, b = np.zeros((2, 2, 4), int), np.zeros((2, 2, 4), int)
    a[..., 0], a[..., 1] = 1, 2
    b[..., 0], b[..., 3] = 1, 5
    assert metrics.dice(a, b) == {1: 1.0, 2: 0.0, 5: 0.0}


def test_dice_of_a_label_that_neither_has_is_nan():
    empty = np.zeros((2, 2, 2), int)
    assert np.isnan(metrics.dice(empty, empty, [7])[7])
    with pytest.raises(GeometryError, match=r"\(2, 2, 2\) and \(2, 2, 3\)"):
        metrics.dice(empty, np.zeros((2, 2, 3)), [1])


# -- surface distance -------------------------------------------------------------------------------


def _masks(a, b, grid):
    return metrics.label_metrics(*(Image(mask.astype(np.uint8), grid) for mask in (a, b)))[1]


def hd95_mm(a, b, grid):
    return _masks(a, b, grid).hd95_mm


def assd_mm(a, b, grid):
    return _masks(a, b, grid).assd_mm


@pytest.mark.parametrize("seed", range(4))
def test_surface_distances_equal_scipy_on_random_blobs(oblique_grid, seed):
    a, b = (smooth_random((1, 1, *oblique_grid.shape), 2 * seed + n)[0, 0].numpy() > 0.5 for n in (0, 1))
    ours = metrics.surface_distances_mm(a, b, oblique_grid)
    expected = scipy_distances(a, b, oblique_grid.spacing_mm[::-1])
    np.testing.assert_allclose(np.sort(ours), np.sort(expected), atol=1e-4)
    assert hd95_mm(a, b, oblique_grid) == pytest.approx(np.percentile(expected, 95), abs=1e-4)
    assert assd_mm(a, b, oblique_grid) == pytest.approx(expected.mean(), abs=1e-4)


def test_masks_that_fill_the_image_have_their_surface_at_its_border(ras_grid):
    full = np.ones(ras_grid.shape, bool)
    part = full.copy()
    part[:5] = False
    expected = scipy_distances(full, part, ras_grid.spacing_mm[::-1])
    ours = metrics.surface_distances_mm(full, part, ras_grid)
    np.testing.assert_allclose(np.sort(ours), np.sort(expected), atol=1e-4)


@pytest.mark.parametrize(("axis", "step_mm"), [(0, 2.0), (1, 1.25), (2, 1.0)])
def test_a_plate_moved_by_three_voxels_is_three_spacings_away(ras_grid, axis, step_mm):
    plate = np.zeros(ras_grid.shape, bool)
    plate[(slice(None),) * axis + (5,)] = True
    moved = np.roll(plate, 3, axis=axis)
    assert hd95_mm(plate, moved, ras_grid) == pytest.approx(3 * step_mm)
    assert assd_mm(plate, moved, ras_grid) == pytest.approx(3 * step_mm)


def test_concentric_balls_are_the_difference_of_their_radii_apart():
    grid = Grid((48, 48, 48), (0.5, 0.5, 0.5))
    a, b = ball(grid, 10.0), ball(grid, 7.0)
    half_a_voxel = 0.25
    assert assd_mm(a, b, grid) == pytest.approx(3.0, abs=half_a_voxel)
    assert hd95_mm(a, b, grid) == pytest.approx(3.0, abs=2 * half_a_voxel)


def test_surface_distances_are_symmetric_and_zero_for_equal_masks(oblique_grid):
    a, b = ball(oblique_grid, 4.0), ball(oblique_grid, 4.0, (1.5, 0, 0))
    assert hd95_mm(a, a, oblique_grid) == pytest.approx(0, abs=1e-6)
    assert assd_mm(a, b, oblique_grid) == pytest.approx(assd_mm(b, a, oblique_grid))
    assert hd95_mm(a, b, oblique_grid) == pytest.approx(hd95_mm(b, a, oblique_grid))


def test_an_empty_mask_has_no_surface_distance(ras_grid):
    mask, empty = np.ones(ras_grid.shape), np.zeros(ras_grid.shape)
    assert not metrics.surface_distances_mm(empty, empty, ras_grid).size
    for a, b in ((mask, empty), (empty, mask)):
        assert np.isnan(hd95_mm(a, b, ras_grid))
        assert np.isnan(assd_mm(a, b, ras_grid))
    with pytest.raises(GeometryError, match="masks of shape"):
        metrics.surface_distances_mm(mask[1:], mask[1:], ras_grid)


def test_label_metrics_gives_a_row_for_each_label(oblique_grid):
    fixed, warped = (np.zeros(oblique_grid.shape, np.int16) for _ in range(2))
    fixed[ball(oblique_grid, 5.0)] = 1
    warped[ball(oblique_grid, 5.0)] = 1
    fixed[ball(oblique_grid, 3.0)] = 4
    table = metrics.label_metrics(Image(fixed, oblique_grid, "fixed"), Image(warped, oblique_grid, "warped"))
    assert list(table) == [1, 4]
    assert table[4].dice == 0
    assert np.isnan(table[4].assd_mm)
    assert table[4].warped_volume_mm3 == 0
    assert table[1].fixed_volume_mm3 == pytest.approx((fixed == 1).sum() * oblique_grid.voxel_volume_mm3)
    assert table[1].hd95_mm == hd95_mm(fixed == 1, warped == 1, oblique_grid)


def test_label_metrics_refuses_labels_on_another_grid(ras_grid, oblique_grid):
    with pytest.raises(GeometryError, match="b: on another grid"):
        metrics.label_metrics(
            Image(np.zeros(ras_grid.shape), ras_grid, "a"), Image(np.zeros(oblique_grid.shape), oblique_grid, "b")
        )


# -- folds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(
    ("matrix", "folded", "diagonal"),
    [([[1, 2], [2, 1]], True, False), ([[-0.1, 1], [-1, 0.5]], False, True)],
)
def test_the_full_determinant_is_right_where_the_diagonal_one_is_wrong(name, matrix, folded, diagonal):
    grid = GRIDS[name]
    along_axes = np.eye(3)
    along_axes[:2, :2] = matrix
    m = np.eye(4)
    index_to_ras = grid.ijk_to_ras[:3, :3]
    m[:3, :3] = index_to_ras @ along_axes @ np.linalg.inv(index_to_ras)
    folds = folds_of(maps.affine_map(m, grid, torch.zeros(1, dtype=torch.float64)), grid)
    assert folds.count == folded * grid.num_voxels
    assert folds.percent == 100.0 * folded
    assert folds.diagonal_count == diagonal * grid.num_voxels


def test_a_local_fold_is_counted_where_it_is(ras_grid):
    map_ras = maps.identity(ras_grid, dtype=torch.float64).clone()
    map_ras[0, 0, 8, 9, 9] += 2.5  # past its second neighbour along i
    assert folds_of(maps.identity(ras_grid), ras_grid) == FoldCount(0, 0.0, 0)
    folds = folds_of(map_ras, ras_grid)
    determinant = maps.jacobian_determinant(map_ras, ras_grid)
    assert folds.count == int((determinant <= 0).sum()) > 0
    assert folds.percent == pytest.approx(100 * folds.count / ras_grid.num_voxels)


# -- landmarks and intensities ----------------------------------------------------------------------


def test_tre_of_the_true_transform_is_zero_and_of_none_is_the_distance(oblique_grid):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation((0, 0, 1), 8), (1, -2, 0.5)
    unit = np.random.default_rng(0).uniform(0.1, 0.9, (12, 3))
    fixed = transform_points(oblique_grid.unit_to_ras, unit)
    pairs = LandmarkPairs(fixed, transform_points(matrix, fixed))
    position = maps.identity(oblique_grid, dtype=torch.float64)
    field = (maps.apply_matrix(matrix, position) - position)[0].movedim(0, -1).numpy()
    assert metrics.tre_mm(pairs, lambda points: transform_points(matrix, points)).max() < 1e-12
    assert metrics.tre_mm(pairs, metrics.displacement_transform(field, oblique_grid)).max() < 1e-9
    untouched = metrics.tre_mm(pairs, lambda points: points)
    np.testing.assert_allclose(untouched, np.linalg.norm(pairs.fixed_ras - pairs.moving_ras, axis=1))
    with pytest.raises(GeometryError, match="displacement field"):
        metrics.displacement_transform(field[1:], oblique_grid)
