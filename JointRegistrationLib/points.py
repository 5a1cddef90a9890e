"""Values of a lattice at scattered points: trilinear, with NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import GeometryError
from .geometry import FloatArray, Grid, transform_points


def values_at(values: npt.NDArray[Any], grid: Grid, points_ras: npt.ArrayLike) -> FloatArray:
    """Trilinear interpolation; beyond the lattice the value at its border.

    Args:
        values: (k, j, i) or (k, j, i, c) on ``grid``.
        grid: their lattice.
        points_ras: (n, 3) RAS mm.

    Returns:
        (n,) or (n, c).

    Raises:
        GeometryError: if the values do not lie on ``grid``.
    """
    if values.shape[:3] != grid.shape:
        raise GeometryError(f"values: shape {grid.shape} is needed on this grid, but it is {values.shape[:3]}")
    last = np.asarray(grid.size_ijk) - 1
    index = np.clip(transform_points(grid.ras_to_ijk, points_ras), 0, last)
    low = np.minimum(index.astype(int), last - 1)
    # Column by column: an axis of length 3 that lies next to each other in memory is slow to work along.
    steps = [np.ascontiguousarray(column) for column in low.T]
    shares = [(1 - far, far) for far in np.ascontiguousarray((index - low).T)]
    result = np.zeros((len(index), *values.shape[3:]))
    for corner in range(8):
        bits = [corner >> axis & 1 for axis in range(3)]
        weight = shares[0][bits[0]] * shares[1][bits[1]] * shares[2][bits[2]]
        i, j, k = (column + bit for column, bit in zip(steps, bits, strict=True))
        result += weight.reshape(-1, *[1] * (values.ndim - 3)) * values[k, j, i]
    return result
