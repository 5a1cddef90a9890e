"""Landmark pairs as a soft term of the deformable stage: how far the map carries the fixed points from the moving ones.

The term is weight * mean of rho(max(d - t, 0)), d the distance in mm between map(fixed point) and moving point,
t the tolerance within which pairs were placed and so say nothing, and rho(e) = 2 s^2 (sqrt(1 + e^2 / s^2) - 1), the
pseudo-Huber loss (Charbonnier et al., IEEE TIP 6(2), 1997): e^2 for small e; beyond s a pair pulls no harder,
so that one misplaced pair does not lead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .core.config import LandmarkConfig
from .core.geometry import FloatArray, Grid, transform_points
from .core.image import LandmarkPairs

#: Keeps the derivative of a distance finite where it is 0.
_SMOOTH_MM2 = 1e-12

#: Points (1, 3, n, 1, 1), RAS mm, to where a map sends them, likewise.
PointMap = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LandmarkTerm:
    """The term as a function of a map; points are (1, 3, n, 1, 1), RAS mm."""

    fixed_ras: Tensor
    moving_ras: Tensor
    weight: float
    robust_mm: float
    tolerance_mm: float = 0.0

    def __call__(self, map_points: PointMap) -> Tensor:
        """Weighted mean over the pairs, a scalar."""
        squared = (map_points(self.fixed_ras) - self.moving_ras).square().sum(dim=1)
        beyond = ((squared + _SMOOTH_MM2).sqrt() - self.tolerance_mm).clamp(min=0)
        e2 = beyond.square()
        # As rho is defined, but without the difference of near numbers that sqrt(1 + ...) - 1 would be.
        return self.weight * (2 * e2 / ((1 + e2 / self.robust_mm**2).sqrt() + 1)).mean()


def landmark_term(
    pairs: LandmarkPairs | None, config: LandmarkConfig, fixed_grid: Grid, moving_grid: Grid, like: Tensor
) -> tuple[LandmarkTerm | None, tuple[str, ...]]:
    """The term of those pairs whose points lie in both images, and a sentence on those left out.

    Args:
        pairs: corresponding points; None for none.
        config: weight and scale; weight 0 is no term.
        fixed_grid, moving_grid: fields of view.
        like: gives dtype and device.

    Returns:
        The term, None if no pair is left; notes for the user.
    """
    if pairs is None or config.weight == 0:
        return None, ()
    keep = _inside(fixed_grid, pairs.fixed_ras) & _inside(moving_grid, pairs.moving_ras)
    notes = () if keep.all() else (_left_out(pairs, keep),)
    if not keep.any():
        return None, notes
    fixed, moving = (
        torch.as_tensor(points[keep].T.copy()).to(like)[None, :, :, None, None]
        for points in (pairs.fixed_ras, pairs.moving_ras)
    )
    return LandmarkTerm(fixed, moving, config.weight, config.robust_mm, config.tolerance_mm), notes


def _inside(grid: Grid, points_ras: FloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which points lie in the field of view, half a voxel around the outermost centres included."""
    index = transform_points(grid.ras_to_ijk, points_ras)
    return np.asarray(((index >= -0.5) & (index <= np.asarray(grid.size_ijk) - 0.5)).all(axis=1))


def _left_out(pairs: LandmarkPairs, keep: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> str:
    which = [pairs.names[index] if pairs.names else str(index + 1) for index in np.flatnonzero(~keep)]
    what = "Landmark pair" if len(which) == 1 else "Landmark pairs"
    verb = "lies" if len(which) == 1 else "lie"
    return f"{what} {', '.join(which)} {verb} outside the images and did not guide the deformation."
