"""Integration against exact flows: constant, affine (matrix exponential), and x' = a sin(k x)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from JointRegistrationLib.core.errors import ConfigError, GeometryError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.ops import maps
from JointRegistrationLib.ops.integrate import (
    ADVECTION_ORDER,
    INTEGRATORS,
    advect,
    cfl_number,
    exponential,
    num_squarings,
)
from Testing.Support.grids import GRIDS, rotation, smooth_random

DOUBLE = torch.zeros(1, dtype=torch.float64)
#: Voxels away from the border, whose paths do not meet it.
INNER = (..., slice(5, -5), slice(5, -5), slice(5, -5))


def positions(grid: Grid) -> torch.Tensor:
    return maps.identity(grid, dtype=torch.float64)


def affine_generator(grid: Grid, strength: float) -> np.ndarray:
    """4x4 G of v(x) = G x about the grid's centre: rotation with some shear and growth."""
    linear = strength * (rotation((0.3, 1, 0.5), 90) + 0.3 * np.diag([1.0, -0.5, 0.2]))
    generator = np.zeros((4, 4))
    generator[:3, :3] = linear
    generator[:3, 3] = -linear @ grid.center_ras + strength * np.array([2.0, -1.0, 0.5])
    return generator


def affine_velocity(grid: Grid, generator: np.ndarray) -> torch.Tensor:
    return maps.apply_matrix(generator + np.eye(4), positions(grid)) - positions(grid)


def fitted_order(steps: list[int], errors: list[float]) -> float:
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


class SineFlow:
    """v = a sin(k s) along one index axis, s the distance in mm from the grid's origin; no other component."""

    def __init__(self, grid: Grid, amplitude_mm: float, waves: float = 1.0) -> None:
        self.direction = torch.as_tensor(np.asarray(grid.direction_ras)[:, 0]).view(1, 3, 1, 1, 1)
        self.wave_number = 2 * np.pi * waves / grid.extent_mm[0]
        self.amplitude_mm = amplitude_mm
        offset = positions(grid) - torch.as_tensor(grid.origin_ras, dtype=torch.float64).view(1, 3, 1, 1, 1)
        self.s = (offset * self.direction).sum(dim=1, keepdim=True)
        self.velocity_mm = amplitude_mm * torch.sin(self.wave_number * self.s) * self.direction

    def displacement(self, time: float) -> torch.Tensor:
        """Exact: tan(k s(t) / 2) = tan(k s(0) / 2) exp(a k t)."""
        half = self.wave_number * self.s / 2
        growth = np.exp(self.amplitude_mm * self.wave_number * time)
        turned = torch.atan2(growth * torch.sin(half), torch.cos(half))
        turned = turned + 2 * np.pi * torch.round((half - turned) / (2 * np.pi))
        return (turned - half) * 2 / self.wave_number * self.direction


# -- exact cases ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", INTEGRATORS)
def test_zero_velocity_is_the_identity(grid, method):
    velocity = torch.zeros(1, 3, *grid.shape)
    assert exponential(velocity, grid, method=method).abs().max() < 1e-4 * min(grid.spacing_mm)


def test_advection_by_zero_velocity_returns_the_initial_map(grid):
    initial = positions(grid) + smooth_random((1, 3, *grid.shape), 0)
    assert torch.equal(advect(initial, torch.zeros_like(initial), grid), initial)


@pytest.mark.parametrize("method", INTEGRATORS)
def test_constant_velocity_translates_exactly_border_included(grid, method):
    shift = torch.tensor([1.3, -2.1, 0.7], dtype=torch.float64).view(1, 3, 1, 1, 1)
    velocity = shift.expand(2, 3, *grid.shape)
    assert (exponential(velocity, grid, method=method) - shift).abs().max() < 1e-10
    assert (advect(positions(grid), velocity, grid) - (positions(grid) - shift)).abs().max() < 1e-10


