"""EPDiff: the geodesic flow of diffeomorphisms that starts with a given momentum (LDDMM shooting).

A momentum m, in mm on a lattice, gives the velocity v = K m by the multi-Gaussian kernel. Where vSVF
keeps v as it is, here the momentum is carried along by its own flow (spec, section 7):

    m_t = -div(m v) - (Dv)^T m = -ad*_v m,     phi_t + (D phi) v = 0,     phi(0) = identity.

phi(1) is psi, the map from the fixed side back to the start; its inverse chi follows the particles,
chi_t = v(t, chi). Time runs from 0 to 1; the classical Runge-Kutta method takes all of it together.

The terms are the three partial gradients of one form, <m, (Du) v>, with D by central differences
inside and one-sided at the border. So ad*_v is the exact transpose, on the lattice, of
ad_v w = (Dv) w - (Dw) v. Two properties of EPDiff then hold on the lattice up to the error in time alone,
however rough the momentum: the energy <m, K m> is constant, and shooting -m(1) leads back to -m(0).
Also no momentum leaves the lattice.

Sources: D. Holm, J. Marsden, Euler-Poincare equation on diffeomorphisms (2005); M. Miller, A. Trouve,
L. Younes, Geodesic shooting for computational anatomy (2006).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ConfigError
from ..core.geometry import Grid
from .integrate import per_index, runge_kutta_4
from .maps import check_on_grid, derivative, identity, matrix_tensor, sample
from .separable.filters import without_autocast
from .separable.smoothing import smooth

#: Order in time.
ORDER = 4
#: Largest sum of |v| over the axes, in voxels a step; RK4 with central differences is stable up to 2 sqrt(2).
_LARGEST_STEP_VOXELS = 1.0
#: A velocity that asks for more steps (a diverging line search) is not worth the time.
_MAX_STEPS = 100


@dataclass(frozen=True)
class Shot:
    """Where a geodesic has come to at time 1; all (N, 3, D, H, W), RAS mm.

    Args:
        momentum_mm: m(1).
        forward_mm: u of psi(x) = x + u(x), psi = phi(1).
        inverse_mm: w of psi^-1(x) = x + w(x); None where it was not asked for.
    """

    momentum_mm: Tensor
    forward_mm: Tensor
    inverse_mm: Tensor | None


def shoot(
    momentum_mm: Tensor,
    grid: Grid,
    sigmas_mm: Sequence[float],
    weights: Sequence[float],
    *,
    steps: int = 10,
    with_inverse: bool = False,
) -> Shot:
    """Follow the geodesic that starts with a momentum for unit time; differentiable.

    Args:
        momentum_mm: m(0), (N, 3, D, H, W) RAS mm on ``grid``.
        grid: lattice of everything.
        sigmas_mm, weights: the kernel, as in :func:`.smoothing.smooth`.
        steps: time steps at least; more are taken where the first velocity passes more than a voxel a
            step (:func:`num_steps`).
        with_inverse: follow psi^-1 too; costs one interpolation a stage.

    Raises:
        GeometryError: if the momentum does not lie on ``grid``.
        ConfigError: for fewer than one step or a kernel that is none.
    """
    check_on_grid(momentum_mm, grid, "momentum")
    velocity = smooth(momentum_mm, grid, sigmas_mm, weights)
    steps = num_steps(velocity, grid, steps)
    start = identity(grid, device=momentum_mm.device, dtype=momentum_mm.dtype)

    def rate(state: Tensor) -> Tensor:
        m, u, *rest = torch.chunk(state, fields, dim=1)
        v = smooth(m, grid, sigmas_mm, weights)
        rates = [-coadjoint(v, m, grid), -v - _along(u, v, grid)]
        rates += [sample(v, grid, start + w, outside=None) for w in rest]
        return torch.cat(rates, dim=1)

    fields = 3 if with_inverse else 2
    state = torch.cat([momentum_mm] + [torch.zeros_like(momentum_mm)] * (fields - 1), dim=1)
    m, u, *inverse = torch.chunk(runge_kutta_4(rate, state, steps), fields, dim=1)
    return Shot(m, u, inverse[0] if inverse else None)


def num_steps(velocity_mm: Tensor, grid: Grid, steps: int) -> int:
    """At least ``steps``, and as many as keep a step of ``velocity_mm`` within one voxel.

    Raises:
        ConfigError: for fewer than one step.
    """
    if steps < 1:
        raise ConfigError(f"the number of time steps must be at least 1, but is {steps}")
    with torch.no_grad():
        voxels = float(per_index(velocity_mm, grid).abs().sum(dim=1).max()) / _LARGEST_STEP_VOXELS
    return max(steps, min(math.ceil(voxels), _MAX_STEPS)) if math.isfinite(voxels) else steps


def coadjoint(v: Tensor, m: Tensor, grid: Grid) -> Tensor:
    """ad*_v m = div(m v) + (Dv)^T m, the transpose of w -> ad_v w = (Dv) w - (Dw) v."""
    return _turned(v, m, grid) - _spread(m, v, grid)


# -- the form <m, (Du) v> and its three partial gradients ---------------------------------------------------


def _along(u: Tensor, v: Tensor, grid: Grid) -> Tensor:
    """(Du) v: the gradient by m."""
    result: Tensor = _Along.apply(u, v, grid)  # type: ignore[no-untyped-call]
    return result


def _turned(u: Tensor, m: Tensor, grid: Grid) -> Tensor:
    """(Du)^T m: the gradient by v."""
    result: Tensor = _Turned.apply(u, m, grid)  # type: ignore[no-untyped-call]
    return result


def _spread(m: Tensor, v: Tensor, grid: Grid) -> Tensor:
    """D^T (m v), -div(m v) inside: the gradient by u."""
    result: Tensor = _Spread.apply(m, v, grid)  # type: ignore[no-untyped-call]
    return result


class _Along(torch.autograd.Function):
    """The three functions are each other's derivatives: only two fields are kept for the way back."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, grid: Grid) -> Tensor:
        ctx.save_for_backward(u, v)
        ctx.grid = grid
        by_index = per_index(v, grid)
        a, b, c = (derivative(u, axis) * by_index[:, n : n + 1] for n, axis in enumerate((4, 3, 2)))
        return a + b + c

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (u, v), (m,) = ctx.saved_tensors, gradients
        return _spread(m, v, ctx.grid), _turned(u, m, ctx.grid), None


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, m: Tensor, grid: Grid) -> Tensor:
        ctx.save_for_backward(u, m)
        ctx.grid = grid
        by_index = torch.cat([(derivative(u, axis) * m).sum(dim=1, keepdim=True) for axis in (4, 3, 2)], dim=1)
        return _per_mm(by_index, grid)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (u, m), (v,) = ctx.saved_tensors, gradients
        return _spread(m, v, ctx.grid), _along(u, v, ctx.grid), None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, m: Tensor, v: Tensor, grid: Grid) -> Tensor:
        ctx.save_for_backward(m, v)
        ctx.grid = grid
        by_index = per_index(v, grid)
        a, b, c = (_derivative_transposed(m * by_index[:, n : n + 1], axis) for n, axis in enumerate((4, 3, 2)))
        return a + b + c

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (m, v), (u,) = ctx.saved_tensors, gradients
        return _along(u, v, ctx.grid), _turned(u, m, ctx.grid), None


def _derivative_transposed(values: Tensor, axis: int) -> Tensor:
    """The transpose of :func:`.maps.derivative`: minus the central difference inside."""
    last = values.shape[axis] - 1
    first_value, last_value = values.narrow(axis, 0, 1), values.narrow(axis, last, 1)
    if last == 1:
        total = first_value + last_value
        return torch.cat([-total, total], dim=axis)
    weighted = torch.cat([first_value, 0.5 * values.narrow(axis, 1, last - 1), last_value], dim=axis)
    middle = weighted.narrow(axis, 0, last - 1) - weighted.narrow(axis, 2, last - 1)
    start = -first_value - weighted.narrow(axis, 1, 1)
    end = last_value + weighted.narrow(axis, last - 1, 1)
    return torch.cat([start, middle, end], dim=axis)


def _per_mm(by_index: Tensor, grid: Grid) -> Tensor:
    """The transpose of :func:`.per_index`: derivatives by i, j, k as derivatives by RAS mm."""
    with without_autocast(by_index.device.type):
        return torch.einsum("cr,ncdhw->nrdhw", matrix_tensor(grid.ras_to_ijk[:3, :3], by_index), by_index)
