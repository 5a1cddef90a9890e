"""Surfaces of segments for looking at: quick, smooth, and not for measuring."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import numpy as np
import vtk

from JointRegistrationLib.core.geometry import Grid

from .nodes.arrays import vtkImage, vtkMatrix
from .nodes.segment_masks import SegmentMask
from .pauses import finished

#: Finer voxels than this are joined first: a surface's triangles grow with the square of their number.
_COARSEST_MM = 0.8
_SMOOTHING_STEPS = 15
_PASS_BAND = 0.05


def surfaceOf(masks: Iterable[SegmentMask], grid: Grid) -> Any:
    """All of :func:`surfaceSteps` at once."""
    return finished(surfaceSteps(masks, grid))


def surfaceSteps(masks: Iterable[SegmentMask], grid: Grid) -> Generator[None, None, Any]:
    """The smoothed boundaries of masks as one ``vtkPolyData``, RAS mm, with pauses in which a window stays alive.

    Args:
        masks: on ``grid``; empty ones are left out.
        grid: the lattice.
    """
    append = vtk.vtkAppendPolyData()
    append.AddInputData(vtk.vtkPolyData())
    for mask in masks:
        if not mask.isEmpty:
            append.AddInputData((yield from _partSteps(mask, grid)))
    append.Update()
    return append.GetOutput()


def _partSteps(mask: SegmentMask, grid: Grid) -> Generator[None, None, Any]:
    steps = [max(1, int(_COARSEST_MM / spacing)) for spacing in grid.spacing_mm[::-1]]
    voxels = np.pad(mask.voxels, [(1, step) for step in steps])
    size = [n - n % step for n, step in zip(voxels.shape, steps, strict=True)]
    blocks = voxels[: size[0], : size[1], : size[2]].reshape(
        size[0] // steps[0], steps[0], size[1] // steps[1], steps[1], size[2] // steps[2], steps[2]
    )
    share = np.pad(blocks.mean(axis=(1, 3, 5), dtype=np.float32), 1)
    yield
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(vtkImage(share))
    contour.SetValue(0, 0.5)
    contour.ComputeNormalsOff()
    contour.ComputeGradientsOff()
    contour.ComputeScalarsOff()
    smooth = vtk.vtkWindowedSincPolyDataFilter()
    smooth.SetNumberOfIterations(_SMOOTHING_STEPS)
    smooth.SetPassBand(_PASS_BAND)
    smooth.NormalizeCoordinatesOn()
    place = vtk.vtkTransformPolyDataFilter()
    place.SetTransform(_toRas(mask, grid, np.array(steps[::-1])))
    normals = vtk.vtkPolyDataNormals()
    normals.SplittingOff()
    normals.AutoOrientNormalsOn()  # left-handed lattices turn triangles over
    contour.Update()
    surface = contour.GetOutput()
    for step in (smooth, place, normals):
        yield
        step.SetInputData(surface)
        step.Update()
        surface = step.GetOutput()
    yield
    return surface


def _toRas(mask: SegmentMask, grid: Grid, steps: Any) -> Any:
    """From the joined voxels' indices to RAS: a rim of one of them, one padding voxel, and half a step more."""
    toIjk = np.diag([*steps.astype(float), 1.0])
    toIjk[:3, 3] = np.array(mask.start[::-1]) - 1 + (steps - 1) / 2 - steps
    transform = vtk.vtkTransform()
    transform.SetMatrix(vtkMatrix(grid.ijk_to_ras @ toIjk))
    return transform