# -- order in time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["isotropic", "oblique", "oblique_left_handed", "permuted"])
def test_advection_converges_to_the_matrix_exponential_with_order_four(name):
    grid = GRIDS[name]
    generator = affine_generator(grid, 0.5)
    initial = expm(affine_generator(grid, 0.2))  # an affine map to transport
    exact = maps.affine_map(initial @ expm(-generator), grid, DOUBLE)
    steps = [1, 2, 4, 8]
    errors = []
    for n in steps:
        result = advect(maps.affine_map(initial, grid, DOUBLE), affine_velocity(grid, generator), grid, n)
        errors.append(float((result - exact).abs().max()))
    assert fitted_order(steps, errors) == pytest.approx(ADVECTION_ORDER, abs=0.25)
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("name", ["isotropic", "oblique", "oblique_left_handed", "permuted"])
@pytest.mark.parametrize("method", INTEGRATORS)
def test_exponential_converges_to_the_matrix_exponential_with_the_declared_order(name, method):
    grid = GRIDS[name]
    generator = affine_generator(grid, 0.1)
    velocity = affine_velocity(grid, generator)
    velocity_scale = min(1.0, 0.49 / cfl_number(velocity, grid, 1))  # so that ``steps`` alone sets the squarings
    generator, velocity = generator * velocity_scale, velocity * velocity_scale
    exact = maps.affine_map(expm(generator), grid, DOUBLE) - positions(grid)
    steps = [1, 2, 4, 8]
    errors = [float((exponential(velocity, grid, method=method, steps=n) - exact)[INNER].abs().max()) for n in steps]
    assert fitted_order(steps, errors) == pytest.approx(INTEGRATORS[method].order, abs=0.25)


def test_advection_of_a_nonlinear_flow_converges_with_order_four_in_time():
    flow = SineFlow(grid := Grid((48, 4, 4), (1.0, 1.0, 1.0)), 4.0)
    reference = advect(positions(grid), flow.velocity_mm, grid, 256)
    steps = [4, 8, 16, 32]
    errors = [float((advect(positions(grid), flow.velocity_mm, grid, n) - reference).abs().max()) for n in steps]
    assert fitted_order(steps, errors) == pytest.approx(ADVECTION_ORDER, abs=0.25)


# -- order in space, smooth nonlinear flow ----------------------------------------------------------


def flow_error(method: str, grid: Grid, amplitude_mm: float, steps: int) -> float:
    """Largest error against the exact inverse flow, in mm."""
    flow = SineFlow(grid, amplitude_mm)
    if method == "advect":
        psi = advect(positions(grid), flow.velocity_mm, grid, steps) - positions(grid)
    else:
        psi = exponential(-flow.velocity_mm, grid, method=method, steps=steps)
    return float((psi - flow.displacement(-1)).abs().max())


@pytest.mark.parametrize("method", ["advect", *INTEGRATORS])
@pytest.mark.parametrize("name", ["isotropic", "oblique"])
def test_the_error_against_the_exact_sine_flow_is_of_second_order_in_the_spacing(method, name):
    sizes = [12, 23, 45, 89]
    grids = [GRIDS[name].resized((n, 4, 4)) for n in sizes]
    errors = [flow_error(method, grid, 0.2 * grid.extent_mm[0], 64) for grid in grids]
    # Scaling and squaring interpolates ever smaller displacements: h^2 up to a logarithm.
    expected = 1.8 if method == "scaling-squaring" else 2.05
    assert fitted_order(sizes, errors) == pytest.approx(expected, abs=0.15)


def test_ten_advection_steps_are_within_a_ten_thousandth_of_a_voxel_in_a_smooth_case():
    assert flow_error("advect", Grid((96, 4, 4)), 1.0, 10) < 1e-4


def test_the_forward_flow_matches_the_exact_one_too():
    grid = GRIDS["oblique"].resized((80, 4, 4))
    flow = SineFlow(grid, 1.0)
    for method in INTEGRATORS:
        error = exponential(flow.velocity_mm, grid, method=method, steps=16) - flow.displacement(1)
        assert error.abs().max() < 2e-3


# -- inverse consistency and agreement --------------------------------------------------------------


def smooth_velocity(grid: Grid, voxels: float, seed: int = 0) -> torch.Tensor:
    velocity = smooth_random((1, 3, *grid.shape), seed, passes=6)
    return velocity * (voxels / cfl_number(velocity, grid, 1))


@pytest.mark.parametrize("method", INTEGRATORS)
def test_the_exponentials_of_v_and_minus_v_are_inverse_to_each_other(grid, method):
    velocity = smooth_velocity(grid, 2.0)
    forward, backward = (exponential(sign * velocity, grid, method=method, steps=16) for sign in (1, -1))
    round_trip = maps.compose_displacement(forward, grid, positions(grid) + backward) - positions(grid)
    in_voxels = maps.apply_matrix(np.linalg.inv(np.diag([*grid.spacing_mm, 1])), round_trip)[INNER]
    assert in_voxels.abs().mean() < 0.02
    assert in_voxels.abs().max() < 0.15


def test_advection_and_both_exponentials_agree(oblique_grid):
    grid = oblique_grid.resized((36, 36, 36))
    generator = torch.as_tensor(affine_generator(grid, 0.0))
    initial = maps.affine_map(expm(affine_generator(grid, 0.3)), grid, DOUBLE)
    velocity = smooth_velocity(grid, 1.5) + affine_velocity(grid, generator.numpy())
    transported = advect(initial, velocity, grid)
    for method in INTEGRATORS:
        psi = positions(grid) + exponential(-velocity, grid, method=method)
        composed = maps.compose(initial, grid, psi)
        assert ((transported - composed)[INNER]).abs().max() < 0.1 * max(grid.spacing_mm)


