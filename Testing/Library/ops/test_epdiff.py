"""EPDiff against what is known of geodesics: exact terms, conserved energy and momentum, landmarks by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from JointRegistrationLib.core.errors import ConfigError, GeometryError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.ops import maps
from JointRegistrationLib.ops.epdiff import ORDER, Shot, coadjoint, num_steps, shoot
from JointRegistrationLib.ops.integrate import exponential
from JointRegistrationLib.ops.separable.smoothing import smooth
from Testing.Support.grids import GRIDS, smooth_random
from Testing.Support.knees import centered_grid

KERNEL = ((4.0, 8.0), (0.5, 0.5))
GRID = centered_grid((24, 26, 22), (2.0, 1.8, 2.2))
STEPS = [4, 8, 16]
SMALL = Grid((5, 4, 3), (1.0, 1.2, 2.0))
TINY = Grid((3, 4, 2), (1.0, 1.2, 2.0))


def velocity(momentum: Tensor, grid: Grid) -> Tensor:
    return smooth(momentum, grid, *KERNEL)


def energy(momentum: Tensor, grid: Grid) -> float:
    return float((momentum * velocity(momentum, grid)).sum())


def positions(grid: Grid) -> Tensor:
    return maps.identity(grid, dtype=torch.float64)


def with_speed(momentum: Tensor, grid: Grid, largest_mm: float) -> Tensor:
    return momentum * (largest_mm / velocity(momentum, grid).norm(dim=1).max())


def bumps(grid: Grid, largest_mm: float, width_mm: float = 6.0) -> Tensor:
    """Two smooth pushes at an angle to each other, around the grid's centre."""
    x = positions(grid)
    momentum = torch.zeros_like(x)
    for center, push in (((-7.0, 0.0, 3.0), (1.0, 0.3, -0.2)), ((6.0, 5.0, -2.0), (-0.4, -1.0, 0.5))):
        c, p = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1, 1) for values in (center, push))
        momentum = momentum + p * torch.exp(-0.5 * ((x - c) / width_mm).square().sum(dim=1, keepdim=True))
    return with_speed(momentum, grid, largest_mm)


def rough(grid: Grid, largest_mm: float) -> Tensor:
    """What an optimiser finds is rough: noise from voxel to voxel, away from the border."""
    x = positions(grid)
    return with_speed(
        smooth_random((1, 3, *grid.shape), 0, passes=0) * torch.exp(-((x / 14) ** 4).sum(dim=1, keepdim=True)),
        grid,
        largest_mm,
    )


def fitted_order(steps: list[int], errors: list[float]) -> float:
    return float(-np.polyfit(np.log(steps), np.log(errors), 1)[0])


def largest(field: Tensor) -> float:
    return float(field.norm(dim=1).max())


def round_trip_mm(shot: Shot, grid: Grid) -> Tensor:
    """Distances between psi^-1(psi(x)) and x, where psi(x) stays inside."""
    assert shot.inverse_mm is not None
    psi = maps.from_displacement(shot.forward_mm, grid)
    away = maps.compose_displacement(shot.inverse_mm, grid, psi) - positions(grid)
    return away.norm(dim=1, keepdim=True)[maps.inside(grid, psi, 0.0)]


def commutator(v: Tensor, w: Tensor, grid: Grid) -> Tensor:
    """ad_v w = (Dv) w - (Dw) v."""

    def along(field: Tensor, direction: Tensor) -> Tensor:
        return torch.einsum("nrxdhw,nxdhw->nrdhw", maps.jacobian_matrix(field, grid), direction)

    return along(v, w) - along(w, v)


# -- the operator -------------------------------------------------------------------------------------------


def test_coadjoint_is_the_transpose_of_the_commutator_border_included(grid: Grid) -> None:
    v, w, m = (smooth_random((1, 3, *grid.shape), seed, passes=0) for seed in range(3))
    left, right = (coadjoint(v, m, grid) * w).sum(), (m * commutator(v, w, grid)).sum()
    torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-10)
    assert abs(float((coadjoint(v, m, grid) * v).sum())) < 1e-10 * float(m.norm() * v.norm())


