"""The sampling grid of an image and every conversion between its frames.

Frames, by the suffix they carry in names:

``_ijk``
    Continuous voxel indices along the grid's axes; voxel centres are integers.
``_unit``
    The one normalised frame: index / (size - 1) per axis, so that the centres of the corner voxels
    are 0 and 1. Component order is i, j, k, like ``_ijk``.
``_ras``
    Millimetres in the patient: right, anterior, superior. The frame of all computation.
``_lps``
    Millimetres in ITK's convention: the first two axes point the other way. File boundary only.

Arrays are indexed ``[k, j, i]`` (the fastest axis last), hence :attr:`Grid.shape` is the reverse of
:attr:`Grid.size_ijk`. This module imports no PyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import GeometryError

FloatArray = npt.NDArray[np.float64]

#: Flips the first two axes: its own inverse, and the whole difference between RAS and LPS.
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

_IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_ORTHONORMAL_TOLERANCE = 1e-3
_AXIS_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Grid:
    """A regular lattice of points in the patient: size, spacing, origin and direction.

    Args:
        size_ijk: number of voxels along i, j, k; each at least 2.
        spacing_mm: distance between neighbours along i, j, k, in mm; positive.
        origin_ras: centre of voxel (0, 0, 0), in RAS mm.
        direction_ras: 3x3, row by row; column c is the unit vector of index axis c in RAS.
            Orthonormal, left-handed grids included.

    Raises:
        GeometryError: for a size below 2, a non-positive or non-finite spacing, a non-finite origin,
            or a singular or skewed direction.
    """

    size_ijk: tuple[int, int, int]
    spacing_mm: Triple = (1.0, 1.0, 1.0)
    origin_ras: Triple = (0.0, 0.0, 0.0)
    direction_ras: tuple[Triple, Triple, Triple] = _IDENTITY

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_ijk", _size(self.size_ijk))
        object.__setattr__(self, "spacing_mm", _triple("spacing", self.spacing_mm))
        object.__setattr__(self, "origin_ras", _triple("origin", self.origin_ras))
        object.__setattr__(self, "direction_ras", _direction(self.direction_ras))
        if min(self.spacing_mm) <= 0:
            raise GeometryError(
                f"the spacing must be positive along every axis, but is {self.spacing_mm} mm; "
                "correct the image's header"
            )

    # -- construction -----------------------------------------------------------------------------

    @classmethod
    def from_ijk_to_ras(cls, size_ijk: Sequence[int], matrix: npt.ArrayLike) -> Grid:
        """Grid of ``size_ijk`` voxels whose 4x4 index-to-RAS matrix is ``matrix``."""
        m = np.asarray(matrix, dtype=float)
        if m.shape != (4, 4):
            raise GeometryError(f"the index-to-RAS matrix must be 4x4, but its shape is {m.shape}")
        spacing = np.linalg.norm(m[:3, :3], axis=0)
        if not np.all(np.isfinite(spacing)) or np.any(spacing <= 0):
            raise GeometryError(f"the index-to-RAS matrix has a zero or non-finite axis: {m.tolist()}")
        return cls(
            _size(size_ijk), _triple("spacing", spacing), _triple("origin", m[:3, 3]), _direction(m[:3, :3] / spacing)
        )

    @classmethod
    def from_lps(
        cls,
        size_ijk: Sequence[int],
        spacing_mm: Sequence[float],
        origin_lps: Sequence[float],
        direction_lps: npt.ArrayLike,
    ) -> Grid:
        """Grid from ITK's header fields; ``direction_lps`` is 3x3 or its 9 values row by row."""
        flip = RAS_LPS[:3, :3]
        direction = flip @ np.asarray(direction_lps, dtype=float).reshape(3, 3)
        origin = flip @ np.asarray(origin_lps, dtype=float)
        return cls(_size(size_ijk), _triple("spacing", spacing_mm), _triple("origin", origin), _direction(direction))

    def to_dict(self) -> dict[str, Any]:
        """The four fields as plain lists, for JSON."""
        return {
            "size_ijk": list(self.size_ijk),
            "spacing_mm": list(self.spacing_mm),
            "origin_ras": list(self.origin_ras),
            "direction_ras": [list(row) for row in self.direction_ras],
        }

    # -- properties -------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of an array on this grid: (k, j, i), also written (D, H, W)."""
        i, j, k = self.size_ijk
        return k, j, i

    @property
    def num_voxels(self) -> int:
        """Number of lattice points."""
        return int(np.prod(self.size_ijk))

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel in mm^3."""
        return float(np.prod(self.spacing_mm))

    @property
    def extent_mm(self) -> FloatArray:
        """Distance between the centres of the first and last voxel along i, j, k, in mm."""
        return _float_array(np.asarray(self.spacing_mm) * (np.asarray(self.size_ijk) - 1))

    @property
    def ijk_to_ras(self) -> FloatArray:
        """4x4 matrix from voxel indices to RAS mm."""
        return affine_matrix(np.asarray(self.direction_ras) * np.asarray(self.spacing_mm), self.origin_ras)

    @property
    def ras_to_ijk(self) -> FloatArray:
        """4x4 matrix from RAS mm to voxel indices."""
        return _float_array(np.linalg.inv(self.ijk_to_ras))

    @property
    def unit_to_ras(self) -> FloatArray:
        """4x4 matrix from the normalised frame to RAS mm."""
        return affine_matrix(np.asarray(self.direction_ras) * self.extent_mm, self.origin_ras)

    @property
    def ras_to_unit(self) -> FloatArray:
        """4x4 matrix from RAS mm to the normalised frame."""
        return _float_array(np.linalg.inv(self.unit_to_ras))

    @property
    def center_ras(self) -> FloatArray:
        """Centre of the field of view in RAS mm."""
        return transform_points(self.unit_to_ras, np.full(3, 0.5))

    @property
    def corners_ras(self) -> FloatArray:
        """The centres of the eight corner voxels, (8, 3) RAS mm."""
        corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)], dtype=float)
        return transform_points(self.unit_to_ras, corners)

    @property
    def origin_lps(self) -> Triple:
        """The origin in ITK's frame."""
        return _triple("origin", RAS_LPS[:3, :3] @ np.asarray(self.origin_ras))

    @property
    def direction_lps(self) -> tuple[float, ...]:
        """The direction in ITK's frame, nine values row by row."""
        return tuple(float(v) for v in (RAS_LPS[:3, :3] @ np.asarray(self.direction_ras)).ravel())

    @property
    def orientation(self) -> str:
        """Three letters naming where i, j and k point to, e.g. ``"RAS"`` or ``"PIR"``."""
        direction = np.asarray(self.direction_ras)
        return "".join(_AXIS_LETTERS[axis][int(direction[axis, c] > 0)] for c, axis in enumerate(self.ras_axes))

    @property
    def ras_axes(self) -> tuple[int, int, int]:
        """For each of i, j, k the RAS axis (0, 1, 2) it follows most closely, each used once."""
        remaining = np.abs(np.asarray(self.direction_ras)).copy()
        axes = [0, 0, 0]
        for _ in range(3):
            row, column = np.unravel_index(np.argmax(remaining), (3, 3))
            axes[int(column)] = int(row)
            remaining[row, :] = -1.0
            remaining[:, column] = -1.0
        return axes[0], axes[1], axes[2]

    # -- derived grids ----------------------------------------------------------------------------

    def resized(self, size_ijk: Sequence[int]) -> Grid:
        """The same field of view, corner voxel centres kept, sampled with ``size_ijk`` voxels."""
        size = _size(size_ijk)
        spacing = self.extent_mm / (np.asarray(size) - 1)
        return Grid(size, _triple("spacing", spacing), self.origin_ras, self.direction_ras)

    def cropped(self, start_ijk: Sequence[int], size_ijk: Sequence[int]) -> Grid:
        """The part of the lattice that begins at voxel ``start_ijk`` and has ``size_ijk`` voxels."""
        origin = transform_points(self.ijk_to_ras, np.asarray(start_ijk, dtype=float))
        return Grid(_size(size_ijk), self.spacing_mm, _triple("origin", origin), self.direction_ras)

    def padded(self, margin_ijk: Sequence[int]) -> Grid:
        """The lattice continued by ``margin_ijk`` voxels on both sides of each axis."""
        margin = np.asarray(margin_ijk, dtype=int)
        origin = transform_points(self.ijk_to_ras, -margin.astype(float))
        size = np.asarray(self.size_ijk) + 2 * margin
        return Grid(_size(size), self.spacing_mm, _triple("origin", origin), self.direction_ras)

    # -- relations --------------------------------------------------------------------------------

    def is_close(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """True if both have the same size and their corners agree within ``tolerance_mm``."""
        if self.size_ijk != other.size_ijk:
            return False
        return bool(np.abs(self.corners_ras - other.corners_ras).max() <= tolerance_mm)

    def overlap(self, other: Grid, matrix_ras: npt.ArrayLike | None = None, samples_per_axis: int = 16) -> float:
        """Fraction of this grid's field of view that ``matrix_ras`` (4x4) sends into ``other``'s.

        Estimated on a lattice of ``samples_per_axis`` points along each axis.
        """
        matrix = np.eye(4) if matrix_ras is None else np.asarray(matrix_ras, dtype=float)
        there = transform_points(other.ras_to_unit @ matrix @ self.unit_to_ras, unit_lattice(samples_per_axis))
        return float(np.all((there >= -1e-6) & (there <= 1 + 1e-6), axis=1).mean())

    def describe(self) -> str:
        """One line for messages: size, spacing, orientation."""
        size = " x ".join(str(n) for n in self.size_ijk)
        spacing = " x ".join(f"{s:.4g}" for s in self.spacing_mm)
        return f"{size} voxels of {spacing} mm, axes {self.orientation}"


def unit_lattice(samples_per_axis: int) -> FloatArray:
    """Points (n, 3) of a regular lattice over a field of view, its border included, in the frame ``_unit``."""
    axis = np.linspace(0.0, 1.0, samples_per_axis)
    return _float_array(np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3))


