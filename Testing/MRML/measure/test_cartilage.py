"""What the map does by depth in cartilage, against depths and maps that are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML.measure.cartilage import DEPTH_EDGES_MM, MIN_SHARE, MIN_VOXELS, depthSteps
from Testing.Support.at_once import cartilageThickness
from Testing.Support.known_scene import GRIDS, latticePoints
from Testing.Support.measured_run import linearResult

GRID = Grid((60, 62, 44), (0.6, 0.6, 0.9), (-17.0, -20.0, 5.0), GRIDS["oblique"].direction_ras)
BONE_MM, OUTER_MM = 10.0, 14.0


def radii():
    return np.linalg.norm(latticePoints(GRID) - GRID.center_ras, axis=-1)


def profileOf(result):
    radius = radii()
    bone, cartilage = radius < BONE_MM, (radius >= BONE_MM) & (radius < OUTER_MM)
    thickness = cartilageThickness(cartilage, bone, GRID)
    return finished(depthSteps(cartilage, thickness, result)), radius[cartilage] - BONE_MM


def radialResult(affine):
    """Tissue in the depth d is pushed outwards by d / 5 and J is 2 ** (d / 4), then comes an affine map."""
    base = linearResult(np.eye(3))
    points = latticePoints(GRID)
    away = points - GRID.center_ras
    radius = np.linalg.norm(away, axis=-1, keepdims=True)
    depth = np.maximum(radius - BONE_MM, 0)
    there = points + away / np.maximum(radius, 1e-6) * depth / 5
    there = there @ affine[:3, :3].T + affine[:3, 3]
    return dataclasses.replace(
        base,
        fixed_grid=GRID,
        moving_grid=GRID,
        affine_ras=affine,
        displacement_field_mm=(there - points).astype(np.float32),
        jacobian_determinant=np.exp2(depth[..., 0] / 4).astype(np.float32),
    )


AFFINE = np.array([[0.9, -0.3, 0, 30.0], [0.3, 1.0, 0.1, -12.0], [0, 0, 1.1, 5.0], [0, 0, 0, 1]])


def means(depth, values):
    """Of ``values`` in each bin, by NumPy's own histograms."""
    counts, _ = np.histogram(depth, DEPTH_EDGES_MM)
    sums, _ = np.histogram(depth, DEPTH_EDGES_MM, weights=values)
    return counts, np.where(counts >= max(MIN_VOXELS, MIN_SHARE * counts.sum()), sums / np.maximum(counts, 1), np.nan)


@pytest.mark.parametrize("affine", [np.eye(4), AFFINE], ids=["no-affine", "affine"])
def test_displacement_and_volume_change_by_depth_are_those_of_the_known_map(affine):
    profile, depth = profileOf(radialResult(affine))
    counts, moved = means(depth, depth / 5)
    _, log2 = means(depth, depth / 4)
    assert profile.withoutAffine
    full = slice(0, 8)  # 4 mm of cartilage in bins of half a millimetre
    # The surface that depth is measured from lies up to half a voxel off the sphere.
    np.testing.assert_allclose(profile.movedMm[full], moved[full], atol=0.06)
    np.testing.assert_allclose(profile.log2Jacobian[full], log2[full], atol=0.08)
    assert abs(profile.voxels[full] - counts[full]).max() < 0.35 * counts[full].max()
    assert profile.voxels.sum() == counts.sum()
    assert np.isnan(profile.movedMm[9:]).all()


def test_depth_is_the_distance_to_the_nearest_point_of_the_interface():
    """Against a search among all pairs of points."""
    result = radialResult(np.eye(4))
    radius = radii()
    bone, cartilage = radius < BONE_MM, (radius >= BONE_MM) & (radius < 12)
    cartilage &= latticePoints(GRID)[..., 0] > GRID.center_ras[0] + 6  # a cap: bare bone beside it
    thickness = cartilageThickness(cartilage, bone, GRID)
    profile = finished(depthSteps(cartilage, thickness, result))
    interface = thickness.surface.points[thickness.covered]
    points = latticePoints(GRID)[cartilage]
    depth = np.array([np.sqrt(np.square(point - interface).sum(axis=1).min()) for point in points])
    counts, moved = means(depth, np.maximum(radius[cartilage] - BONE_MM, 0) / 5)
    np.testing.assert_array_equal(profile.voxels, counts)
    np.testing.assert_allclose(profile.movedMm, moved, atol=1e-5)


def test_folded_voxels_have_no_volume_change_and_without_an_affine_the_whole_displacement_counts():
    result = radialResult(AFFINE)
    determinant = np.where(radii() < 12, -0.5, result.jacobian_determinant)
    unknown = np.full((4, 4), np.nan)
    changed = dataclasses.replace(result, jacobian_determinant=determinant, affine_ras=unknown)
    profile, _ = profileOf(changed)
    assert np.isnan(profile.log2Jacobian[:3]).all() and np.isfinite(profile.log2Jacobian[5:7]).all()
    assert not profile.withoutAffine
    length = np.linalg.norm(result.displacement_field_mm, axis=-1)
    shell = (radii() >= BONE_MM) & (radii() < OUTER_MM)
    mean = np.nansum(profile.movedMm * profile.voxels) / profile.voxels[np.isfinite(profile.movedMm)].sum()
    assert mean == pytest.approx(length[shell].mean(), rel=0.01)


def test_an_empty_cartilage_has_an_empty_profile():
    result = radialResult(np.eye(4))
    nothing = np.zeros(GRID.shape, bool)
    profile = finished(depthSteps(nothing, cartilageThickness(nothing, radii() < 5, GRID), result))
    assert profile.voxels.sum() == 0 and np.isnan(profile.movedMm).all()
