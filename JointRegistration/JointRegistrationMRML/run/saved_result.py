"""A run's result from the nodes it left: what a scene that was saved and opened again still says of it.

The displacement field is the transform node's own; determinant and folds are computed from it as the run did, by
central differences. Figures that no node holds but the results table are read there, and are nan without one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk

from JointRegistrationLib.core.config import METHODS, RegistrationConfig
from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.result import FoldCount, RegistrationResult

from ..nodes.arrays import numpyView, vtkImage, vtkMatrix
from ..nodes.transforms import affineFromNode, displacementFromNode, fixedToMovingGrid, latticeOf
from ..nodes.volumes import imageFromVolume
from ..pauses import inParallel, slabs
from ..translation import _
from .registration_nodes import InputNodes, OutputNodes

_NAN = float("nan")
_BYTES_PER_FIELD_BYTE = 4  # derivatives and products beside a part of the field


def storedResult(inputs: InputNodes, nodes: OutputNodes) -> RegistrationResult:
    """The result of the run whose transform is ``nodes.transform``.

    Args:
        inputs: its nodes; volumes are read where they are now, without the run's own transform.
        nodes: its results; all but the transform may be None.

    Raises:
        InputError: if the transform holds no grid of its own, or another grid than the fixed volume's voxels.
    """
    fixed = imageFromVolume(inputs.fixed, nodes.transform)
    moving = imageFromVolume(inputs.moving, nodes.transform)
    field = _fieldOn(fixed.grid, nodes.transform, inputs.fixed.GetName())
    determinant = jacobianOf(field, fixed.grid)
    folds = int(np.count_nonzero(determinant <= 0))
    table = _tableOf(nodes.resultsTable)
    method = table.get("method", "")
    return RegistrationResult(
        fixed_grid=fixed.grid,
        moving_grid=moving.grid,
        affine_ras=np.full((4, 4), _NAN) if nodes.affine is None else affineFromNode(nodes.affine),
        displacement_field_mm=field,
        inverse_displacement_field_mm=np.broadcast_to(np.float32(_NAN), (*moving.grid.shape, 3)),
        jacobian_determinant=determinant,
        warped=_warped(nodes, moving, fixed.grid),
        folds=FoldCount(folds, 100 * folds / fixed.grid.num_voxels, folds),
        similarity_before=_number(table, "NCC before"),
        similarity_after=_number(table, "NCC after"),
        inverse_error_mean_mm=_number(table, "inverse error, mean (mm)"),
        inverse_error_max_mm=_number(table, "inverse error, greatest (mm)"),
        timings_s={},
        config=RegistrationConfig(method=method) if method in METHODS else RegistrationConfig(),
        device=table.get("device", ""),
    )


def jacobianOf(displacementMm: npt.NDArray[Any], grid: Grid) -> npt.NDArray[np.float32]:
    """The determinant of the map's derivative, (k, j, i) float32; central differences, one-sided at the border.

    Args:
        displacementMm: (k, j, i, 3) on ``grid``, RAS mm, at least two voxels a side.
        grid: its lattice.
    """
    steps = grid.ijk_to_ras[:3, :3].astype(np.float32)
    scale = np.float32(np.linalg.det(grid.ras_to_ijk[:3, :3]))
    result = np.empty(grid.shape, np.float32)

    def fill(part: slice) -> None:
        first, last = max(0, part.start - 1), min(len(result), part.stop + 1)
        block = displacementMm[first:last]
        inner = slice(part.start - first, part.stop - first)
        i, j, k = (np.gradient(block, axis=axis)[inner] + steps[:, 2 - axis] for axis in (2, 1, 0))
        result[part] = scale * _tripleProduct(i, j, k)

    inParallel(fill, slabs(len(result), displacementMm.nbytes * _BYTES_PER_FIELD_BYTE))
    return result


def _tripleProduct(a: Any, b: Any, c: Any) -> Any:
    """(a x b) . c over the last axis; NumPy's own cross product takes several times as long."""
    return (
        (a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]) * c[..., 0]
        + (a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]) * c[..., 1]
        + (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]) * c[..., 2]
    )


def _fieldOn(grid: Grid, transform: Any, fixedName: str) -> npt.NDArray[np.float32]:
    stored = fixedToMovingGrid(transform)
    if stored is None:
        text = _("{name}: no displacement grid from fixed to moving is stored in it")
        raise InputError(text.format(name=transform.GetName()))
    if stored.GetDisplacementScale() == 1 and stored.GetDisplacementShift() == 0:
        values = numpyView(stored.GetDisplacementGrid())
        own = latticeOf(stored, transform.GetName())
    else:
        values, own = displacementFromNode(transform)[:2]
    if not own.is_close(grid):
        text = _(
            "{name}: its grid is not that of {fixed} ({expected}), but {found}; was the volume moved or cropped since "
            "the registration?"
        )
        expected, found = grid.describe(), own.describe()
        raise InputError(text.format(name=transform.GetName(), fixed=fixedName, expected=expected, found=found))
    return values.astype(np.float32, copy=False)


def _warped(nodes: OutputNodes, moving: Image, grid: Grid) -> npt.NDArray[Any]:
    """The warped volume's voxels, or the moving image resampled through the transform (linearly, 0 outside)."""
    image = None if nodes.warpedVolume is None else nodes.warpedVolume.GetImageData()
    if image is not None and image.GetDimensions() == tuple(grid.size_ijk):
        return numpyView(image)
    toMoving = vtk.vtkGeneralTransform()  # pre-multiplying: the last one given is applied first
    toMoving.Concatenate(vtkMatrix(moving.grid.ras_to_ijk))
    toMoving.Concatenate(nodes.transform.GetTransformFromParent())
    toMoving.Concatenate(vtkMatrix(grid.ijk_to_ras))
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(vtkImage(moving.array))
    reslice.SetResliceTransform(toMoving)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetOutputExtent(*(bound for size in grid.size_ijk for bound in (0, size - 1)))
    reslice.SetInterpolationModeToLinear()
    reslice.SetBackgroundLevel(0)
    reslice.Update()
    return numpyView(reslice.GetOutput()).copy()


def _tableOf(node: Any) -> dict[str, str]:
    """Figure and value of a results table."""
    table = None if node is None else node.GetTable()
    if table is None or table.GetNumberOfColumns() < 2:
        return {}
    names, values = table.GetColumn(0), table.GetColumn(1)
    rows = range(table.GetNumberOfRows())
    return {names.GetVariantValue(row).ToString(): values.GetVariantValue(row).ToString() for row in rows}


def _number(table: dict[str, str], name: str) -> float:
    try:
        value = float(table.get(name, ""))
    except ValueError:
        return _NAN
    return value if math.isfinite(value) else _NAN
