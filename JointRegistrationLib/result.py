"""What a registration returns: NumPy only, so that it can cross a process boundary as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .config import RegistrationConfig
from .geometry import Grid

FloatVolume = npt.NDArray[np.float32]

#: log2 of a Jacobian determinant where the map folds, or almost: there the logarithm is not defined, or
#: says no more than that the moving anatomy is at most 1/1024 as large.
LOG2_JACOBIAN_FLOOR = -10.0


def log2_jacobian(determinant: npt.NDArray[Any]) -> FloatVolume:
    """log2 of a Jacobian determinant, float32, not below :data:`LOG2_JACOBIAN_FLOOR`."""
    values: FloatVolume = np.maximum(determinant, np.float32(2.0**LOG2_JACOBIAN_FLOOR), dtype=np.float32)
    np.log2(values, out=values)  # in place: a copy of a large volume costs more than the logarithm
    return values


def _mean_length(vectors: npt.NDArray[Any]) -> float:
    """Mean length of vectors (k, j, i, 3), slice by slice: several times faster than NumPy's norm of all."""
    total = 0.0
    for part in vectors:
        r, a, s = part[..., 0], part[..., 1], part[..., 2]
        total += float(np.sqrt(r * r + a * a + s * s).sum(dtype=np.float64))
    return total / max(1, vectors[..., 0].size)


@dataclass(frozen=True)
class FoldCount:
    """Lattice points at which a map turns space inside out.

    ``count`` and ``percent`` use the full determinant; ``diagonal_count`` multiplies only the three
    diagonal derivatives, as the authors' code does, for comparison with published tables.
    """

    count: int
    percent: float
    diagonal_count: int


@dataclass(frozen=True)
class LandmarkErrors:
    """Target registration error, mm, pair by pair: distance from the moving point before (identity) and after."""

    names: tuple[str, ...]
    before_mm: tuple[float, ...]
    after_mm: tuple[float, ...]

    def summary(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "count": len(self.before_mm),
            "names": list(self.names),
            "tre_before_mm": list(self.before_mm),
            "tre_after_mm": list(self.after_mm),
            "tre_before_mean_mm": float(np.mean(self.before_mm)),
            "tre_after_mean_mm": float(np.mean(self.after_mm)),
        }


@dataclass(frozen=True)
class RegistrationResult:
    """A registration of ``moving`` to ``fixed``.

    Args:
        fixed_grid: native grid of the fixed image.
        moving_grid: native grid of the moving image.
        affine_ras: 4x4, fixed RAS points to moving RAS points.
        displacement_field_mm: (k, j, i, 3) float32 on ``fixed_grid``: moving point minus fixed point,
            RAS components in mm, affine part included. Slicer's *from parent*, ITK's resampling
            direction.
        inverse_displacement_field_mm: (k, j, i, 3) float32 on ``moving_grid``: fixed point minus
            moving point. Slicer's *to parent*.
        jacobian_determinant: (k, j, i) float32 on ``fixed_grid``: det of the fixed-to-moving map's
            derivative; above 1 where the moving anatomy is larger than the fixed.
        warped: (k, j, i) float32, the moving image on ``fixed_grid``, linear interpolation.
        folds: folded lattice points of ``displacement_field_mm``.
        similarity_before, similarity_after: NCC on the working grid inside the fixed mask (if any),
            before (identity map in RAS) and after.
        inverse_error_mean_mm, inverse_error_max_mm: round trip fixed -> moving -> fixed over fixed
            points that land inside the moving field of view.
        timings_s: seconds by stage, and ``"total"``.
        config: what was asked for.
        device: where it ran, e.g. ``"cpu"``.
        notes: sentences a user should read, e.g. a fallback that was taken.
        landmark_errors_mm: of the given pairs; None if none were given.
    """

    fixed_grid: Grid
    moving_grid: Grid
    affine_ras: npt.NDArray[np.float64]
    displacement_field_mm: FloatVolume
    inverse_displacement_field_mm: FloatVolume
    jacobian_determinant: FloatVolume
    warped: FloatVolume
    folds: FoldCount
    similarity_before: float
    similarity_after: float
    inverse_error_mean_mm: float
    inverse_error_max_mm: float
    timings_s: dict[str, float]
    config: RegistrationConfig
    device: str
    notes: tuple[str, ...] = ()
    landmark_errors_mm: LandmarkErrors | None = None

    def summary(self) -> dict[str, Any]:
        """The scalar results as plain JSON values; landmarks only where there are any."""
        landmarks = self.landmark_errors_mm
        return {
            "method": self.config.method,
            "device": self.device,
            "ncc_before": self.similarity_before,
            "ncc_after": self.similarity_after,
            "folds": self.folds.count,
            "folds_percent": self.folds.percent,
            "folds_diagonal_only": self.folds.diagonal_count,
            "jacobian_min": float(self.jacobian_determinant.min()),
            "jacobian_max": float(self.jacobian_determinant.max()),
            "displacement_mean_mm": _mean_length(self.displacement_field_mm),
            "inverse_error_mean_mm": self.inverse_error_mean_mm,
            "inverse_error_max_mm": self.inverse_error_max_mm,
            "affine_ras": self.affine_ras.tolist(),
            "timings_s": dict(self.timings_s),
            "notes": list(self.notes),
            **({} if landmarks is None else {"landmarks": landmarks.summary()}),
        }
