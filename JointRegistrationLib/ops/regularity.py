"""What a momentum, an affine transform and a pair of maps cost."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..core.errors import ConfigError, GeometryError
from ..core.geometry import Grid
from .maps import check_on_grid, compose, identity

# -- regularity and symmetry ------------------------------------------------------------------------


def momentum_energy(momentum_mm: Tensor, velocity_mm: Tensor, grid: Grid) -> Tensor:
    """<m, K m> = mean over the lattice of m . v, v = K m, in units of the field of view: scalar.

    Momentum and velocity are in mm; both are divided by L, the grid's largest extent. The published
    energy is the sum of m . v times the unit spacings 1 / (N - 1), with components in fractions of
    each axis's extent. On a cubic field of view both agree up to the product of N / (N - 1), so the
    published factor 10 keeps its meaning; on others ours treats a mm alike in every direction. It is
    not clamped at zero, as K is positive.

    Args:
        momentum_mm, velocity_mm: (N, 3, D, H, W) RAS mm on ``grid``.

    Raises:
        GeometryError: if one does not lie on ``grid``.
    """
    check_on_grid(momentum_mm, grid, "momentum")
    check_on_grid(velocity_mm, grid, "velocity")
    return (momentum_mm * velocity_mm).sum(dim=1).mean() / _length_mm(grid) ** 2


def momentum_energy_unit(grid: Grid) -> float:
    """:func:`momentum_energy` of one pair of fields whose m . v sums up to 1 mm^2 over the lattice."""
    return 1 / (grid.num_voxels * _length_mm(grid) ** 2)


def affine_regularity(affine: Tensor) -> Tensor:
    """``||A - I||_F^2 + ||b||^2``, averaged over the batch: scalar.

    Args:
        affine: (N, 3, 4) or (N, 4, 4), rows [A | b], in a dimensionless frame (the affine network's
            [-1, 1] cube).

    Raises:
        GeometryError: for another shape.
    """
    linear, offset = _linear_and_offset(affine)
    return _distance_to_identity(linear) + offset.square().sum(dim=1).mean()


def affine_regularity_weight(
    epoch: float, *, scale: float = 10.0, decay: float = 3.0, hold: float = 10.0, floor: float = 1e-3
) -> float:
    """The factor of :func:`affine_regularity` at an epoch of training.

    ``scale`` until epoch ``hold``, then scale * K / (K + exp(n / K)) with n = epoch - hold and
    K = ``decay``, never below ``floor``. Defaults: the published single-step stage; the multi-step
    stage has scale 0.1 and hold 1.

    Raises:
        ConfigError: if the decay is not positive.
    """
    if decay <= 0:
        raise ConfigError(f"affine regularity: the decay must be positive, but is {decay!r}")
    if epoch < hold:
        return max(scale, floor)
    exponent = min((epoch - hold) / decay, 700.0)  # exp overflows beyond
    return max(scale * decay / (decay + math.exp(exponent)), floor)


def affine_symmetry(st: Tensor, ts: Tensor) -> Tensor:
    """Inverse inconsistency of two affine maps, ``||A^st A^ts - I||_F^2 + ||A^st b^ts + b^st||^2``: scalar.

    Args:
        st, ts: (N, 3, 4) or (N, 4, 4), the two directions, in one dimensionless frame.

    Raises:
        GeometryError: for another shape.
    """
    (a, b), (c, d) = _linear_and_offset(st), _linear_and_offset(ts)
    offset = (a @ d[..., None]).squeeze(-1) + b
    return _distance_to_identity(a @ c) + offset.square().sum(dim=1).mean()


def map_symmetry(
    map_fixed_to_moving_ras: Tensor, fixed_grid: Grid, map_moving_to_fixed_ras: Tensor, moving_grid: Grid
) -> Tensor:
    """Inverse inconsistency of two maps: mean over voxels and channels of (id - there and back)^2.

    In units of L, the fixed grid's largest extent, squared: the published unit-cube value on a cubic
    field of view. Scalar.

    Args:
        map_fixed_to_moving_ras: (N, 3, D, H, W) on ``fixed_grid``.
        map_moving_to_fixed_ras: (N, 3, d, h, w) on ``moving_grid``.

    Raises:
        GeometryError: if a map does not lie on its grid.
    """
    check_on_grid(map_fixed_to_moving_ras, fixed_grid, "map from fixed to moving")
    back = compose(map_moving_to_fixed_ras, moving_grid, map_fixed_to_moving_ras)
    error = back - identity(fixed_grid, device=back.device, dtype=back.dtype)
    return error.square().mean() / _length_mm(fixed_grid) ** 2


def _length_mm(grid: Grid) -> float:
    return float(grid.extent_mm.max())


def _linear_and_offset(affine: Tensor) -> tuple[Tensor, Tensor]:
    if affine.ndim != 3 or tuple(affine.shape[1:]) not in ((3, 4), (4, 4)):
        raise GeometryError(f"affine: shape (N, 3, 4) or (N, 4, 4) is needed, but {tuple(affine.shape)} was given")
    return affine[:, :3, :3], affine[:, :3, 3]


def _distance_to_identity(linear: Tensor) -> Tensor:
    return (linear - torch.eye(3).to(linear)).square().sum(dim=(1, 2)).mean()
