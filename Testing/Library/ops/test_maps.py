"""Maps against SimpleITK's resampling, composition and Jacobians, analytic maps and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from JointRegistrationLib.core.errors import GeometryError
from JointRegistrationLib.core.geometry import Grid, ras_to_lps_matrix, transform_points
from JointRegistrationLib.ops import maps
from Testing.Support.grids import GRIDS, rotation, sitk_image, smooth_random

DOUBLE = torch.zeros(1, dtype=torch.float64)
INNER = (..., slice(2, -2), slice(2, -2), slice(2, -2))


def positions(grid: Grid) -> torch.Tensor:
    return maps.identity(grid, dtype=torch.float64)


def rigid_about(center: np.ndarray, degrees: float, shift=(1.7, -2.3, 3.1), scale=1.0) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation((1, -0.5, 2), degrees)
    matrix[:3, 3] = center - matrix[:3, :3] @ center + np.asarray(shift)
    return matrix


def sitk_affine(matrix_ras: np.ndarray) -> sitk.AffineTransform:
    lps = ras_to_lps_matrix(matrix_ras)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(lps[:3, :3].ravel().tolist())
    transform.SetTranslation(lps[:3, 3].tolist())
    return transform


def resampled_by_sitk(image, image_grid, fixed_grid, transform, interpolator) -> np.ndarray:
    reference = sitk_image(np.zeros(fixed_grid.shape, np.float64), fixed_grid)
    moving = sitk_image(image[0, 0].numpy(), image_grid)
    return sitk.GetArrayFromImage(sitk.Resample(moving, reference, transform, interpolator, -5.0, sitk.sitkFloat64))


# -- identity and sampling --------------------------------------------------------------------------


def test_identity_holds_each_voxel_s_position(grid):
    image = sitk_image(np.zeros(grid.shape, np.uint8), grid)
    map_ras = positions(grid)[0].numpy()
    for i, j, k in [(0, 0, 0), (3, 5, 7), tuple(n - 1 for n in grid.size_ijk)]:
        expected = np.asarray(image.TransformIndexToPhysicalPoint((i, j, k))) * [-1, -1, 1]
        np.testing.assert_allclose(map_ras[:, k, j, i], expected, atol=1e-9)


def test_warping_through_the_identity_changes_nothing(grid):
    image = smooth_random((2, 1, *grid.shape), 0, passes=0)
    map_ras = positions(grid).expand(2, -1, -1, -1, -1)
    assert (maps.warp(image, grid, map_ras) - image).abs().max() < 1e-10
    assert torch.equal(maps.warp(image, grid, map_ras, interpolation="nearest"), image)


@pytest.mark.parametrize("fixed", ["isotropic", "oblique", "permuted"])
@pytest.mark.parametrize("moving", ["ras", "lps", "oblique_left_handed"])
@pytest.mark.parametrize(
    ("interpolation", "interpolator"), [("linear", sitk.sitkLinear), ("nearest", sitk.sitkNearestNeighbor)]
)
def test_warping_equals_simpleitk_s_resampling_border_included(fixed, moving, interpolation, interpolator):
    fixed_grid, moving_grid = GRIDS[fixed], GRIDS[moving]
    image = smooth_random((1, 1, *moving_grid.shape), 4, passes=1)
    matrix = rigid_about(fixed_grid.center_ras, 20)
    map_ras = maps.affine_map(matrix, fixed_grid, DOUBLE)
    ours = maps.warp(image, moving_grid, map_ras, interpolation=interpolation, outside=-5.0)[0, 0].numpy()
    expected = resampled_by_sitk(image, moving_grid, fixed_grid, sitk_affine(matrix), interpolator)
    np.testing.assert_allclose(ours, expected, atol=1e-8)
    assert 0.02 < (expected == -5).mean() < 0.98  # the border was crossed


def test_warping_through_a_displacement_field_equals_simpleitk(oblique_grid):
    moving_grid = GRIDS["las"]
    displacement = 1.5 * smooth_random((1, 3, *oblique_grid.shape), 1)
    image = smooth_random((1, 1, *moving_grid.shape), 4, passes=1)
    ours = maps.warp(image, moving_grid, maps.from_displacement(displacement, oblique_grid), outside=-5.0)
    lps = displacement[0].movedim(0, -1).numpy() * [-1, -1, 1]
    field = sitk_image(np.ascontiguousarray(lps), oblique_grid, is_vector=True)
    expected = resampled_by_sitk(
        image, moving_grid, oblique_grid, sitk.DisplacementFieldTransform(field), sitk.sitkLinear
    )
    np.testing.assert_allclose(ours[0, 0].numpy(), expected, atol=1e-8)


def test_the_border_value_holds_for_half_a_voxel_and_no_further():
    grid = Grid((4, 4, 4), (2.0, 2.0, 2.0))
    image = torch.full((1, 1, 4, 4, 4), 7.0)
    x = torch.tensor([-1.1, -0.9, 0.0, 6.0, 6.9, 7.1])  # the border is at -1 and 7 mm
    points = torch.stack([x, torch.full_like(x, 3.0), torch.full_like(x, 3.0)]).view(1, 3, 1, 1, -1)
    assert maps.sample(image, grid, points).flatten().tolist() == [0, 7, 7, 7, 7, 0]
    assert maps.inside(grid, points).flatten().tolist() == [False, True, True, True, True, False]
    assert maps.sample(image, grid, points, outside=None).flatten().tolist() == [7] * 6
    assert maps.inside(grid, points, margin_voxels=0).flatten().tolist() == [False, False, True, True, False, False]


def test_one_image_can_be_warped_through_a_batch_of_maps(ras_grid):
    image = smooth_random((1, 1, *ras_grid.shape), 0)
    both = torch.cat([positions(ras_grid), positions(ras_grid) + 1.3])
    warped = maps.warp(image, ras_grid, both)
    assert warped.shape == (2, 1, *ras_grid.shape)
    assert torch.equal(warped[1:], maps.warp(image, ras_grid, both[1:]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_operation_keeps_its_input_s_dtype(oblique_grid, dtype):
    map_ras = maps.identity(oblique_grid, dtype=dtype)
    image = torch.ones(1, 1, *oblique_grid.shape, dtype=dtype)
    results = [
        maps.warp(image, oblique_grid, map_ras),
        maps.displacement(map_ras, oblique_grid),
        maps.from_displacement(0 * map_ras, oblique_grid),
        maps.compose(map_ras, oblique_grid, map_ras),
        maps.jacobian_matrix(map_ras, oblique_grid),
        maps.jacobian_determinant(map_ras, oblique_grid),
        maps.affine_map(np.eye(4), oblique_grid, image),
        maps.resample_displacement(0 * map_ras, oblique_grid, GRIDS["ras"]),
        maps.inverse(0 * map_ras, oblique_grid, GRIDS["ras"]).map_ras,
    ]
    assert {result.dtype for result in results} == {dtype}


def test_mixed_precision_does_not_move_points(oblique_grid):
    map_ras = maps.from_displacement(smooth_random((1, 3, *oblique_grid.shape), 1).float(), oblique_grid)
    image = smooth_random((1, 1, *oblique_grid.shape), 2).float()

    def results() -> list[torch.Tensor]:
        return [
            maps.apply_matrix(oblique_grid.ras_to_unit, map_ras),
            maps.warp(image, oblique_grid, map_ras),
            maps.jacobian_matrix(map_ras, oblique_grid),
            maps.jacobian_determinant(map_ras, oblique_grid),
        ]

    expected = results()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = results()
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


# -- composition ------------------------------------------------------------------------------------


def test_composition_of_affine_maps_is_the_product_of_their_matrices(grid):
    inner_matrix, outer_matrix = rigid_about(grid.center_ras, 7, (0.3, -0.2, 0.4)), rigid_about(grid.center_ras, -25)
    inner = maps.affine_map(inner_matrix, grid, DOUBLE)
    outer_grid = GRIDS["las"].padded((20, 20, 20))
    composed = maps.compose(maps.affine_map(outer_matrix, outer_grid, DOUBLE), outer_grid, inner)
    expected = maps.affine_map(outer_matrix @ inner_matrix, grid, DOUBLE)
    assert (composed - expected).abs().max() < 1e-9


def test_composition_beyond_the_outer_lattice_keeps_its_border_displacement(ras_grid):
    shift = torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64).view(1, 3, 1, 1, 1)
    far = positions(ras_grid) + 1000
    assert (maps.compose(positions(ras_grid) + shift, ras_grid, far) - (far + shift)).abs().max() < 1e-9


def test_displacement_and_map_are_converted_into_each_other(oblique_grid):
    displacement = smooth_random((2, 3, *oblique_grid.shape), 3)
    map_ras = maps.from_displacement(displacement, oblique_grid)
    assert (maps.displacement(map_ras, oblique_grid) - displacement).abs().max() < 1e-12


def test_a_linear_displacement_is_resampled_exactly_onto_another_grid(oblique_grid):
    matrix = rigid_about(oblique_grid.center_ras, 10)
    target = oblique_grid.resized((9, 27, 13))
    field = maps.displacement(maps.affine_map(matrix, oblique_grid, DOUBLE), oblique_grid)
    expected = maps.displacement(maps.affine_map(matrix, target, DOUBLE), target)
    assert (maps.resample_displacement(field, oblique_grid, target) - expected).abs().max() < 1e-9


def test_one_matrix_for_each_sample_of_a_batch():
    matrices = np.stack([rigid_about(np.zeros(3), 10), rigid_about(np.zeros(3), 50)])
    points = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = maps.apply_matrix(matrices, points)
    for n in range(2):
        np.testing.assert_allclose(moved[n].T, transform_points(matrices[n], points[n].T), atol=1e-12)


# -- Jacobian ---------------------------------------------------------------------------------------


def test_the_jacobian_of_an_affine_map_is_its_matrix(grid):
    matrix = rigid_about(grid.center_ras, 30, scale=1.2)
    matrix[:3, :3] @= np.diag([1.0, 0.8, -1.1])
    map_ras = maps.affine_map(matrix, grid, DOUBLE)
    jacobian = maps.jacobian_matrix(map_ras, grid)[0]
    expected = torch.as_tensor(matrix[:3, :3]).view(3, 3, 1, 1, 1)
    assert (jacobian - expected).abs().max() < 1e-9
    determinant = maps.jacobian_determinant(map_ras, grid)
    assert (determinant - np.linalg.det(matrix[:3, :3])).abs().max() < 1e-9


def test_the_determinant_is_that_of_the_jacobian_matrix(oblique_grid):
    map_ras = positions(oblique_grid) + smooth_random((1, 3, *oblique_grid.shape), 6)
    matrices = maps.jacobian_matrix(map_ras, oblique_grid).permute(0, 3, 4, 5, 1, 2)
    expected = torch.linalg.det(matrices)[:, None]
    assert (maps.jacobian_determinant(map_ras, oblique_grid) - expected).abs().max() < 1e-10


def test_the_determinant_equals_simpleitk_s(grid):
    displacement = smooth_random((1, 3, *grid.shape), 6)
    ours = maps.jacobian_determinant(maps.from_displacement(displacement, grid), grid)[0, 0].numpy()
    # The filter ignores the direction: give it components along the grid's own axes.
    own_axes = np.einsum("rc,rkji->kjic", np.asarray(grid.direction_ras), displacement[0].numpy())
    field = sitk.GetImageFromArray(np.ascontiguousarray(own_axes), isVector=True)
    field.SetSpacing(grid.spacing_mm)
    expected = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field, useImageSpacing=True))
    np.testing.assert_allclose(ours[1:-1, 1:-1, 1:-1], expected[1:-1, 1:-1, 1:-1], atol=1e-5)


def test_the_derivative_is_exact_for_a_parabola_inside_and_one_sided_at_the_ends():
    x = torch.arange(6, dtype=torch.float64).view(1, 1, 1, 1, 6)
    assert maps.derivative(x**2, 4).flatten().tolist() == [1, 2, 4, 6, 8, 9]
    assert maps.derivative(x[..., :2] * 3, 4).flatten().tolist() == [3, 3]


# -- inverse ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["las", "permuted"])
def test_the_inverse_of_an_affine_and_a_smooth_map_undoes_it(oblique_grid, target):
    grid = oblique_grid.padded((10, 10, 3))
    displacement = 0.25 * smooth_random((1, 3, *grid.shape), 8, passes=5)
    affine = rigid_about(grid.center_ras, 12)
    result = maps.inverse(displacement, grid, GRIDS[target], affine_ras=affine)
    there = maps.compose_displacement(displacement, grid, result.map_ras)
    error = (maps.apply_matrix(affine, there) - positions(GRIDS[target])).norm(dim=1, keepdim=True)
    assert error.max() < 5e-3
    assert (error - result.error_mm).abs().max() < 1e-9
    assert result.iterations < 30


def test_the_inverse_from_a_good_first_guess_takes_fewer_iterations(ras_grid):
    displacement = 0.25 * smooth_random((1, 3, *ras_grid.shape), 8, passes=5)
    cold = maps.inverse(displacement, ras_grid, ras_grid)
    warm = maps.inverse(displacement, ras_grid, ras_grid, initial_map_ras=cold.map_ras)
    assert warm.iterations < cold.iterations


def test_the_inverse_of_a_folded_map_reports_its_error(ras_grid):
    displacement = 20 * smooth_random((1, 3, *ras_grid.shape), 8)
    assert maps.inverse(displacement, ras_grid, ras_grid).error_mm.max() > 1


# -- labels -----------------------------------------------------------------------------------------


def test_a_two_voxel_plate_keeps_its_volume_through_a_rotation_there_and_back():
    grid = Grid((36, 36, 36))
    labels = torch.zeros(1, 1, *grid.shape, dtype=torch.int16)
    labels[0, 0, 17:19, 8:28, 8:28] = 3
    matrix = rigid_about(grid.center_ras, 17, (0, 0, 0))
    volume = {}
    for method in ("linear", "nearest"):
        there = maps.warp_labels(labels, grid, maps.affine_map(matrix, grid, DOUBLE), method=method)
        back = maps.warp_labels(there, grid, maps.affine_map(np.linalg.inv(matrix), grid, DOUBLE), method=method)
        assert back.dtype == labels.dtype
        volume[method] = int((back == 3).sum()) / int((labels == 3).sum())
    assert volume["linear"] == pytest.approx(1, abs=0.03)


def test_labels_keep_their_values_and_are_zero_outside(oblique_grid):
    generator = torch.Generator().manual_seed(0)
    labels = 100 * torch.randint(0, 4, (1, 1, *oblique_grid.shape), generator=generator, dtype=torch.int32)
    for method in ("linear", "nearest"):
        same = maps.warp_labels(labels, oblique_grid, positions(oblique_grid), method=method)
        assert torch.equal(same, labels)
        assert maps.warp_labels(labels, oblique_grid, positions(oblique_grid) + 999, method=method).abs().max() == 0


def test_label_weights_are_compared_with_each_other_and_with_the_background():
    grid = Grid((3, 3, 3))
    labels = torch.zeros(1, 1, 3, 3, 3, dtype=torch.int64)
    labels[..., 1], labels[..., 2] = 1, 2
    x = torch.tensor([0.4, 0.6, 1.4, 1.6], dtype=torch.float64)
    points = torch.stack([x, torch.ones_like(x), torch.ones_like(x)]).view(1, 3, 1, 1, -1)
    assert maps.warp_labels(labels, grid, points).flatten().tolist() == [0, 1, 1, 2]


# -- gradients --------------------------------------------------------------------------------------

TINY = Grid((4, 3, 5), (1.0, 1.4, 0.8), (2.0, -1.0, 0.5), GRIDS["oblique"].direction_ras)


def off_lattice(seed: int) -> torch.Tensor:
    """Points away from the kinks of linear interpolation."""
    matrix = rigid_about(TINY.center_ras, 5, (0.21, 0.17, -0.13), scale=0.7)
    return (maps.affine_map(matrix, TINY, DOUBLE) + 0.02 * smooth_random((1, 3, *TINY.shape), seed)).requires_grad_()


@pytest.mark.parametrize("outside", [0.0, None])
def test_the_gradient_of_sampling_agrees_with_finite_differences(outside):
    values = smooth_random((1, 2, *TINY.shape), 0, passes=0).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v, p: maps.sample(v, TINY, p, outside=outside), (values, off_lattice(1)), eps=1e-7, atol=1e-5
    )


def test_the_gradients_of_composition_and_determinant_agree_with_finite_differences():
    outer = (positions(TINY) + 0.3 * smooth_random((1, 3, *TINY.shape), 2)).requires_grad_()
    inner = off_lattice(3)
    assert torch.autograd.gradcheck(lambda a, b: maps.compose(a, TINY, b), (outer, inner), eps=1e-7, atol=1e-5)
    assert torch.autograd.gradcheck(lambda a: maps.jacobian_determinant(a, TINY), (outer,))


# -- errors -----------------------------------------------------------------------------------------


def test_values_on_another_grid_are_refused(ras_grid):
    values = torch.zeros(1, 3, *ras_grid.shape)
    wrong = values[..., 1:]
    calls = {
        "values": lambda: maps.sample(wrong, ras_grid, values),
        "map": lambda: maps.displacement(wrong, ras_grid),
        "displacement field": lambda: maps.from_displacement(wrong, ras_grid),
    }
    for name, call in calls.items():
        with pytest.raises(GeometryError, match=rf"^{name}: shape \(N, C, 16, 18, 20\) .* \(1, 3, 16, 18, 19\)"):
            call()
    for jacobian in (maps.jacobian_matrix, maps.jacobian_determinant):
        with pytest.raises(GeometryError, match="map"):
            jacobian(wrong, ras_grid)


def test_unknown_interpolations_are_refused(ras_grid):
    image, map_ras = torch.zeros(1, 1, *ras_grid.shape), maps.identity(ras_grid)
    with pytest.raises(GeometryError, match="'cubic' is unknown; choose one of linear, nearest"):
        maps.warp(image, ras_grid, map_ras, interpolation="cubic")
    with pytest.raises(GeometryError, match="'cubic' is unknown; choose linear or nearest"):
        maps.warp_labels(image, ras_grid, map_ras, method="cubic")
