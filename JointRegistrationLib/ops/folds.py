"""Where a map turns space inside out, cell by cell; :func:`.finish` counts the points where the result does."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.geometry import Grid
from .maps import check_on_grid
from .separable.smoothing import smooth


def folded_cells(map_ras: Tensor, grid: Grid) -> Tensor:
    """In which cells of its lattice a map folds that is linear between the lattice's points.

    Stricter than the determinants at the points, whose differences reach over two cells: in every cell the
    determinants at all eight corners must have the grid's own sign.

    Args:
        map_ras: (1, 3, D, H, W), RAS mm on ``grid``.

    Returns:
        (1, 1, D - 1, H - 1, W - 1), boolean.
    """
    check_on_grid(map_ras, grid, "map")
    edges = [map_ras.diff(dim=axis) for axis in (4, 3, 2)]
    sign = float(np.sign(np.linalg.det(grid.direction_ras)))
    folded = torch.zeros((), dtype=torch.bool, device=map_ras.device)
    for corner in itertools.product((0, 1), repeat=3):
        i, j, k = (_at_corner(edge, along, corner) for along, edge in zip((4, 3, 2), edges, strict=True))
        determinant = (torch.linalg.cross(i, j, dim=1) * k).sum(dim=1, keepdim=True)
        folded = folded | (sign * determinant <= 0)
    return folded


def _at_corner(edges: Tensor, along: int, corner: tuple[int, ...]) -> Tensor:
    """Of the edges along one tensor axis those that end at one corner of each cell; ``corner`` (k, j, i)."""
    for axis, side in zip((2, 3, 4), corner, strict=True):
        if axis != along:
            edges = edges.narrow(axis, side, edges.shape[axis] - 1)
    return edges


_MAX_ROUNDS = 20
#: Of the momentum in a folded cell, what a round takes away.
_SHARE = 0.3
#: How far around a fold the momentum is weakened: the standard deviation of the fall-off.
_REACH_MM = 4.0


@torch.no_grad()
def unfolded(momentum: Tensor, grid: Grid, map_ras: Callable[[Tensor], Tensor]) -> Tensor:
    """The momentum itself if its map does not fold, else a weaker one.

    Args:
        momentum: (1, 3, d, h, w) on ``grid``.
        grid: lattice of the momentum and of the map.
        map_ras: the map of a momentum, (1, 3, d, h, w), RAS mm.

    Returns:
        After 20 rounds what is left is returned with its folds, which are not the momentum's own.
    """
    for _ in range(_MAX_ROUNDS):
        cells = folded_cells(map_ras(momentum), grid)
        if not bool(cells.any()):
            break
        momentum = momentum * (1 - _SHARE * _around(cells, grid))
    return momentum


def _around(cells: Tensor, grid: Grid) -> Tensor:
    """1 at the corners of the marked cells, falling off smoothly around them: (1, 1, d, h, w)."""
    points = F.max_pool3d(cells.float(), kernel_size=2, stride=1, padding=1)
    near = smooth(points, grid, (_REACH_MM,), (1.0,))
    return (near / near[points > 0].min()).clamp(max=1.0)