def test_a_strong_velocity_neither_folds_nor_diverges():
    grid = Grid((24, 24, 24))
    velocity = smooth_velocity(grid, 6.0)
    displacement = exponential(velocity, grid)
    assert maps.jacobian_determinant(positions(grid) + displacement, grid).min() > 0
    assert displacement.abs().max() < 10


def test_single_precision_agrees_with_double(oblique_grid):
    velocity = smooth_velocity(oblique_grid, 2.0)
    for method in INTEGRATORS:
        exact = exponential(velocity, oblique_grid, method=method)
        single = exponential(velocity.float(), oblique_grid, method=method)
        assert single.dtype == torch.float32
        assert (single - exact).abs().max() < 1e-3


def test_mixed_precision_leaves_the_integration_in_single(oblique_grid):
    velocity = smooth_velocity(oblique_grid, 2.0).float()
    initial = positions(oblique_grid).float()
    expected = [exponential(velocity, oblique_grid), advect(initial, velocity, oblique_grid)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [exponential(velocity, oblique_grid), advect(initial, velocity, oblique_grid)]
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def test_a_batch_is_integrated_field_by_field(ras_grid):
    velocity = torch.cat([smooth_velocity(ras_grid, 2.0, 1), smooth_velocity(ras_grid, 2.0, 2)])
    for method in INTEGRATORS:
        together = exponential(velocity, ras_grid, method=method)
        assert (together[1:] - exponential(velocity[1:], ras_grid, method=method)).abs().max() < 1e-12


# -- gradients --------------------------------------------------------------------------------------

TINY = Grid((4, 5, 4), (1.0, 0.8, 1.5), (3.0, -2.0, 1.0), GRIDS["oblique"].direction_ras)


@pytest.mark.parametrize("method", INTEGRATORS)
def test_the_exponential_s_gradient_agrees_with_finite_differences(method):
    velocity = (0.3 * smooth_random((1, 3, *TINY.shape), 1, passes=0)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: exponential(v, TINY, method=method, steps=4), (velocity,), eps=1e-7, atol=1e-5
    )


def test_the_advection_s_gradient_agrees_with_finite_differences():
    velocity = (0.3 * smooth_random((1, 3, *TINY.shape), 1, passes=0)).requires_grad_()
    initial = (positions(TINY) + 0.2 * smooth_random((1, 3, *TINY.shape), 2, passes=0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda phi, v: advect(phi, v, TINY, 2), (initial, velocity))


# -- steps and errors -------------------------------------------------------------------------------


def test_the_cfl_number_counts_voxels_along_the_grid_s_own_axes(oblique_grid):
    along_k = np.asarray(oblique_grid.direction_ras)[:, 2] * 14.0  # five voxels of 2.8 mm
    velocity = torch.as_tensor(along_k).view(1, 3, 1, 1, 1).expand(1, 3, *oblique_grid.shape)
    assert cfl_number(velocity, oblique_grid, 10) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("voxels", "steps", "squarings"),
    [(0.1, 1, 0), (0.1, 10, 4), (0.1, 16, 4), (0.51, 1, 1), (12.0, 10, 5), (1e9, 10, 12), (float("nan"), 10, 4)],
)
def test_squarings_follow_the_steps_asked_for_and_the_half_voxel_rule(voxels, steps, squarings):
    grid = Grid((4, 4, 4), (2.0, 2.0, 2.0))
    assert num_squarings(torch.full((1, 3, 4, 4, 4), 2.0 * voxels), grid, steps) == squarings


def test_integration_errors(ras_grid):
    velocity = torch.zeros(1, 3, *ras_grid.shape)
    with pytest.raises(ConfigError, match=r"'euler' is unknown; choose one of scaling-squaring, rk4"):
        exponential(velocity, ras_grid, method="euler")
    with pytest.raises(GeometryError, match="velocity"):
        exponential(velocity[..., 1:], ras_grid)
    with pytest.raises(GeometryError, match="map"):
        advect(velocity[..., 1:], velocity, ras_grid)
    with pytest.raises(GeometryError, match="velocity"):
        advect(velocity, velocity[..., 1:], ras_grid)
    for call in (lambda: exponential(velocity, ras_grid, steps=0), lambda: advect(velocity, velocity, ras_grid, 0)):
        with pytest.raises(ConfigError, match="at least one time step"):
            call()
