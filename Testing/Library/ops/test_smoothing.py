"""The kernel K against scipy, analytic Gaussians and its defining properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from JointRegistrationLib.core.config import VelocityConfig
from JointRegistrationLib.core.errors import ConfigError, GeometryError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.ops import maps
from JointRegistrationLib.ops.separable.smoothing import smooth
from Testing.Support.grids import GRIDS, smooth_random

SIGMAS, WEIGHTS = (1.5, 3.0), (0.25, 0.75)


def random_field(grid: Grid, channels: int = 3, seed: int = 0) -> torch.Tensor:
    return smooth_random((1, channels, *grid.shape), seed, passes=0)


def test_smoothing_equals_scipy_on_every_grid(grid):
    field = random_field(grid)
    expected = np.zeros(field.shape)
    for sigma, weight in zip(SIGMAS, WEIGHTS, strict=True):
        sigma_voxels = [sigma / spacing for spacing in reversed(grid.spacing_mm)]
        for c in range(3):
            expected[0, c] += weight * ndimage.gaussian_filter(
                field[0, c].numpy(), sigma_voxels, mode="constant", truncate=12
            )
    np.testing.assert_allclose(smooth(field, grid, SIGMAS, WEIGHTS).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["isotropic", "oblique", "permuted"])
def test_a_blob_widens_by_sigma_in_mm_in_every_direction(name):
    grid = GRIDS[name].resized((40, 40, 40))
    distance = (maps.identity(grid, dtype=torch.float64)[0].numpy().T - grid.center_ras).T
    squared = (distance**2).sum(axis=0)
    blob, sigma = 1.6, 2.0
    field = torch.as_tensor(np.exp(-squared / (2 * blob**2)))[None, None]
    wider = blob**2 + sigma**2
    expected = (blob**2 / wider) ** 1.5 * np.exp(-squared / (2 * wider))
    # The sampled blob is cut off at the border of the small field of view.
    np.testing.assert_allclose(smooth(field, grid, (sigma,), (1.0,))[0, 0].numpy(), expected, atol=2e-4)


def test_a_constant_keeps_its_value_away_from_the_borders():
    grid = Grid((64, 64, 64), (1.0, 1.0, 1.0))
    smoothed = smooth(torch.ones(1, 1, *grid.shape), grid, (2.0, 4.0), (0.4, 0.6))
    assert (smoothed[..., 24:40, 24:40, 24:40] - 1).abs().max() < 1e-5
    assert smoothed.max() < 1 + 1e-5
    assert smoothed[0, 0, 0, 32, 32] == pytest.approx(0.5, abs=0.1)  # half of the kernel is outside


def test_nothing_wraps_around_to_the_opposite_edge():
    grid = Grid((60, 12, 12), (1.0, 1.0, 1.0))
    field = torch.zeros(1, 1, *grid.shape, dtype=torch.float64)
    field[..., 2] = 1
    smoothed = smooth(field, grid, (4.0,), (1.0,))
    assert smoothed[0, 0, 6, 6, -1] < 1e-20
    assert smoothed[0, 0, 6, 6, 2] > 0.05


def test_the_kernel_is_symmetric_and_positive():
    grid = Grid((5, 4, 6), (1.0, 2.5, 0.7))
    basis = torch.eye(grid.num_voxels, dtype=torch.float64).view(-1, 1, *grid.shape)
    kernel = smooth(basis, grid, (*VelocityConfig().sigmas_mm, 0.4), (*VelocityConfig().weights, 0.5))
    kernel = kernel.view(grid.num_voxels, -1)
    assert (kernel - kernel.T).abs().max() < 1e-15
    assert torch.linalg.eigvalsh(kernel).min() > 0
    only_wide = smooth(basis, grid, VelocityConfig().sigmas_mm, VelocityConfig().weights).view(grid.num_voxels, -1)
    assert torch.linalg.eigvalsh(only_wide).min() > -1e-14


def test_a_sigma_far_below_a_voxel_changes_nothing(ras_grid):
    field = random_field(ras_grid)
    assert (smooth(field, ras_grid, (0.1,), (1.0,)) - field).abs().max() < 1e-12


def test_gradient_agrees_with_finite_differences():
    grid = Grid((4, 3, 5), (1.0, 2.0, 0.5))
    field = random_field(grid, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: smooth(f, grid, SIGMAS, WEIGHTS), (field,))
    assert torch.autograd.gradgradcheck(lambda f: smooth(f, grid, SIGMAS, WEIGHTS).square(), (field,))


def test_single_and_half_precision_keep_their_type_and_are_computed_in_single(ras_grid):
    field = random_field(ras_grid)
    exact = smooth(field, ras_grid, SIGMAS, WEIGHTS)
    single = smooth(field.float(), ras_grid, SIGMAS, WEIGHTS)
    half = smooth(field.bfloat16(), ras_grid, SIGMAS, WEIGHTS)
    assert (single.dtype, half.dtype) == (torch.float32, torch.bfloat16)
    assert (single - exact).abs().max() < 1e-6
    expected = smooth(field.bfloat16().float(), ras_grid, SIGMAS, WEIGHTS).bfloat16()
    assert torch.equal(half, expected)


def test_a_kernel_first_used_under_inference_mode_can_be_trained_through():
    grid = Grid((6, 6, 6), (1.1, 1.2, 1.3))
    with torch.inference_mode():
        smooth(random_field(grid), grid, (2.2,), (1.0,))
    field = random_field(grid).requires_grad_()
    smooth(field, grid, (2.2,), (1.0,)).sum().backward()
    assert torch.isfinite(field.grad).all()


def test_each_field_and_channel_is_smoothed_by_itself(ras_grid):
    fields = smooth_random((2, 3, *ras_grid.shape), 5, passes=0)
    together = smooth(fields, ras_grid, SIGMAS, WEIGHTS)
    alone = smooth(fields[1:, 2:], ras_grid, SIGMAS, WEIGHTS)
    assert (together[1:, 2:] - alone).abs().max() < 1e-14


@pytest.mark.parametrize(
    ("sigmas", "weights", "message"),
    [
        ((), (), "one weight per sigma"),
        ((1.0, 2.0), (1.0,), "2 sigmas and 1 weights"),
        ((0.0,), (1.0,), "positive number of mm, but one is 0.0"),
        ((float("nan"),), (1.0,), "positive number of mm"),
        ((1.0,), (-0.5,), "must not be negative, but one is -0.5"),
    ],
)
def test_an_impossible_kernel_is_refused(ras_grid, sigmas, weights, message):
    with pytest.raises(ConfigError, match=message):
        smooth(random_field(ras_grid), ras_grid, sigmas, weights)


def test_a_field_on_another_grid_is_refused(ras_grid):
    with pytest.raises(GeometryError, match="field to smooth"):
        smooth(random_field(ras_grid)[..., 1:], ras_grid, SIGMAS, WEIGHTS)
