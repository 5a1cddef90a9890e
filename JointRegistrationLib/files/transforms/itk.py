"""Transforms as ITK files, in the resampling direction that SimpleITK, ANTs and Slicer read.

A file written here from fixed-grid data maps a fixed point to its moving point: SimpleITK's
``Resample`` takes it as it is, ANTs lists it in ``-t``, Slicer puts it on the *from parent* side of
the transform node for the moving image. Between lattice points ITK interpolates linearly and Slicer
cubically; at the lattice points both agree.
"""

from __future__ import annotations

import gzip
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ...core.errors import FileError, GeometryError, InputError
from ...core.geometry import RAS_LPS, FloatArray, Grid, affine_matrix, ras_to_lps_matrix
from ...core.result import StartingMap
from ..guarded.names import native_output
from ..images import check_suffix, image_header, read_field, to_itk
from ..output import atomic_file
from .hdf5 import BYTES_PER_VOXEL, is_available, write_transform_hdf5
from .parts import field_part, read_parts

TRANSFORM_SUFFIXES = (".h5", ".hdf5")
AFFINE_SUFFIXES = (".tfm", ".txt", ".mat", ".h5")
FIELD_SUFFIXES = (".nrrd", ".mha", ".nii", ".nii.gz")

_LPS_SIGNS = np.diag(RAS_LPS)[:3]
_NIFTI_INTENT_OFFSET, _NIFTI_DISPLACEMENT = 68, 1006


@dataclass(frozen=True)
class SpatialTransform:
    """A transform read from a file, in RAS mm.

    Args:
        name: the file's name.
        parts: what it consists of, in the order a point passes through them, e.g.
            ``("DisplacementFieldTransform", "AffineTransform")``.
        grid: lattice of its first displacement field; None if it has none.
    """

    name: str
    parts: tuple[str, ...]
    grid: Grid | None
    _itk: Any

    @property
    def is_linear(self) -> bool:
        """True if it is one 4x4 matrix."""
        return bool(self._itk.IsLinear())

    @property
    def matrix_ras(self) -> FloatArray:
        """The 4x4 matrix of a linear transform.

        Raises:
            InputError: if the transform is not linear.
        """
        if not self.is_linear:
            raise InputError(f"{self.name}: a linear transform is needed, but it consists of {', '.join(self.parts)}")
        corners = self.apply(np.vstack([np.zeros(3), np.eye(3)]))
        return affine_matrix((corners[1:] - corners[0]).T, corners[0])

    def last_affine_ras(self) -> FloatArray | None:
        """The 4x4 matrix of its last part; None if that is not linear."""
        last = self._itk
        if last.GetName() == "CompositeTransform":
            last = last.GetNthTransform(0).Downcast()
        return SpatialTransform(self.name, (last.GetName(),), None, last).matrix_ras if last.IsLinear() else None

    def apply(self, points_ras: npt.ArrayLike) -> FloatArray:
        """Send points (n, 3) RAS mm through the transform."""
        points = np.asarray(points_ras, dtype=np.float64) * _LPS_SIGNS
        moved = np.array([self._itk.TransformPoint(point) for point in points.tolist()]).reshape(-1, 3)
        return np.asarray(moved * _LPS_SIGNS, dtype=np.float64)

    def displacement_field(self, grid: Grid) -> npt.NDArray[np.float32]:
        """The transform on a lattice, less the lattice's positions: (k, j, i, 3), RAS mm."""
        field = sitk.TransformToDisplacementField(
            self._itk, sitk.sitkVectorFloat64, list(grid.size_ijk), grid.origin_lps, grid.spacing_mm, grid.direction_lps
        )
        values = np.empty((*grid.shape, 3), dtype=np.float32)  # no copy in double precision beside ITK's own
        np.multiply(sitk.GetArrayViewFromImage(field), _LPS_SIGNS, out=values, casting="same_kind")
        return values


def starting_map(transform: SpatialTransform, grid: Grid) -> StartingMap:
    """A transform, fixed to moving points, as what ``registration.register`` refines further.

    Args:
        transform: of any kind. Its affine part is kept apart where it is the last of its parts, as in what
            :func:`write_transform` writes.
        grid: the lattice to read it on: the fixed image's, or a coarser one over its field of view.
    """
    return StartingMap(transform.displacement_field(grid), grid, transform.last_affine_ras())


