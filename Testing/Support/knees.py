"""Small synthetic image pairs with a known map, evaluated from formulas: nothing is resampled."""

from __future__ import annotations

import numpy as np

from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image

_EYE = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
_RNG = np.random.default_rng(7)
_CENTERS = _RNG.uniform(-45, 45, size=(300, 3))
_WIDTHS = _RNG.uniform(4, 7, size=300)
_HEIGHTS = _RNG.uniform(-1, 1, size=300)


def centered_grid(size=(32, 32, 32), spacing=(2.0, 2.0, 2.0), direction=_EYE, center=(0.0, 0.0, 0.0)) -> Grid:
    """A grid whose field of view is centred on ``center``."""
    direction = np.asarray(direction, dtype=float)
    origin = np.asarray(center) - direction @ (np.asarray(spacing) * (np.asarray(size) - 1) / 2)
    return Grid(size, spacing, tuple(origin), direction)


def lattice_ras(grid: Grid) -> np.ndarray:
    """(k, j, i, 3) RAS positions of a grid."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    return transform_points(grid.ijk_to_ras, np.stack([i, j, k], axis=-1))


def intensity(points_ras: np.ndarray) -> np.ndarray:
    """A smooth function of position with structure everywhere: 300 Gaussian blobs around the origin."""
    total = np.zeros(points_ras.shape[:-1])
    for center, width, height in zip(_CENTERS, _WIDTHS, _HEIGHTS, strict=True):
        total += height * np.exp(-((points_ras - center) ** 2).sum(axis=-1) / (2 * width**2))
    return total


def make_pair(fixed_grid: Grid, moving_grid: Grid, moving_to_fixed) -> tuple[Image, Image]:
    """The blobs, and the blobs carried along: moving(y) = fixed(moving_to_fixed(y))."""
    fixed = Image(intensity(lattice_ras(fixed_grid)).astype(np.float32), fixed_grid, "fixed")
    moving = Image(intensity(moving_to_fixed(lattice_ras(moving_grid))).astype(np.float32), moving_grid, "moving")
    return fixed, moving