def transform_points(matrix: npt.ArrayLike, points: npt.ArrayLike) -> FloatArray:
    """Apply a 4x4 matrix to points of shape (..., 3)."""
    m = np.asarray(matrix, dtype=float)
    return _float_array(np.asarray(points, dtype=float) @ m[:3, :3].T + m[:3, 3])


def ras_to_lps_matrix(matrix_ras: npt.ArrayLike) -> FloatArray:
    """A 4x4 transform between RAS points as the same transform between LPS points, and back."""
    return _float_array(RAS_LPS @ np.asarray(matrix_ras, dtype=float) @ RAS_LPS)


def _float_array(values: npt.ArrayLike) -> FloatArray:
    return np.asarray(values, dtype=np.float64)


def affine_matrix(linear: npt.ArrayLike = _IDENTITY, translation: npt.ArrayLike = 0.0) -> FloatArray:
    """The 4x4 matrix of x -> linear x + translation."""
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = translation
    return matrix


def _size(values: Sequence[int] | npt.NDArray[Any]) -> tuple[int, int, int]:
    size = tuple(int(v) for v in values)
    if len(size) != 3:
        raise GeometryError(f"a grid has three axes, but {len(size)} were given: {size}")
    if min(size) < 2:
        raise GeometryError(f"at least 2 voxels are needed along every axis, but the size is {size}; give a 3D volume")
    return size


def _triple(name: str, values: Sequence[float] | npt.NDArray[Any]) -> Triple:
    triple = tuple(float(v) for v in values)
    if len(triple) != 3 or not np.all(np.isfinite(triple)):
        raise GeometryError(f"the {name} must be three finite numbers, but is {triple}; correct the image's header")
    return triple


def _direction(values: npt.ArrayLike) -> tuple[Triple, Triple, Triple]:
    matrix = np.asarray(values, dtype=float)
    if matrix.shape != (3, 3) or not np.all(np.isfinite(matrix)):
        raise GeometryError(f"the direction must be a finite 3x3 matrix, but is {matrix.tolist()}")
    error = float(np.abs(matrix.T @ matrix - np.eye(3)).max())
    if error > _ORTHONORMAL_TOLERANCE:
        kind = "singular" if abs(np.linalg.det(matrix)) < 1e-6 else "not orthonormal"
        raise GeometryError(
            f"the direction matrix is {kind}: {np.round(matrix, 4).tolist()}; "
            "resample the image to an orthogonal grid first"
        )
    rows = [_triple("direction", row) for row in matrix]
    return rows[0], rows[1], rows[2]
