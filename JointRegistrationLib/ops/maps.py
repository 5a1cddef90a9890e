"""Maps between images: identity, sampling, warping, composition, Jacobian, inverse.

A *map* is a tensor (N, 3, D, H, W) on a :class:`~.geometry.Grid`: at each lattice point the absolute
RAS position, in mm, that the point is sent to; channels are R, A, S. A *displacement field* is the
map minus the lattice's own positions. For resampling, a map lives on the fixed grid and points into
the moving image (``map_fixed_to_moving``, Slicer's *from parent*).

Grids of two images may differ in every respect, because RAS is common to them. ``grid_sample``'s
order of axes appears in this file only. Everything is differentiable and keeps its input's dtype.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.errors import GeometryError
from ..core.geometry import Grid
from .separable.filters import without_autocast

INTERPOLATIONS = ("linear", "nearest")


def check_on_grid(values: Tensor, grid: Grid, name: str = "tensor") -> None:
    """Raise :class:`.GeometryError` unless ``values`` is (N, C, D, H, W) on ``grid``."""
    if values.ndim != 5 or tuple(values.shape[2:]) != grid.shape:
        raise GeometryError(
            f"{name}: shape (N, C, {', '.join(map(str, grid.shape))}) is needed on this grid, "
            f"but {tuple(values.shape)} was given"
        )


def matrix_tensor(matrix: npt.ArrayLike | Tensor, like: Tensor) -> Tensor:
    """A matrix with the dtype and device of ``like``."""
    if isinstance(matrix, Tensor):
        return matrix.to(like)
    return torch.as_tensor(np.asarray(matrix, dtype=np.float64)).to(like)


def identity(grid: Grid, *, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """The lattice's own positions: map (1, 3, D, H, W), RAS mm."""
    k, j, i = (torch.arange(n, device=device, dtype=torch.float64) for n in grid.shape)
    m = grid.ijk_to_ras
    points = torch.empty(1, 3, *grid.shape, device=device, dtype=dtype)
    for c in range(3):  # one pass over the volume each
        points[0, c] = (m[c, 2] * k + m[c, 3])[:, None, None] + (m[c, 1] * j[:, None] + m[c, 0] * i)
    return points


def apply_matrix(matrix: npt.ArrayLike | Tensor, points: Tensor) -> Tensor:
    """Send points (N, 3, ...) through a 4x4 matrix, or through one matrix each, (N, 4, 4).

    Also under autocast in the points' own precision: bfloat16 would move them by most of a voxel.
    """
    m = matrix_tensor(matrix, points)
    if m.ndim == 2:
        m = m[None]
    flat = points.flatten(2)
    with without_autocast(points.device.type):
        moved = torch.baddbmm(m[:, :3, 3:].expand(len(flat), -1, -1), m[:, :3, :3].expand(len(flat), -1, -1), flat)
    return moved.reshape(points.shape)


def affine_map(matrix_ras: npt.ArrayLike | Tensor, grid: Grid, like: Tensor) -> Tensor:
    """The map of a 4x4 RAS matrix on ``grid``, with the dtype and device of ``like``."""
    return apply_matrix(matrix_tensor(matrix_ras, like), identity(grid, device=like.device, dtype=like.dtype))


def sample(
    values: Tensor,
    grid: Grid,
    points_ras: Tensor,
    *,
    interpolation: str = "linear",
    outside: float | None = 0.0,
) -> Tensor:
    """Values of a lattice at arbitrary points.

    Args:
        values: (N or 1, C, d, h, w) on ``grid``.
        grid: lattice of ``values``.
        points_ras: (N, 3, D, H, W) RAS mm.
        interpolation: ``"linear"`` or ``"nearest"``.
        outside: value given to points more than half a voxel beyond the outermost centres; within
            that half voxel the border value holds (ITK's and VTK's rule). None: the border value
            everywhere.

    Returns:
        (N, C, D, H, W).

    Raises:
        GeometryError: if ``values`` does not lie on ``grid`` or the interpolation is unknown.
    """
    check_on_grid(values, grid, "values")
    if interpolation not in INTERPOLATIONS:
        raise GeometryError(f"interpolation {interpolation!r} is unknown; choose one of {', '.join(INTERPOLATIONS)}")
    unit = apply_matrix(grid.ras_to_unit, points_ras)
    if interpolation == "nearest":
        unit = _snap(unit, grid)
    return sample_unit(values, grid, unit, interpolation=interpolation, outside=outside)


def sample_unit(
    values: Tensor, grid: Grid, unit: Tensor, *, interpolation: str = "linear", outside: float | None = 0.0
) -> Tensor:
    """:func:`sample` at points (N, 3, D, H, W) in the lattice's unit frame, components i, j, k."""
    coordinates = (2 * unit - 1).movedim(1, -1)
    if len(values) != len(coordinates):
        values = values.expand(len(coordinates), -1, -1, -1, -1)
    mode = "bilinear" if interpolation == "linear" else "nearest"
    sampled = F.grid_sample(values, coordinates, mode=mode, padding_mode="border", align_corners=True)
    if outside is None:
        return sampled
    return torch.where(inside_unit(grid, unit), sampled, sampled.new_tensor(outside))


