"""A map from fixed to moving points to go on from, such as an earlier result. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .geometry import FloatArray, Grid, transform_points
from .result import RegistrationResult

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
