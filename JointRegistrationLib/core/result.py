"""What a registration returns: NumPy only, so that it can cross a process boundary as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .config import RegistrationConfig
from .errors import InputError
from .figures.trust import Evidence
from .geometry import FloatArray, Grid, transform_points

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
        evidence: what is seen of the result without labels; None if it is not known.
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
    evidence: Evidence | None = None

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
            **({} if self.evidence is None else {"evidence": self.evidence.summary()}),
            **({} if landmarks is None else {"landmarks": landmarks.summary()}),
        }


#: Lattice points along an axis that are enough to fit an affine transform to a map.
_FITTED_AT = 12


@dataclass(frozen=True)
class StartingMap:
    """x -> x + d(x), to be refined further.

    Args:
        displacement_field_mm: d, (k, j, i, 3) on ``grid``: moving point minus fixed point, RAS mm,
            affine part included.
        grid: a lattice over the fixed field of view; not necessarily the fixed image's own.
        affine_ras: the 4x4 to keep as the affine part; None for the least-squares one of the map.

    Raises:
        InputError: if the field is not on the grid or not finite, or the matrix cannot be inverted.
    """

    displacement_field_mm: npt.NDArray[Any]
    grid: Grid
    affine_ras: FloatArray | None = None

    def __post_init__(self) -> None:
        shape = (*self.grid.shape, 3)
        if self.displacement_field_mm.shape != shape:
            raise InputError(
                f"starting transform: a displacement field of shape {shape} (k, j, i, 3) is needed on its grid, but it "
                f"is {self.displacement_field_mm.shape}"
            )
        if not all(np.isfinite(part).all() for part in self.displacement_field_mm):
            raise InputError("starting transform: it holds values that are not finite; give another one, or none")
        if self.affine_ras is not None:
            _check_affine(self.affine_ras)

    @classmethod
    def of(cls, result: RegistrationResult) -> StartingMap:
        """The map of a result, whose affine part may be unknown (not finite)."""
        affine = result.affine_ras if np.isfinite(result.affine_ras).all() else None
        return cls(result.displacement_field_mm, result.fixed_grid, affine)

    def affine_part(self) -> FloatArray:
        """``affine_ras``, or the affine transform (4x4, RAS) nearest to the map on its lattice, in mm squared.

        Raises:
            InputError: if that cannot be inverted.
        """
        if self.affine_ras is not None:
            return np.asarray(self.affine_ras, dtype=np.float64)
        steps = tuple(slice(None, None, max(1, n // _FITTED_AT)) for n in self.grid.shape)
        k, j, i = np.meshgrid(*(np.arange(n)[s] for n, s in zip(self.grid.shape, steps, strict=True)), indexing="ij")
        points = transform_points(self.grid.ijk_to_ras, np.stack([i, j, k], axis=-1).reshape(-1, 3))
        moved = points + self.displacement_field_mm[steps].reshape(-1, 3)
        centre = points.mean(axis=0)  # far from the origin the system would be badly conditioned
        design = np.column_stack([points - centre, np.ones(len(points))])
        solution = np.linalg.lstsq(design, moved, rcond=None)[0]
        matrix = np.eye(4)
        matrix[:3, :3] = solution[:3].T
        matrix[:3, 3] = solution[3] - matrix[:3, :3] @ centre
        _check_affine(matrix)
        return matrix


def _check_affine(matrix: FloatArray) -> None:
    if not np.isfinite(matrix).all() or abs(np.linalg.det(np.asarray(matrix)[:3, :3])) < 1e-6:
        raise InputError(f"starting transform: its affine part cannot be inverted: {np.asarray(matrix).tolist()}")