def inside(grid: Grid, points_ras: Tensor, margin_voxels: float = 0.5) -> Tensor:
    """Mask (N, 1, D, H, W): which points lie in the grid's field of view, ``margin_voxels`` included."""
    return inside_unit(grid, apply_matrix(grid.ras_to_unit, points_ras), margin_voxels)


def inside_unit(grid: Grid, unit: Tensor, margin_voxels: float = 0.5) -> Tensor:
    """:func:`inside` for points in the lattice's unit frame."""
    slack = 1e-5  # of the field of view: rounding must not lose the outermost samples
    reach = unit.new_tensor([0.5 + margin_voxels / (n - 1) + slack for n in grid.size_ijk]).view(1, 3, 1, 1, 1)
    return (unit.detach() - 0.5).abs_().sub_(reach).amax(dim=1, keepdim=True) <= 0  # cheaper than all()


def _snap(unit: Tensor, grid: Grid) -> Tensor:
    """Unit coordinates moved to the nearest voxel centre; halves go up, as in ITK."""
    last = unit.new_tensor([n - 1 for n in grid.size_ijk]).view(1, 3, 1, 1, 1)
    return torch.floor(unit * last + 0.5) / last


def warp(
    image: Tensor,
    image_grid: Grid,
    map_ras: Tensor,
    *,
    interpolation: str = "linear",
    outside: float = 0.0,
) -> Tensor:
    """Resample ``image`` (N, C, d, h, w) through a map that points into it. See :func:`sample`."""
    return sample(image, image_grid, map_ras, interpolation=interpolation, outside=outside)


def warp_labels(labels: Tensor, grid: Grid, map_ras: Tensor, *, method: str = "linear") -> Tensor:
    """Carry a label map (N, 1, d, h, w), integers, through a map that points into it.

    ``"linear"`` interpolates each label's indicator and takes the largest: thin structures keep
    their volume where ``"nearest"`` tears them. Outside the labels' grid the result is 0.
    """
    if method == "nearest":
        return warp(labels.to(map_ras.dtype), grid, map_ras, interpolation="nearest").to(labels.dtype)
    if method != "linear":
        raise GeometryError(f"label method {method!r} is unknown; choose linear or nearest")
    best = torch.full_like(map_ras[:, :1], 0.0)
    result = torch.zeros_like(best, dtype=labels.dtype)
    background = torch.ones_like(best)
    for value in torch.unique(labels).tolist():
        if value == 0:
            continue
        weight = warp((labels == value).to(map_ras.dtype), grid, map_ras)
        background = background - weight
        better = weight > best
        result = torch.where(better, torch.full_like(result, value), result)
        best = torch.where(better, weight, best)
    return torch.where(best >= background, result, torch.zeros_like(result))


def displacement(map_ras: Tensor, grid: Grid) -> Tensor:
    """Map minus the lattice's positions: (N, 3, D, H, W), RAS mm."""
    check_on_grid(map_ras, grid, "map")
    return map_ras - identity(grid, device=map_ras.device, dtype=map_ras.dtype)


def from_displacement(displacement_mm: Tensor, grid: Grid) -> Tensor:
    """The map of a displacement field; inverse of :func:`displacement`."""
    check_on_grid(displacement_mm, grid, "displacement field")
    return displacement_mm + identity(grid, device=displacement_mm.device, dtype=displacement_mm.dtype)


def compose_displacement(outer_mm: Tensor, outer_grid: Grid, inner_map_ras: Tensor) -> Tensor:
    """The map x -> outer(inner(x)), the outer one given by its displacement field on ``outer_grid``.

    Beyond its lattice the outer displacement keeps its border value, so that the composition stays
    continuous there.
    """
    return inner_map_ras + sample(outer_mm, outer_grid, inner_map_ras, outside=None)


def compose(outer_map_ras: Tensor, outer_grid: Grid, inner_map_ras: Tensor) -> Tensor:
    """The map x -> outer(inner(x)), on the inner map's lattice. See :func:`compose_displacement`."""
    return compose_displacement(displacement(outer_map_ras, outer_grid), outer_grid, inner_map_ras)


def resample_displacement(displacement_mm: Tensor, grid: Grid, target: Grid) -> Tensor:
    """A displacement field on another grid, linear, border value outside: (N, 3, D, H, W) mm."""
    points = identity(target, device=displacement_mm.device, dtype=displacement_mm.dtype)
    points = points.expand(len(displacement_mm), -1, -1, -1, -1)
    return sample(displacement_mm, grid, points, outside=None)


