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
    far = index - low
    result = np.zeros((len(index), *values.shape[3:]))
    for corner in range(8):
        step = np.array([corner >> axis & 1 for axis in range(3)])
        weight = np.where(step, far, 1 - far).prod(axis=1)
        i, j, k = (low + step).T
        result += weight.reshape(-1, *[1] * (values.ndim - 3)) * values[k, j, i]
    return result
