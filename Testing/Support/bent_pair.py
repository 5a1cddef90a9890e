"""Grids, a bend with an exact inverse, and settings that register it quickly."""

import numpy as np

from JointRegistrationLib.core.config import (
    AffineConfig,
    RegistrationConfig,
    SimilarityConfig,
    VelocityConfig,
    VsvfConfig,
)
from Testing.Support import knees

KERNEL = VelocityConfig(sigmas_mm=(4.0, 8.0), weights=(0.4, 0.6))
QUICK = RegistrationConfig(
    method="vsvf-opt",
    affine=AffineConfig(levels=(4, 2), iterations=15),
    vsvf=VsvfConfig(
        levels=(2, 1), iterations=30, velocity=KERNEL, similarity=SimilarityConfig("lncc", 7), regularity=0.1
    ),
)
FIXED_GRID = knees.centered_grid((32, 30, 28), (2.0, 2.0, 2.2))
MOVING_GRID = knees.centered_grid((30, 36, 34), (2.2, 1.9, 2.0), [[0, -1, 0], [1, 0, 0], [0, 0, 1]], (3, 0, -2))


def bend(points, sign=1.0):
    """A shear-like wave with an exact inverse: x moves by a function of z only, then y of x."""
    moved = points.copy()
    if sign > 0:
        moved[..., 0] += 4 * np.sin(moved[..., 2] / 12)
        moved[..., 1] += 3 * np.sin(moved[..., 0] / 14)
    else:
        moved[..., 1] -= 3 * np.sin(moved[..., 0] / 14)
        moved[..., 0] -= 4 * np.sin(moved[..., 2] / 12)
    return moved
