"""Corresponding points: the best affine transform in closed form, and how far a map carries them apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .core.config import AFFINE_MODELS
from .core.errors import ConfigError, InputError
from .core.geometry import FloatArray, Grid
from .core.image import LandmarkPairs
from .core.metrics import displacement_transform, tre_mm
from .core.result import LandmarkErrors

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
    matrix = np.eye(4)
    matrix[:3, 3] = (pairs.moving_ras - pairs.fixed_ras).mean(axis=0)
    return matrix


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
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = moving_mean - linear @ fixed_mean
    return matrix


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
