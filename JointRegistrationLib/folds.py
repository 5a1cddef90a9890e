"""Where a map turns space inside out, counted."""

from __future__ import annotations

from torch import Tensor

from .geometry import Grid
from .maps import check_on_grid, diagonal_product, jacobian_determinant
from .result import FoldCount


def count_folds(map_ras: Tensor, grid: Grid) -> FoldCount:
    """Lattice points of one map where it does not preserve orientation.

    ``count``: the full 3x3 determinant is not positive. ``diagonal_count``: the product of the three
    diagonal derivatives along the grid's own axes is negative, as in the authors' code; it is not a
    determinant, and is given only for comparison with published tables.

    Args:
        map_ras: (1, 3, D, H, W) RAS mm on ``grid``.

    Raises:
        GeometryError: if the map does not lie on ``grid``.
    """
    check_on_grid(map_ras, grid, "map")
    values = map_ras.detach()
    folded = int((jacobian_determinant(values, grid) <= 0).sum())
    diagonal = int((diagonal_product(values, grid) < 0).sum())
    return FoldCount(folded, 100.0 * folded / (len(values) * grid.num_voxels), diagonal)