@pytest.mark.parametrize("size", [(2, 3, 4), (3, 2, 2)])
def test_coadjoint_is_the_transpose_on_the_smallest_grids(size: tuple[int, int, int]) -> None:
    grid = Grid(size, (1.0, 2.0, 0.5))
    v, w, m = (smooth_random((1, 3, *grid.shape), seed, passes=0) for seed in range(3))
    torch.testing.assert_close((coadjoint(v, m, grid) * w).sum(), (m * commutator(v, w, grid)).sum())


def test_coadjoint_of_linear_fields_is_exact_inside(grid: Grid) -> None:
    """v = G x + g and m = B x + b: div(m v) + (Dv)^T m = B v + tr(G) m + G^T m."""
    x, random = positions(grid), np.random.default_rng(0)
    matrices = [np.eye(4) for _ in range(2)]
    for matrix in matrices:
        matrix[:3] = random.normal(size=(3, 4))
    v, m = (maps.apply_matrix(matrix, x) for matrix in matrices)
    g, b = (torch.as_tensor(matrix[:3, :3]) for matrix in matrices)

    def times(matrix: Tensor, field: Tensor) -> Tensor:
        return torch.einsum("rc,ncdhw->nrdhw", matrix, field)

    expected = times(b, v) + g.trace() * m + times(g.T, m)
    inner = (..., slice(2, -2), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(coadjoint(v, m, grid)[inner], expected[inner], rtol=1e-8, atol=1e-8)


# -- gradients ----------------------------------------------------------------------------------------------


def test_coadjoint_passes_gradcheck_twice() -> None:
    fields = [smooth_random((1, 3, *TINY.shape), seed, passes=0).requires_grad_() for seed in range(2)]
    assert torch.autograd.gradcheck(lambda v, m: coadjoint(v, m, TINY), fields)
    assert torch.autograd.gradgradcheck(lambda v, m: coadjoint(v, m, TINY), fields, fast_mode=True)


def test_shooting_passes_gradcheck() -> None:
    momentum = smooth_random((1, 3, *TINY.shape), 3, passes=0).requires_grad_()

    def ends(m: Tensor) -> tuple[Tensor, ...]:
        shot = shoot(m, TINY, (2.0, 4.0), (0.5, 0.5), steps=2, with_inverse=True)
        assert shot.inverse_mm is not None
        return shot.momentum_mm, shot.forward_mm, shot.inverse_mm

    assert torch.autograd.gradcheck(ends, [momentum], fast_mode=True)


# -- what a geodesic conserves ------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [bumps, rough])
def test_the_energy_drifts_by_less_than_1e_4_and_vanishingly_with_more_steps(make) -> None:
    momentum = make(GRID, 3.5)
    before = energy(momentum, GRID)
    drifts = [abs(energy(shoot(momentum, GRID, *KERNEL, steps=n).momentum_mm, GRID) / before - 1) for n in STEPS]
    assert drifts[0] < 1e-4
    assert drifts[-1] < 1e-6
    assert fitted_order(STEPS, drifts) > ORDER - 0.25


@pytest.mark.parametrize("make", [bumps, rough])
def test_the_way_back_leads_to_the_start_up_to_the_error_in_time(make) -> None:
    momentum = make(GRID, 3.5)
    errors = []
    for n in STEPS:
        end = shoot(momentum, GRID, *KERNEL, steps=n).momentum_mm
        back = shoot(-end, GRID, *KERNEL, steps=n).momentum_mm
        errors.append(float((velocity(momentum + back, GRID)).norm() / velocity(momentum, GRID).norm()))
    assert errors[-1] < 1e-6
    assert fitted_order(STEPS, errors) > ORDER - 0.25


def test_order_four_in_time() -> None:
    momentum = bumps(GRID, 3.5)
    reference = shoot(momentum, GRID, *KERNEL, steps=32, with_inverse=True)
    shots = [shoot(momentum, GRID, *KERNEL, steps=n, with_inverse=True) for n in STEPS]
    for name in ("momentum_mm", "forward_mm", "inverse_mm"):
        errors = [largest(getattr(shot, name) - getattr(reference, name)) for shot in shots]
        # the inverse follows paths through a velocity that is linear from voxel to voxel: kinks
        assert fitted_order(STEPS, errors) > (1.5 if name == "inverse_mm" else ORDER - 0.3), name
        assert errors[-1] < 1e-3 * largest(getattr(reference, name))


def momentum_of_the_map(momentum: Tensor, shot: Shot, grid: Grid) -> Tensor:
    """m(1) in closed form, without EPDiff: |D psi| (D psi)^T m(0) o psi."""
    psi = maps.from_displacement(shot.forward_mm, grid)
    warped = maps.sample(momentum, grid, psi, outside=0.0)
    turned = torch.einsum("nrcdhw,nrdhw->ncdhw", maps.jacobian_matrix(psi, grid), warped)
    return maps.jacobian_determinant(psi, grid) * turned


def test_momentum_is_the_first_one_carried_by_the_map_the_closer_the_finer_the_grid() -> None:
    errors, changes = [], []
    for n in (16, 32):
        grid = centered_grid((n, n, n), (64 / n,) * 3)
        momentum = bumps(grid, 6.0)
        shot = shoot(momentum, grid, *KERNEL, steps=16)
        v = velocity(shot.momentum_mm, grid)
        errors.append(float((velocity(momentum_of_the_map(momentum, shot, grid), grid) - v).norm() / v.norm()))
        changes.append(float((v - velocity(momentum, grid)).norm() / v.norm()))
    assert min(changes) > 0.3
    assert errors[1] < 0.02
    assert errors[1] < errors[0] / 2.5


def test_map_and_inverse_compose_to_the_identity_up_to_the_spacing_squared() -> None:
    errors = []
    for n in (16, 32):
        grid = centered_grid((n, n, n), (64 / n,) * 3)
        shot = shoot(bumps(grid, 6.0), grid, *KERNEL, steps=16, with_inverse=True)
        away = round_trip_mm(shot, grid)
        errors.append(float(away.max()))
        assert largest(shot.forward_mm) > 5.0
        assert maps.jacobian_determinant(maps.from_displacement(shot.forward_mm, grid), grid).min() > 0.3
    assert errors[1] < 0.4
    assert errors[1] < errors[0] / 3


# -- against others -----------------------------------------------------------------------------------------


def landmark_paths(q: np.ndarray, p: np.ndarray, sigma: float, gain: float) -> np.ndarray:
    """Where particles q with momenta p go in unit time under a Gaussian kernel: (n, 3). Hamilton's equations."""

    def rate(_time: float, state: np.ndarray) -> np.ndarray:
        x, m = state.reshape(2, -1, 3)
        apart = x[:, None] - x[None]
        k = gain * np.exp(-0.5 * (apart**2).sum(-1) / sigma**2)
        pull = ((m @ m.T) * k)[..., None] * apart / sigma**2
        return np.concatenate([(k @ m).ravel(), pull.sum(axis=1).ravel()])

    end = solve_ivp(rate, (0, 1), np.concatenate([q.ravel(), p.ravel()]), rtol=1e-10, atol=1e-10)
    return end.y[: 3 * len(q), -1].reshape(-1, 3)


def particle_error_mm(spacing_mm: float) -> float:
    """Largest distance to SciPy's solution, for momentum at three voxels: they meet, deflect each other and part."""
    n, sigma = round(48 / spacing_mm) + 1, 7.0
    grid = centered_grid((n, n, n), (spacing_mm,) * 3)
    start = np.array([[-9.0, 0.0, 0.0], [9.0, 3.0, 0.0], [0.0, 12.0, -3.0]])
    pushes = np.array([[1.0, 0.0, 0.1], [-1.0, -0.2, 0.0], [0.0, -0.8, 0.3]])
    i, j, k = np.round(start / spacing_mm + (n - 1) / 2).astype(int).T
    momentum = torch.zeros(1, 3, *grid.shape, dtype=torch.float64)
    momentum[0, :, k, j, i] = torch.as_tensor(pushes.T)
    scale = 8.0 / float(smooth(momentum, grid, (sigma,), (1.0,)).norm(dim=1).max())
    shot = shoot(scale * momentum, grid, (sigma,), (1.0,), steps=12, with_inverse=True)
    assert shot.inverse_mm is not None
    straight = smooth(scale * momentum, grid, (sigma,), (1.0,))[0, :, k, j, i].T.numpy()
    gain = float(smooth(_one_at_the_center(grid), grid, (sigma,), (1.0,)).max())
    expected = landmark_paths(start, scale * pushes, sigma, gain) - start
    assert np.linalg.norm(expected - straight, axis=1).max() > 1.0  # they do bend each other's way
    return float(np.linalg.norm(shot.inverse_mm[0, :, k, j, i].T.numpy() - expected, axis=1).max())


def test_particles_move_as_hamiltons_equations_say_up_to_the_spacing_squared() -> None:
    coarse, fine = particle_error_mm(3.0), particle_error_mm(1.5)
    assert fine < 0.1
    assert fine < coarse / 3


def _one_at_the_center(grid: Grid) -> Tensor:
    values = torch.zeros(1, 1, *grid.shape, dtype=torch.float64)
    values[0, 0, grid.shape[0] // 2, grid.shape[1] // 2, grid.shape[2] // 2] = 1.0
    return values


def test_small_momenta_move_as_their_velocity_does_up_to_their_square() -> None:
    """vSVF leaves the momentum as it is: what it neglects is quadratic in it."""
    momentum, sizes = bumps(GRID, 5.0), [0.4, 0.2, 0.1]
    errors = []
    for size in sizes:
        geodesic = shoot(size * momentum, GRID, *KERNEL, steps=8).forward_mm
        stationary = exponential(-size * velocity(momentum, GRID), GRID, method="rk4", steps=8)
        errors.append(largest(geodesic - stationary))
    assert errors[-1] < 0.05 * 0.1 * 5.0
    assert fitted_order([1, 2, 4], errors) == pytest.approx(2.0, abs=0.1)


def test_no_momentum_no_motion() -> None:
    shot = shoot(torch.zeros(2, 3, *GRID.shape), GRID, *KERNEL, with_inverse=True)
    assert shot.inverse_mm is not None
    for field in (shot.momentum_mm, shot.forward_mm, shot.inverse_mm):
        assert torch.equal(field, torch.zeros_like(field))


@pytest.mark.parametrize("name", ["oblique", "oblique_left_handed", "permuted"])
def test_the_same_push_gives_the_same_motion_whatever_the_axes(name: str) -> None:
    grid = GRIDS[name]
    reference = centered_grid(grid.size_ijk, grid.spacing_mm)
    turn = torch.as_tensor(np.asarray(grid.direction_ras))
    momentum = with_speed(smooth_random((1, 3, *grid.shape), 5), reference, 2.0)

    def turned(field: Tensor) -> Tensor:
        return torch.einsum("rc,ncdhw->nrdhw", turn, field)

    expected = turned(shoot(momentum, reference, *KERNEL, steps=4).forward_mm)
    torch.testing.assert_close(
        shoot(turned(momentum), grid, *KERNEL, steps=4).forward_mm, expected, rtol=1e-6, atol=1e-8
    )


# -- steps and errors ---------------------------------------------------------------------------------------


def test_no_step_passes_a_voxel() -> None:
    v = torch.zeros(1, 3, *SMALL.shape)
    v[0, :, 1, 2, 3] = torch.tensor([3.0, -2.4, 4.0])  # 3 + 2 + 2 voxels
    assert num_steps(v, SMALL, 2) == 7
    assert num_steps(v, SMALL, 9) == 9
    assert num_steps(1000 * v, SMALL, 2) == 100
    assert num_steps(v * torch.nan, SMALL, 2) == 2


def test_what_cannot_be_shot_is_refused() -> None:
    momentum = torch.zeros(1, 3, *SMALL.shape)
    with pytest.raises(ConfigError, match="time steps must be at least 1, but is 0"):
        shoot(momentum, SMALL, *KERNEL, steps=0)
    with pytest.raises(GeometryError, match="momentum: shape"):
        shoot(momentum[..., 1:], SMALL, *KERNEL)
    with pytest.raises(ConfigError, match="one weight per sigma"):
        shoot(momentum, SMALL, (4.0,), ())
