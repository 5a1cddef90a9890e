"""The deformable part of an estimate, on the working lattice and composed with the affine."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..core.geometry import FloatArray, Grid
from ..ops.maps import (
    affine_map,
    apply_matrix,
    compose_displacement,
    displacement,
    from_displacement,
    resample_displacement,
)
from ..ops.similarity.image_pair import ImagePair


@dataclass(frozen=True)
class Estimate:
    """The fixed point x goes to the moving point A(psi(x)); ``notes`` are sentences for the user."""

    affine_ras: FloatArray
    local: LocalMap
    notes: tuple[str, ...] = ()


def on_lattice(local: LocalMap, like: LocalMap) -> LocalMap:
    """``local`` on the lattice of ``like``, linearly interpolated."""
    grid = like.grid
    if local.grid == grid:
        return local
    forward, backward = (resample_displacement(u, local.grid, grid) for u in (local.forward_mm, local.inverse_mm))
    return LocalMap(forward, backward, grid)


def no_deformation(pair: ImagePair) -> LocalMap:
    """psi = identity, on the coarsest lattice there is."""
    grid = pair.fixed_grid.resized((2, 2, 2))
    zero = pair.fixed.new_zeros(1, 3, *grid.shape)
    return LocalMap(zero, zero, grid)


@dataclass(frozen=True)
class LocalMap:
    """The non-parametric part of a registration, around the affine one.

    Args:
        forward_mm: u of psi(x) = x + u(x), (1, 3, D, H, W) RAS mm on ``grid``; the fixed point x goes
            to the moving point A(psi(x)).
        inverse_mm: w of psi^-1(x) = x + w(x), likewise.
        grid: a lattice over the fixed field of view.
    """

    forward_mm: Tensor
    inverse_mm: Tensor
    grid: Grid


def map_through(affine_ras: FloatArray, local: LocalMap | None, grid: Grid, like: Tensor) -> Tensor:
    """The map A o psi (1, 3, D, H, W), RAS mm, on ``grid``, without ``local`` A; where and as precise as ``like``."""
    if local is None:
        return affine_map(affine_ras, grid, like)
    return apply_matrix(affine_ras, from_displacement(resample_displacement(local.forward_mm, local.grid, grid), grid))


def composed(before: LocalMap, after: LocalMap) -> LocalMap:
    """before o after and its inverse, on the lattice of ``after``: what the refinement of a map gives."""
    grid = after.grid
    forward = compose_displacement(before.forward_mm, before.grid, from_displacement(after.forward_mm, grid))
    first_back = from_displacement(resample_displacement(before.inverse_mm, before.grid, grid), grid)
    backward = compose_displacement(after.inverse_mm, grid, first_back)
    return LocalMap(displacement(forward, grid), displacement(backward, grid), grid)
