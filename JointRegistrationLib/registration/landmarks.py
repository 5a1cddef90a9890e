"""Corresponding points: the best affine transform in closed form, and how far a map carries them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.config import AFFINE_MODELS, LandmarkConfig
from ..core.errors import ConfigError, InputError
from ..core.figures.metrics import displacement_transform, tre_mm
from ..core.geometry import FloatArray, Grid, affine_matrix, transform_points
from ..core.image import LandmarkPairs
from ..core.result import LandmarkErrors

#: The least number of pairs that determines each model in three dimensions.
MIN_PAIRS = {"rigid": 3, "similarity": 3, "affine": 4}
#: How far points must spread, as standard deviations in mm along their second and third principal axis, before they
#: start a registration by each model: clicks are off by a millimetre or two, which a thin cloud turns into a tilt.
_LEAST_SPREAD_MM = {"rigid": (4.0, 0.0), "similarity": (4.0, 0.0), "affine": (8.0, 8.0)}


def starting_transform(pairs: LandmarkPairs, model: str) -> FloatArray:
    """The fit that a registration starts from: the largest model, up to ``model``, that the pairs determine well.

    Few points, or points near one plane or line, leave a rigid transform, and at last a translation.

    Args:
        pairs: one or more.
        model: one of ``AFFINE_MODELS``.
    """
    centred = pairs.fixed_ras - pairs.fixed_ras.mean(axis=0)
    spread = np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(centred))
    second, third = np.append(spread, (0.0, 0.0))[1:3]
    for candidate in (model, "rigid"):
        least = _LEAST_SPREAD_MM[candidate]
        if len(centred) >= MIN_PAIRS[candidate] and second >= least[0] and third >= least[1]:
            return fit_transform(pairs, candidate)
    return affine_matrix(translation=(pairs.moving_ras - pairs.fixed_ras).mean(axis=0))


def fit_transform(pairs: LandmarkPairs, model: str = "rigid") -> FloatArray:
    """Least-squares transform (4x4, RAS) sending the fixed points to the moving points.

    ``"rigid"`` is Kabsch's rotation and translation, ``"similarity"`` adds Umeyama's common scale
    (IEEE PAMI 13(4), 1991), ``"affine"`` is linear least squares.

    Raises:
        InputError: for too few pairs, or points that lie on a line (rigid, similarity) or in a plane
            (affine) and so do not determine the model.
    """
    if model not in AFFINE_MODELS:
        raise ConfigError(f"model: {model!r} is unknown; choose one of {', '.join(AFFINE_MODELS)}")
    if len(pairs.fixed_ras) < MIN_PAIRS[model]:
        raise InputError(
            f"landmarks: {len(pairs.fixed_ras)} pairs were given, but a {model} transform needs at least "
            f"{MIN_PAIRS[model]}; add pairs, or choose a simpler model"
        )
    fixed_mean, moving_mean = pairs.fixed_ras.mean(axis=0), pairs.moving_ras.mean(axis=0)
    fixed, moving = pairs.fixed_ras - fixed_mean, pairs.moving_ras - moving_mean
    _check_spread(fixed, model)
    linear = _affine(fixed, moving) if model == "affine" else _umeyama(fixed, moving, model == "similarity")
    return affine_matrix(linear, moving_mean - linear @ fixed_mean)


def landmark_errors(pairs: LandmarkPairs, displacement_field_mm: npt.NDArray[Any], grid: Grid) -> LandmarkErrors:
    """Target registration error of each pair, for the identity and for a displacement field.

    Args:
        pairs: corresponding points.
        displacement_field_mm: (k, j, i, 3) on ``grid``, fixed to moving, RAS mm; beyond the grid its border
            value holds.
        grid: its lattice.
    """
    through = displacement_transform(displacement_field_mm, grid)
    before, after = (tuple(tre_mm(pairs, move).tolist()) for move in (lambda points: points, through))
    return LandmarkErrors(pairs.names, before, after)


def _check_spread(centred: FloatArray, model: str) -> None:
    singular = np.linalg.svd(centred, compute_uv=False)
    rank = int((singular > 1e-6 * max(singular[0], 1e-12)).sum())
    needed = 3 if model == "affine" else 2
    if rank < needed:
        shape = "in one plane" if rank == 2 else "on one line"
        raise InputError(
            f"landmarks: the fixed points lie {shape}, which does not determine a {model} transform; spread them out"
        )


def _affine(fixed: FloatArray, moving: FloatArray) -> FloatArray:
    solution, *_ = np.linalg.lstsq(fixed, moving, rcond=None)
    return np.asarray(solution.T, dtype=np.float64)


def _umeyama(fixed: FloatArray, moving: FloatArray, with_scale: bool) -> FloatArray:
    u, singular, vt = np.linalg.svd(moving.T @ fixed)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = float((singular * signs).sum() / (fixed**2).sum()) if with_scale else 1.0
    return np.asarray(scale * rotation, dtype=np.float64)


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
