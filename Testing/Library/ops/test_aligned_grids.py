"""Fields on finer, parallel lattices, and the native fields made with them, against plain interpolation."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.ops import integrate, maps
from JointRegistrationLib.ops.separable import smoothing
from JointRegistrationLib.ops.separable.aligned_grids import ParallelField, affine_vectors, parallel_axes
from JointRegistrationLib.registration import native_grids
from JointRegistrationLib.registration.local_map import LocalMap
from Testing.Support import knees

SOURCE = Grid((12, 15, 9), (4.0, 3.0, 5.0), (-22.0, -20.0, -18.0))
#: Axes exchanged, one reversed, another spacing, and points beyond the source's field of view.
EXCHANGED = Grid.from_ijk_to_ras((17, 19, 23), [[0, 2.1, 0, -25], [0, 0, -1.9, 24], [2.3, 0, 0, -21], [0, 0, 0, 1]])
OBLIQUE = knees.centered_grid((12, 15, 9), (4.0, 3.0, 5.0), Rotation.from_euler("xyz", (0.3, 0.2, 0.1)).as_matrix())


def plain(field, source, target):
    return maps.sample(field, source, maps.identity(target), outside=None)[0].movedim(0, -1)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (SOURCE, SOURCE),
        (SOURCE, SOURCE.resized((30, 31, 32))),
        (SOURCE, EXCHANGED),
        (EXCHANGED, SOURCE),
        (OBLIQUE, OBLIQUE.resized((20, 10, 18))),
    ],
    ids=["itself", "finer", "exchanged axes", "exchanged back", "oblique"],
)
def test_slabs_hold_what_plain_interpolation_gives(source, target):
    field = torch.randn(1, 3, *source.shape, generator=torch.Generator().manual_seed(0))
    read = ParallelField(field, source, target)
    k = target.shape[0]
    found = torch.cat([read.slab(slice(0, 3)), read.slab(slice(3, k))])
    torch.testing.assert_close(found, plain(field, source, target), atol=1e-4, rtol=0)


def test_axes_are_matched_and_turned_lattices_refused():
    assert parallel_axes(SOURCE, SOURCE) == (0, 1, 2)
    assert parallel_axes(SOURCE, EXCHANGED) == (1, 2, 0)
    assert parallel_axes(SOURCE, OBLIQUE) is None
    assert parallel_axes(OBLIQUE, OBLIQUE.resized((5, 6, 7))) == (0, 1, 2)
    with pytest.raises(ValueError, match="not parallel"):
        ParallelField(torch.zeros(1, 3, *SOURCE.shape), SOURCE, OBLIQUE)


def test_a_hair_of_a_turn_is_no_turn_but_a_thousandth_of_a_voxel_is():
    def turned(angle):
        return knees.centered_grid((12, 15, 9), (4.0, 3.0, 5.0), Rotation.from_euler("x", angle).as_matrix())

    straight = turned(0.0)
    assert parallel_axes(straight, turned(1e-6)) == (0, 1, 2)
    assert parallel_axes(straight, turned(1e-3)) is None


def test_affine_vectors_are_the_matrix_at_every_lattice_point():
    matrix = np.array([[1.1, 0.2, -0.1, 4], [0, 0.9, 0.3, -2], [0.1, 0, 1.2, 1], [0, 0, 0, 1.0]])
    found = affine_vectors(matrix @ EXCHANGED.ijk_to_ras, EXCHANGED, torch.zeros(1))
    wanted = transform_points(matrix, maps.identity(EXCHANGED)[0].movedim(0, -1).numpy())
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-4)


# -- native fields ------------------------------------------------------------------------------------

AFFINE = np.array([[1.05, 0.04, -0.02, 2.0], [-0.03, 0.97, 0.05, -1.0], [0.02, -0.04, 1.02, 0.5], [0, 0, 0, 1.0]])


@pytest.fixture(scope="module", params=["along the image", "turned"])
def local(request):
    grid = SOURCE if request.param == "along the image" else OBLIQUE
    noise = torch.randn(1, 3, *grid.shape, generator=torch.Generator().manual_seed(1))
    velocity = 25 * smoothing.smooth(noise, grid, (8.0,), (1.0,))
    return LocalMap(integrate.exponential(-velocity, grid), integrate.exponential(velocity, grid), grid)


NATIVE = SOURCE.resized((40, 44, 30))


def test_forward_field_is_the_affine_of_the_deformed_points(local):
    found = native_grids.forward_field(NATIVE, AFFINE, local)
    x = maps.identity(NATIVE)
    moved = maps.apply_matrix(AFFINE, x + maps.sample(local.forward_mm, local.grid, x, outside=None))
    np.testing.assert_allclose(found, (moved - x)[0].movedim(0, -1), atol=1e-4)


def diagonal_product(map_ras, grid):
    """(k, j, i) product of the derivatives of each coordinate along its own axis of the grid; no determinant."""
    along_axes = np.einsum("rc,rkji->ckji", grid.direction_ras, map_ras[0].numpy())
    own = [np.gradient(along_axes[axis], spacing, axis=2 - axis) for axis, spacing in enumerate(grid.spacing_mm)]
    return np.prod(own, axis=0)


def test_jacobian_is_that_of_the_field(local):
    field = native_grids.forward_field(NATIVE, AFFINE, local)
    found, folds = native_grids.jacobian(NATIVE, field)
    map_ras = maps.identity(NATIVE) + torch.from_numpy(field).movedim(-1, 0)[None]
    np.testing.assert_allclose(found, maps.jacobian_determinant(map_ras, NATIVE)[0, 0], atol=2e-4)
    assert folds.count == int((found <= 0).sum())
    assert folds.diagonal_count == int((diagonal_product(map_ras, NATIVE) < 0).sum())


def test_planted_folds_are_counted_by_both_rules():
    field = np.zeros((*NATIVE.shape, 3), np.float32)
    field[10:20, 10:20, 10:20, 0] = -3 * maps.identity(NATIVE)[0, 0, 10:20, 10:20, 10:20].numpy()
    _, folds = native_grids.jacobian(NATIVE, field)
    map_ras = maps.identity(NATIVE) + torch.from_numpy(field).movedim(-1, 0)[None]
    assert folds.count == int((maps.jacobian_determinant(map_ras, NATIVE) <= 0).sum()) > 500
    assert folds.diagonal_count == int((diagonal_product(map_ras, NATIVE) < 0).sum()) > 500


def test_inverse_solved_on_fewer_points_is_within_a_twentieth_of_a_voxel(monkeypatch):
    grid = SOURCE.resized((24, 24, 20))  # as fine, against the kernel, as a momentum's lattice is
    noise = torch.randn(1, 3, *grid.shape, generator=torch.Generator().manual_seed(1))
    velocity = 40 * smoothing.smooth(noise, grid, (8.0,), (1.0,))
    local = LocalMap(integrate.exponential(-velocity, grid), integrate.exponential(velocity, grid), grid)
    moving = knees.centered_grid((48, 50, 40), (0.9, 1.0, 1.1))
    whole = native_grids.inverse_field(moving, AFFINE, local)
    monkeypatch.setattr(native_grids, "_INVERSE_VOXELS", moving.num_voxels // 4)
    assert native_grids.coarser(moving, moving.num_voxels // 4).num_voxels < moving.num_voxels / 3
    thinned = native_grids.inverse_field(moving, AFFINE, local)
    assert 2 < np.linalg.norm(local.forward_mm, axis=1).max() < 10
    # At the border of psi's lattice its derivative jumps, and with it the inverse's: not counted.
    landed = maps.identity(moving) + torch.from_numpy(whole).movedim(-1, 0)[None]
    inner = maps.inside(local.grid, landed, margin_voxels=-1.0)[0, 0].numpy()
    assert inner.mean() > 0.15
    assert np.linalg.norm(thinned - whole, axis=-1)[inner].max() < 0.05


def test_thinned_grids_keep_the_corners_and_even_out_the_spacing():
    grid = Grid((384, 384, 160), (0.365, 0.365, 0.7))
    thin = native_grids.coarser(grid, 500_000)
    assert 350_000 < thin.num_voxels <= 500_000
    assert max(thin.spacing_mm) / min(thin.spacing_mm) < 1.1
    np.testing.assert_allclose(thin.corners_ras, grid.corners_ras, atol=1e-9)
    assert native_grids.coarser(grid, grid.num_voxels) is grid


def test_round_trip_on_every_second_point_says_about_the_same(local, monkeypatch):
    moving = knees.centered_grid((60, 50, 40), (0.9, 1.0, 1.1))
    forward = native_grids.forward_field(NATIVE, AFFINE, local)
    backward = native_grids.inverse_field(moving, AFFINE, local)
    mean, largest = native_grids.round_trip_error(NATIVE, forward, moving, backward)
    monkeypatch.setattr(native_grids, "_ROUND_TRIP_VOXELS", NATIVE.num_voxels // 8)
    few_mean, few_largest = native_grids.round_trip_error(NATIVE, forward, moving, backward)
    assert few_mean == pytest.approx(mean, rel=0.1)
    assert 0.5 * largest < few_largest <= largest


def test_warped_image_is_sampled_at_the_field_and_black_outside(local):
    moving = knees.centered_grid((60, 50, 40), (0.9, 1.0, 1.1))
    voxels = np.random.default_rng(0).random(moving.shape, dtype=np.float32)
    field = native_grids.forward_field(NATIVE, AFFINE, local)
    found = native_grids.warp_native(Image(voxels, moving), NATIVE, field)
    map_ras = maps.identity(NATIVE) + torch.from_numpy(field).movedim(-1, 0)[None]
    wanted = maps.warp(torch.from_numpy(voxels)[None, None], moving, map_ras)[0, 0].numpy()
    assert (found == 0).any()
    np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_round_trip_error_equals_scipys_over_points_that_land_in_the_moving_image():
    origin = np.asarray(NATIVE.origin_ras) + np.array([2.0, -3.0, 1.0])
    moving = Grid((38, 41, 27), NATIVE.spacing_mm, origin, NATIVE.direction_ras)
    generator = np.random.default_rng(3)
    forward, backward = (
        ndimage.gaussian_filter(generator.normal(size=(*grid.shape, 3)), (5, 5, 5, 0)).astype(np.float32) * 60
        for grid in (NATIVE, moving)
    )
    points = maps.identity(NATIVE, dtype=torch.float64)[0].numpy().reshape(3, -1).T
    there = points + forward.reshape(-1, 3)
    index = transform_points(moving.ras_to_ijk, there)
    inside = ((index >= 0) & (index <= np.asarray(moving.size_ijk) - 1)).all(axis=1)
    where = index[inside, ::-1].T
    back = [ndimage.map_coordinates(backward[..., c], where, order=1, mode="nearest") for c in range(3)]
    errors = np.linalg.norm(there[inside] + np.transpose(back) - points[inside], axis=1)
    mean, largest = native_grids.round_trip_error(NATIVE, forward, moving, backward)
    assert 0.3 < inside.mean() < 1
    assert mean == pytest.approx(errors.mean(), rel=0.01)
    assert largest == pytest.approx(errors.max(), rel=0.02)
