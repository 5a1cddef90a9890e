"""A momentum whose map folds is weakened around the folds until it does not.

What is weakened is the momentum, not the map: velocity and map stay smooth, and the rest of the image keeps what was
found for it. To optimise on with a stronger regularity instead takes back detail everywhere (docs/method.md).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .core.geometry import Grid
from .folds import folded_cells
from .smoothing import smooth

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
        After 20 rounds what is left is returned with its folds: they are not the momentum's own.
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