def write_transform(
    path: Path | str,
    displacement_field_mm: npt.NDArray[Any],
    grid: Grid,
    affine_ras: npt.ArrayLike | None = None,
) -> None:
    """Write a displacement field as an ITK transform (HDF5).

    ITK knows no displacement outside the lattice. With ``affine_ras`` the file is therefore a
    composite: first the residual w with A(x + w(x)) = x + d(x), then A, so that the affine part
    holds outside as well. For a result's inverse, pass the moving grid and the inverse matrix.

    The vectors are rounded to a thousandth of a voxel or less (:mod:`.hdf5`), about 6 bytes a voxel.
    Where h5py is not installed, SimpleITK writes the file: not rounded, 24 bytes a voxel.

    Args:
        path: ending in .h5 or .hdf5.
        displacement_field_mm: d, (k, j, i, 3) on ``grid``, RAS mm, affine part included.
        grid: lattice of the field.
        affine_ras: A, 4x4; None to write the field alone.

    Raises:
        FileError: for another suffix or a place that cannot be written to.
        GeometryError: if field and grid differ in shape.
        ResourceError: if there is no space.
    """
    where = Path(path)
    check_suffix(where, TRANSFORM_SUFFIXES, "a transform")
    _check_field(displacement_field_mm, grid, where)
    matrix = np.eye(4) if affine_ras is None else np.asarray(affine_ras, dtype=np.float64)
    field_slice = _residual_lps(displacement_field_mm, grid, matrix)
    if is_available():
        with atomic_file(where, transform_bytes(grid)) as temporary:
            affine_lps = None if affine_ras is None else ras_to_lps_matrix(matrix)
            write_transform_hdf5(temporary, field_slice, grid, affine_lps)
        return
    field = np.stack([field_slice(k) for k in range(grid.shape[0])], dtype=np.float64)
    transform = sitk.DisplacementFieldTransform(to_itk(field, grid, vector=True))
    if affine_ras is not None:
        # ITK's composite applies what was added last first.
        transform = sitk.CompositeTransform([_itk_affine(matrix), transform])
    with atomic_file(where, transform_bytes(grid)) as temporary, native_output(temporary) as name:
        sitk.WriteTransform(transform, name)


def transform_bytes(grid: Grid) -> int:
    """Estimate the bytes, at most, that the file of :func:`write_transform` takes on a grid."""
    return grid.num_voxels * (BYTES_PER_VOXEL if is_available() else 24)


def write_affine(path: Path | str, affine_ras: npt.ArrayLike) -> None:
    """Write a 4x4 RAS matrix (fixed to moving points) as an ITK affine transform (.tfm, .txt, .mat or .h5).

    Raises:
        FileError: for another suffix or a place that cannot be written to.
    """
    where = Path(path)
    check_suffix(where, AFFINE_SUFFIXES, "an affine transform")
    with atomic_file(where) as temporary, native_output(temporary) as name:
        sitk.WriteTransform(_itk_affine(np.asarray(affine_ras, dtype=np.float64)), name)


def write_displacement_field(path: Path | str, displacement_field_mm: npt.NDArray[Any], grid: Grid) -> None:
    """Write a displacement field as a vector image that ITK and Slicer load as a transform.

    In NRRD and MetaImage the vectors are LPS, in NIfTI (intent 1006) RAS: each format's convention.

    Args:
        path: ending in .nrrd, .mha, .nii or .nii.gz.
        displacement_field_mm: (k, j, i, 3) on ``grid``, RAS mm.
        grid: lattice of the field.

    Raises:
        FileError: for another suffix or a place that cannot be written to.
        GeometryError: if field and grid differ in shape.
    """
    where = Path(path)
    check_suffix(where, FIELD_SUFFIXES, "a displacement field")
    _check_field(displacement_field_mm, grid, where)
    values = displacement_field_mm.astype(np.float32)
    if where.name.lower().endswith((".nii", ".nii.gz")):
        _write_nifti_field(to_itk(values, grid, vector=True), where, values.nbytes)
        return
    image = to_itk(values * _LPS_SIGNS.astype(np.float32), grid, vector=True)
    image.SetMetaData("displacement field type", "resampling")  # what Slicer 5.10 and later look for
    image.SetMetaData("intent_code", str(_NIFTI_DISPLACEMENT))
    with atomic_file(where, values.nbytes) as temporary, native_output(temporary) as name:
        sitk.WriteImage(image, name)


