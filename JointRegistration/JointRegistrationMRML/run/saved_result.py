"""A run's result from the nodes it left: what a scene that was saved and opened again still says of it.

The displacement field is the transform node's own; the determinant is computed from it as the run did, by central
differences.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.result import FoldCount, RegistrationResult

from ..nodes.arrays import numpyView, vtkImage, vtkMatrix
from ..nodes.transforms import displacementFromNode, fixedToMovingGrid, latticeOf
from ..nodes.volumes import imageFromVolume
from ..pauses import inParallel, inThread, slabs
from ..translation import _
from .registration_nodes import InputNodes, OutputNodes

_NAN = float("nan")
_UNKNOWN: dict[str, Any] = {
    "affine_ras": np.full((4, 4), _NAN),
    "similarity_before": _NAN,
    "similarity_after": _NAN,
    "inverse_error_mean_mm": _NAN,
    "inverse_error_max_mm": _NAN,
    "timings_s": {},
    "config": RegistrationConfig(),
    "device": "",
}
_BYTES_PER_FIELD_BYTE = 4  # derivatives and products beside a part of the field


def storedResultSteps(
    inputs: InputNodes, nodes: OutputNodes, figures: Mapping[str, Any]
) -> Generator[None, None, RegistrationResult]:
    """The result of the run whose transform is ``nodes.transform``, with pauses in which a window stays alive.

    Args:
        inputs: its nodes; volumes are read where they are now, without the run's own transform.
        nodes: its results; all but the transform may be None.
        figures: what is known of it besides lattices, by the result's fields. Folds that are not known are counted;
            other figures become nan or empty.

    Raises:
        InputError: if the transform holds no grid of its own, or another grid than the fixed volume's voxels.
    """
    fixed = imageFromVolume(inputs.fixed, nodes.transform)
    moving = imageFromVolume(inputs.moving, nodes.transform)
    field = _fieldOn(fixed.grid, nodes.transform, inputs.fixed.GetName())
    determinant = yield from inThread(lambda: jacobianOf(field, fixed.grid))
    folds = int(np.count_nonzero(determinant <= 0))
    counted = FoldCount(folds, 100 * folds / fixed.grid.num_voxels, folds)
    return RegistrationResult(
        fixed_grid=fixed.grid,
        moving_grid=moving.grid,
        displacement_field_mm=field,
        inverse_displacement_field_mm=np.broadcast_to(np.float32(_NAN), (*moving.grid.shape, 3)),
        jacobian_determinant=determinant,
        warped=_warped(nodes, moving, fixed.grid),
        **{**_UNKNOWN, "folds": counted, **figures},
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
    assert nodes.transform is not None
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