def upsampled(field: Tensor, target: Grid) -> Tensor:
    """A field on a corner-aligned coarser lattice, linearly interpolated on ``target``."""
    return F.interpolate(field, size=target.shape, mode="trilinear", align_corners=True)


def derivative(values: Tensor, axis: int) -> Tensor:
    """Central difference per index step along tensor axis ``axis``; one-sided at the two ends."""
    size = values.shape[axis]
    if size == 2:
        difference = values.narrow(axis, 1, 1) - values.narrow(axis, 0, 1)
        return torch.cat([difference, difference], dim=axis)
    middle = (values.narrow(axis, 2, size - 2) - values.narrow(axis, 0, size - 2)) * 0.5
    first = values.narrow(axis, 1, 1) - values.narrow(axis, 0, 1)
    last = values.narrow(axis, size - 1, 1) - values.narrow(axis, size - 2, 1)
    return torch.cat([first, middle, last], dim=axis)


def jacobian_matrix(map_ras: Tensor, grid: Grid) -> Tensor:
    """Derivative of a map with respect to position, both RAS mm: (N, 3, 3, D, H, W).

    Entry [n, r, c] is d map_r / d x_c: central differences inside, one-sided at the border.
    """
    check_on_grid(map_ras, grid, "map")
    by_index = torch.stack([derivative(map_ras, axis) for axis in (4, 3, 2)], dim=2)  # d / d (i, j, k)
    index_by_ras = matrix_tensor(grid.ras_to_ijk[:3, :3], map_ras)
    with without_autocast(map_ras.device.type):
        return torch.einsum("nrcdhw,cx->nrxdhw", by_index, index_by_ras)


def jacobian_determinant(map_ras: Tensor, grid: Grid) -> Tensor:
    """Full 3x3 determinant of :func:`jacobian_matrix`: (N, 1, D, H, W); 1 for the identity."""
    check_on_grid(map_ras, grid, "map")
    i, j, k = (derivative(map_ras, axis) for axis in (4, 3, 2))
    triple: Tensor = (torch.linalg.cross(i, j, dim=1) * k).sum(dim=1, keepdim=True)
    return triple * float(np.linalg.det(grid.ras_to_ijk[:3, :3]))


def length(vectors: Tensor) -> Tensor:
    """Euclidean length over the channels: (N, 1, D, H, W). Several times faster on a CPU than a norm along them."""
    return vectors.square().sum(dim=1, keepdim=True).sqrt()


@dataclass(frozen=True)
class InverseMap:
    """An inverse map (N, 3, D, H, W) and how far map(inverse(y)) lies from y, in mm, per point."""

    map_ras: Tensor
    error_mm: Tensor
    iterations: int


def inverse(
    displacement_mm: Tensor,
    grid: Grid,
    target: Grid,
    *,
    affine_ras: npt.ArrayLike | Tensor | None = None,
    initial_map_ras: Tensor | None = None,
    iterations: int = 30,
    tolerance_mm: float = 1e-3,
) -> InverseMap:
    """Invert x -> A(x + u(x)) on the lattice ``target`` by fixed-point iteration.

    x <- A^-1 y - u(x) converges where u is a contraction, that is, where its gradient is below 1.
    Elsewhere it may run away: each point keeps the best of what it has seen, the first guess
    included, and the reported error says how good that is.

    Args:
        displacement_mm: u, (N, 3, D, H, W) RAS mm on ``grid``.
        grid: lattice of u.
        target: lattice on which the inverse is wanted (for us, the moving image's).
        affine_ras: A, 4x4; None for the identity.
        initial_map_ras: a first guess on ``target``; None for A^-1 y.
        iterations: upper bound.
        tolerance_mm: stop when no point moves further than this.
    """
    y = identity(target, device=displacement_mm.device, dtype=displacement_mm.dtype)
    y = y.expand(len(displacement_mm), -1, -1, -1, -1)
    matrix = (
        torch.eye(4, dtype=torch.float64)
        if affine_ras is None
        else torch.as_tensor(np.asarray(affine_ras, dtype=np.float64))
    )
    start = apply_matrix(torch.linalg.inv(matrix), y)
    x = start if initial_map_ras is None else initial_map_ras
    best, left, least = x, x, torch.full_like(x[:, :1], torch.inf)
    for done in range(iterations + 1):
        following = start - sample(displacement_mm, grid, x, outside=None)
        off = following - x  # A^-1 y less x + u(x)
        residual = length(off)
        better = residual < least
        best, left = torch.where(better, x, best), torch.where(better, off, left)
        least = torch.minimum(residual, least)
        if done == iterations or float(residual.max()) < tolerance_mm:
            break
        x = following
    linear = matrix_tensor(matrix[:3, :3], y)
    with without_autocast(y.device.type):
        error = torch.einsum("rc,ncdhw->nrdhw", linear, left)  # map(best) less y is A's linear part times this
    return InverseMap(best, length(error), done)
