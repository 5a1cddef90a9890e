"""Between an image's own grid and a lattice along the same axes, of any order, direction and spacing.

Such lattices are sampled one axis at a time, which is many times quicker than point by point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...core.errors import GeometryError
from ...core.geometry import Grid

_PARALLEL_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Alignment:
    """How the array axes of a grid lie on those of a lattice.

    Args:
        axes: for each array axis (k, j, i) of the grid the array axis of the lattice that runs along it.
        positions: for each array axis of the grid the lattice indices of its voxels.
    """

    axes: tuple[int, int, int]
    positions: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


def alignment(grid: Grid, lattice: Grid) -> Alignment:
    """Return where the voxels of ``grid`` lie on ``lattice``.

    Raises:
        GeometryError: if their axes are not parallel.
    """
    matrix = lattice.ras_to_ijk @ grid.ijk_to_ras
    turn = np.asarray(lattice.direction_ras).T @ np.asarray(grid.direction_ras)
    rows = np.abs(turn).argmax(axis=0)
    if sorted(rows) != [0, 1, 2] or np.abs(turn[rows, range(3)]).min() < 1 - _PARALLEL_TOLERANCE:
        raise GeometryError("the lattice's axes are not those of the image; make it by canonical_lattice")
    positions = []
    for array_axis in range(3):
        column = 2 - array_axis
        row = rows[column]
        positions.append(matrix[row, column] * np.arange(grid.size_ijk[column]) + matrix[row, 3])
    axes = 2 - int(rows[2]), 2 - int(rows[1]), 2 - int(rows[0])
    return Alignment(axes, (positions[0], positions[1], positions[2]))


def onto_lattice(values: Tensor, grid: Grid, lattice: Grid) -> Tensor:
    """An image (D, H, W) on ``grid`` as (d, h, w) on ``lattice``: linear, anti-aliased where it thins, 0 outside."""
    back = alignment(lattice, grid)
    values = values.float()
    for axis, positions in sorted(zip(back.axes, back.positions, strict=True), key=lambda one: len(one[1])):
        weights = hat_weights(positions, values.shape[axis]).to(values)
        values = torch.tensordot(values, weights, dims=([axis], [1])).movedim(-1, axis)
    return values.permute(*back.axes).contiguous()


def hat_weights(positions: npt.NDArray[np.float64], count: int) -> Tensor:
    """(positions, count) weights of evenly spaced positions between ``count`` samples; hats as wide as the wider step.

    Positions beyond the outermost samples' halves get none. All other rows sum to 1.
    """
    where = torch.as_tensor(positions)
    width = max(abs(float(positions[1] - positions[0])), 1.0) if len(positions) > 1 else 1.0
    weights = (1 - (where[:, None] - torch.arange(count)).abs() / width).clamp(min=0)
    total = weights.sum(dim=1, keepdim=True)
    inside = (where >= -0.5) & (where <= count - 0.5)
    return torch.where(inside[:, None] & (total > 0), weights / total.clamp(min=1e-9), 0.0).float()


def interpolated(values: Tensor, axis: int, positions: npt.NDArray[np.float64]) -> Tensor:
    """Linear interpolation along one axis at ``positions``; the outermost values continue."""
    last = values.shape[axis] - 1
    where = torch.as_tensor(positions, dtype=torch.float32, device=values.device).clamp(0, last)
    low = where.floor().clamp(max=max(last - 1, 0)).long()
    share = (where - low).view([-1 if a == axis else 1 for a in range(values.dim())])
    first = values.index_select(axis, low)
    return torch.lerp(first, values.index_select(axis, (low + 1).clamp(max=last)), share)
