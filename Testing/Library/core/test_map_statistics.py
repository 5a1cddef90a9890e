"""Statistics of a map: analytic maps, NumPy, and scattered points against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from JointRegistrationLib.core.errors import GeometryError
from JointRegistrationLib.core.figures.map_statistics import LOG2_EDGES, displacement_steps, volume_change
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.lattices.sampling import values_at
from JointRegistrationLib.core.progress import finished
from JointRegistrationLib.ops import maps
from Testing.Support.grids import rotation


def determinant_of(linear: np.ndarray, grid) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    return maps.jacobian_determinant(maps.affine_map(matrix, grid, torch.zeros(1, dtype=torch.float64)), grid).numpy()


@pytest.mark.parametrize(
    ("linear", "percent"),
    [
        (np.diag([1.1, 1.1, 1.1]), 33.1),
        (np.diag([1.0, 1.0, 0.5]), -50.0),
        (np.array([[1, 0.4, 0.1], [0, 1, -0.3], [0, 0, 1]]), 0.0),
        (rotation((1, 2, 3), 20), 0.0),
    ],
    ids=["larger", "flatter", "shear", "rotation"],
)
def test_volume_change_of_a_linear_map_is_that_of_its_determinant(grid, linear, percent):
    change = volume_change(determinant_of(linear, grid))
    assert change.change_percent == pytest.approx(percent, abs=1e-6)
    expected = np.log2(1 + percent / 100)
    for value in (change.log2_mean, change.log2_p5, change.log2_p50, change.log2_p95):
        assert value == pytest.approx(expected, abs=1e-8)
    assert change.folds == 0


def test_folds_count_for_the_volume_but_have_no_logarithm():
    values = np.array([[2.0, 2.0], [4.0, -1.0], [1.0, 0.0]])
    change = volume_change(values)
    assert change.folds == 2
    assert change.change_percent == pytest.approx(100 * (values.mean() - 1))
    assert change.log2_mean == pytest.approx(1.0)
    assert sum(change.histogram) == pytest.approx(1.0)
    assert change.histogram[np.searchsorted(LOG2_EDGES, 1.0, side="right") - 1] == pytest.approx(0.5)


def test_a_region_without_points_or_all_folded_has_no_logarithm():
    assert np.isnan(volume_change(np.zeros(0)).change_percent)
    folded = volume_change(np.full(3, -0.5))
    assert (folded.folds, folded.change_percent) == (3, pytest.approx(-150.0))
    assert np.isnan(folded.log2_mean)
    assert folded.histogram == ()


def test_changes_beyond_eightfold_are_in_the_end_bins():
    histogram = volume_change(np.array([100.0, 0.001])).histogram
    assert (histogram[0], histogram[-1]) == (0.5, 0.5)


def test_displacement_statistics_equal_numpy():
    field = np.random.default_rng(0).normal(size=(5, 6, 7, 3)).astype(np.float32)
    lengths = np.linalg.norm(field, axis=-1)
    found = finished(displacement_steps(field))
    assert found.mean_mm == pytest.approx(lengths.mean(), rel=1e-6)
    assert found.p95_mm == pytest.approx(np.percentile(lengths, 95), rel=1e-6)
    assert found.max_mm == pytest.approx(lengths.max(), rel=1e-6)


def test_values_at_points_equal_scipy_inside_and_beyond_the_border(grid):
    generator = np.random.default_rng(1)
    values = generator.normal(size=(*grid.shape, 3))
    points = transform_points(grid.unit_to_ras, generator.uniform(-0.2, 1.2, (200, 3)))
    index = transform_points(grid.ras_to_ijk, points)[:, ::-1].T
    expected = [ndimage.map_coordinates(values[..., c], index, order=1, mode="nearest") for c in range(3)]
    np.testing.assert_allclose(values_at(values, grid, points), np.transpose(expected), atol=1e-9)
    np.testing.assert_allclose(values_at(values[..., 0], grid, points), expected[0], atol=1e-9)


def test_values_on_another_grid_are_refused(ras_grid):
    with pytest.raises(GeometryError, match="is needed on this grid"):
        values_at(np.zeros((3, 3, 3)), ras_grid, np.zeros((1, 3)))
