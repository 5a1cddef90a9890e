"""Integration of a stationary velocity field: the vSVF step, from v to maps.

Exp(v) is the flow of x' = v(x) after unit time. A velocity (N, 3, D, H, W) lives on a
:class:`~.geometry.Grid`: RAS components, mm per unit time; beyond the lattice it keeps its border
value. Two forms of one thing:

:func:`advect`
    the published one (AVSM, arXiv 1903.08811): transports a map phi on the lattice,
    phi_t + (D phi) v = 0, which gives phi o Exp(-v).
:func:`exponential`
    the displacement field of Exp(v) itself, along particle paths or by scaling and squaring.

So psi = Exp(-v) is ``exponential(-v, grid)``, its inverse ``exponential(v, grid)``, and
phi o psi is ``compose_displacement`` of the two. Velocities are not clamped: :func:`cfl_number` tells
how far a step goes. All is differentiable by plain back-propagation through the discrete scheme.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..core.geometry import Grid
from .maps import check_on_grid, derivative, identity, matrix_tensor, sample
from .separable.filters import without_autocast

#: Scaling starts from at most this many voxels: half a cell, where one step cannot fold.
_FIRST_STEP_VOXELS = 0.5
#: 4096 steps; a velocity that asks for more (a diverging line search) is not worth the time.
_MAX_SQUARINGS = 12


@dataclass(frozen=True)
class Integrator:
    """A method for Exp(v): ``order`` of convergence in the time step, and the function itself.

    ``displacement(velocity_mm, grid, steps)`` returns the displacement field of Exp(v) in mm.
    """

    order: int
    displacement: Callable[[Tensor, Grid, int], Tensor]


def exponential(velocity_mm: Tensor, grid: Grid, *, method: str = "scaling-squaring", steps: int = 10) -> Tensor:
    """Displacement field of Exp(v): x -> flow of v through x after unit time, minus x.

    Args:
        velocity_mm: (N, 3, D, H, W) RAS mm on ``grid``.
        grid: lattice of the velocity and of the result.
        method: a key of :data:`INTEGRATORS`. ``"rk4"`` follows each lattice point through ``steps``
            classical Runge-Kutta steps. ``"scaling-squaring"`` takes a midpoint step of length 2^-s
            and composes it with itself s times; 2^s is the least power of two that is at least
            ``steps`` and whose first step stays within half a voxel. It costs s + 1 interpolations
            where ``"rk4"`` costs 4 ``steps``, at the price of interpolating the displacement s times.
            Both err by the spacing squared (times its logarithm for scaling and squaring).
        steps: number of time steps, at least 1.

    Returns:
        (N, 3, D, H, W) RAS mm.

    Raises:
        GeometryError: if the velocity does not lie on ``grid``.
        ConfigError: for an unknown method or fewer than one step.
    """
    check_on_grid(velocity_mm, grid, "velocity")
    if method not in INTEGRATORS:
        raise ConfigError(f"integrator {method!r} is unknown; choose one of {', '.join(INTEGRATORS)}")
    _check_steps(steps)
    return INTEGRATORS[method].displacement(velocity_mm, grid, steps)


def advect(map_ras: Tensor, velocity_mm: Tensor, grid: Grid, steps: int = 10) -> Tensor:
    """Transport a map along v for unit time: phi o Exp(-v), the published vSVF step.

    Solves phi_t + (D phi) v = 0, phi(0) = ``map_ras``, by the classical Runge-Kutta method of order 4
    in time; D by central differences, with linear extrapolation at the border (order 2 in space,
    exact for affine maps). Stable while :func:`cfl_number` stays below about 2 sqrt(2) / 3.

    Args:
        map_ras: (N, 3, D, H, W) RAS mm on ``grid``; any target, e.g. an affine map.
        velocity_mm: (N, 3, D, H, W) RAS mm on ``grid``.
        grid: lattice of both.
        steps: number of time steps, at least 1.

    Returns:
        (N, 3, D, H, W) RAS mm.

    Raises:
        GeometryError: if the map or the velocity does not lie on ``grid``.
        ConfigError: for fewer than one step.
    """
    check_on_grid(map_ras, grid, "map")
    check_on_grid(velocity_mm, grid, "velocity")
    _check_steps(steps)
    by_index = per_index(velocity_mm, grid)

    def rate(phi: Tensor) -> Tensor:
        changes = [derivative(phi, axis) * by_index[:, c : c + 1] for c, axis in enumerate((4, 3, 2))]
        return -(changes[0] + changes[1] + changes[2])

    return runge_kutta_4(rate, map_ras, steps)


def cfl_number(velocity_mm: Tensor, grid: Grid, steps: int) -> float:
    """Largest component of a step v / ``steps``, along the grid's own axes, in voxels.

    The published code clamps each component at 0.707; here nothing is clamped.
    """
    check_on_grid(velocity_mm, grid, "velocity")
    _check_steps(steps)
    return float(per_index(velocity_mm.detach(), grid).abs().max()) / steps


def num_squarings(velocity_mm: Tensor, grid: Grid, steps: int) -> int:
    """Return how often ``"scaling-squaring"`` composes; see :func:`exponential`."""
    least = math.ceil(math.log2(steps))
    voxels = cfl_number(velocity_mm, grid, 1)
    if not math.isfinite(voxels) or voxels <= _FIRST_STEP_VOXELS:
        return least
    return max(least, min(math.ceil(math.log2(voxels / _FIRST_STEP_VOXELS)), _MAX_SQUARINGS))


def _along_paths(velocity_mm: Tensor, grid: Grid, steps: int) -> Tensor:
    start = identity(grid, device=velocity_mm.device, dtype=velocity_mm.dtype)

    def rate(displacement_mm: Tensor) -> Tensor:
        return sample(velocity_mm, grid, start + displacement_mm, outside=None)

    return runge_kutta_4(rate, torch.zeros_like(velocity_mm), steps)


def _scaling_squaring(velocity_mm: Tensor, grid: Grid, steps: int) -> Tensor:
    squarings = num_squarings(velocity_mm, grid, steps)
    scaled = velocity_mm / 2**squarings
    start = identity(grid, device=velocity_mm.device, dtype=velocity_mm.dtype)
    displacement_mm = sample(scaled, grid, start + 0.5 * scaled, outside=None)
    for _ in range(squarings):
        displacement_mm = displacement_mm + sample(displacement_mm, grid, start + displacement_mm, outside=None)
    return displacement_mm


#: By the names that a configuration knows.
INTEGRATORS: dict[str, Integrator] = {
    "scaling-squaring": Integrator(order=2, displacement=_scaling_squaring),
    "rk4": Integrator(order=4, displacement=_along_paths),
}

#: Order in time of :func:`advect`.
ADVECTION_ORDER = 4


def runge_kutta_4(rate: Callable[[Tensor], Tensor], start: Tensor, steps: int) -> Tensor:
    """y(1) of y' = rate(y), y(0) = ``start``: the classical method."""
    h = 1 / steps
    y = start
    for _ in range(steps):
        a = rate(y)
        b = rate(y + 0.5 * h * a)
        c = rate(y + 0.5 * h * b)
        d = rate(y + h * c)
        y = y + (h / 6) * (a + 2 * b + 2 * c + d)
    return y


def per_index(velocity_mm: Tensor, grid: Grid) -> Tensor:
    """RAS mm components as voxels along i, j, k."""
    ijk_by_ras = matrix_tensor(grid.ras_to_ijk[:3, :3], velocity_mm)
    with without_autocast(velocity_mm.device.type):
        return torch.einsum("cr,nrdhw->ncdhw", ijk_by_ras, velocity_mm)


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ConfigError(f"integration: at least one time step is needed, but {steps} was given")