def read_transform(path: Path | str) -> SpatialTransform:
    """An ITK transform file (.h5, .tfm, .txt, .mat) or a displacement field (.nrrd, .mha, .nii, .nii.gz).

    Raises:
        FileError: if it is missing, unreadable or neither.
        InputError: if it is not in 3D, has no inverse, or holds several transforms that are no composite.
    """
    where = Path(path)
    parts = [field_part(*read_field(where))] if where.name.lower().endswith(FIELD_SUFFIXES) else read_parts(where)
    if not parts:
        raise FileError(f"{where}: holds no transform; give an ITK transform or a displacement field")
    # ITK's composite applies what was added last first.
    transform = parts[0].transform if len(parts) == 1 else sitk.CompositeTransform([p.transform for p in parts[::-1]])
    grid = next((part.grid for part in parts if part.grid is not None), None)
    return SpatialTransform(where.name, tuple(part.name for part in parts), grid, transform)


def is_displacement_field(path: Path | str) -> bool:
    """Return whether a file is an image of three components a voxel in 3D; False if it cannot be read."""
    where = Path(path)
    if not where.name.lower().endswith(FIELD_SUFFIXES):
        return False
    try:
        header = image_header(where)
    except InputError:
        return False
    return len(header["size"]) == 3 and header["components"] == 3


def _check_field(field: npt.NDArray[Any], grid: Grid, path: Path) -> None:
    if field.shape != (*grid.shape, 3):
        raise GeometryError(
            f"{path}: the displacement field must have the shape {(*grid.shape, 3)} (k, j, i, 3) of its grid, "
            f"but has {field.shape}"
        )


def _residual_lps(field: npt.NDArray[Any], grid: Grid, matrix: FloatArray) -> Callable[[int], npt.NDArray[np.float32]]:
    """w with A(x + w(x)) = x + d(x), in LPS; slice by slice (by k), because the field can be large."""
    inverse = np.linalg.inv(matrix)
    linear = (inverse[:3, :3].T * _LPS_SIGNS).astype(np.float32)
    rest = _LPS_SIGNS[:, None] * ((inverse - np.eye(4)) @ grid.ijk_to_ras)[:3]  # A^-1 x - x from indices
    in_slice = np.arange(grid.shape[1])[:, None, None] * rest[:, 1] + np.arange(grid.shape[2])[:, None] * rest[:, 0]

    def residual(k: int) -> npt.NDArray[np.float32]:
        affine_part = (in_slice + (k * rest[:, 2] + rest[:, 3])).astype(np.float32)
        affine_part += np.asarray(field[k], dtype=np.float32) @ linear
        return affine_part

    return residual


def _itk_affine(matrix_ras: FloatArray) -> Any:
    matrix = ras_to_lps_matrix(matrix_ras)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def _write_nifti_field(image: Any, path: Path, num_bytes: int) -> None:
    """SimpleITK can only write intent 1007 (any vector), so the code is set afterwards."""
    with atomic_file(path, num_bytes) as temporary:
        if not path.name.lower().endswith(".gz"):
            _write_plain_nifti_field(image, temporary)
            return
        plain = temporary.with_name(temporary.name[: -len(".gz")])
        try:
            _write_plain_nifti_field(image, plain)
            with plain.open("rb") as source, gzip.open(temporary, "wb", compresslevel=4) as compressed:
                shutil.copyfileobj(source, compressed)
        finally:
            plain.unlink(missing_ok=True)


def _write_plain_nifti_field(image: Any, path: Path) -> None:
    with native_output(path) as name:
        sitk.WriteImage(image, name)
    with path.open("r+b") as file:
        file.seek(_NIFTI_INTENT_OFFSET)
        file.write(struct.pack("=h", _NIFTI_DISPLACEMENT))
