"""Surfaces of label masks that are to be measured, and nearest points, computed by VTK.

A mask's stairs are smoothed by a Gaussian before its surface is taken at one half. A thick solid keeps its
surface that way; a sheet of 2 voxels grows thinner by 0.02 voxels, and one of a single voxel vanishes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk
from vtk.util import numpy_support

from JointRegistrationLib.core.geometry import Grid, transform_points

from ..nodes.arrays import vtkImage
from ..pauses import inSteps

SMOOTHING_VOXELS = 0.8
_SMOOTHING_RADIUS = 3.0  # standard deviations
_NEAR, _INDEX = "near", "index"

Points = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Surface:
    """A triangle mesh in RAS mm.

    Args:
        points: (n, 3).
        triangles: (m, 3) indices of points.
        inward: (n, 3) unit vectors into the mask.
        near: (n,) share of another mask around each point, 0 to 1; see :func:`surfaceSteps`.
    """

    points: Points
    triangles: npt.NDArray[np.int64]
    inward: Points
    near: npt.NDArray[np.float32]

    def areas(self) -> Points:
        """(n,) mm^2 for which each point stands: a third of each of its triangles."""
        a, b, c = (self.points[corner] for corner in self.triangles.T)
        area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
        return np.bincount(self.triangles.ravel(), np.repeat(area, 3), len(self.points)).astype(np.float64)

    def part(self, wanted: Mask) -> tuple[Surface, npt.NDArray[np.int64]]:
        """The triangles all of whose points are ``wanted`` (n,), and which points they keep, in their new order."""
        triangles = self.triangles[wanted[self.triangles].all(axis=1)]
        kept, renumbered = np.unique(triangles, return_inverse=True)
        part = Surface(self.points[kept], renumbered.reshape(-1, 3), self.inward[kept], self.near[kept])
        return part, kept


def noSurface() -> Surface:
    """A surface without points."""
    return Surface(np.zeros((0, 3)), np.zeros((0, 3), np.int64), np.zeros((0, 3)), np.zeros(0, np.float32))


def surfaceSteps(mask: Mask, grid: Grid, other: Mask | None = None) -> Generator[None, None, Surface]:
    """The surface of a mask; open where the mask ends at the border of the grid. With pauses.

    Args:
        mask: (k, j, i) on ``grid``.
        grid: any, left-handed ones included.
        other: a second mask, whose smoothed values on the surface become :attr:`Surface.near`.
    """
    yield
    image = _smoothed(mask)
    yield
    if other is not None:
        near = _smoothed(other).GetPointData().GetScalars()
        near.SetName(_NEAR)
        image.GetPointData().AddArray(near)
        yield
    edges = vtk.vtkFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, 0.5)
    edges.ComputeNormalsOff()
    edges.ComputeScalarsOff()
    edges.ComputeGradientsOn()
    edges.SetInterpolateAttributes(other is not None)
    edges.Update()
    yield
    return _surface(edges.GetOutput(), grid)


def nearestPoints(points: Points, among: Points) -> npt.NDArray[np.int64]:
    """For each of ``points`` (n, 3) the index of the nearest of ``among`` (m, 3), m > 0."""
    source = polyData(among)
    index = numpy_support.numpy_to_vtk(np.arange(len(among), dtype=np.float64), deep=True)
    index.SetName(_INDEX)
    source.GetPointData().AddArray(index)
    interpolator = vtk.vtkPointInterpolator()  # copies each point's nearest neighbour's values, in threads
    interpolator.SetKernel(vtk.vtkVoronoiKernel())
    interpolator.SetInputData(polyData(points))
    interpolator.SetSourceData(source)
    interpolator.Update()
    found = interpolator.GetOutput().GetPointData().GetArray(_INDEX)
    return np.array(numpy_support.vtk_to_numpy(found), np.int64)


def polyData(points: Points, triangles: npt.NDArray[np.int64] | None = None) -> Any:
    """``vtkPolyData`` of points (n, 3) and triangles (m, 3)."""
    result, container = vtk.vtkPolyData(), vtk.vtkPoints()
    container.SetDataTypeToDouble()
    container.SetData(numpy_support.numpy_to_vtk(np.ascontiguousarray(points, dtype=np.float64), deep=True))
    result.SetPoints(container)
    if triangles is not None:
        corners = np.ascontiguousarray(triangles.ravel(), dtype=np.int64)
        cells = vtk.vtkCellArray()
        cells.SetData(3, numpy_support.numpy_to_vtk(corners, deep=True, array_type=vtk.VTK_ID_TYPE))
        result.SetPolys(cells)
    return result


def _smoothed(mask: Mask) -> Any:
    """The mask as VTK image in index coordinates, smoothed."""
    gaussian = vtk.vtkImageGaussianSmooth()
    gaussian.SetInputData(vtkImage(mask.astype(np.float32)))
    gaussian.SetStandardDeviations(*[SMOOTHING_VOXELS] * 3)
    gaussian.SetRadiusFactors(*[_SMOOTHING_RADIUS] * 3)
    gaussian.Update()
    return gaussian.GetOutput()


def _surface(mesh: Any, grid: Grid) -> Surface:
    count = mesh.GetNumberOfPoints()
    if count == 0:
        return noSurface()
    data = mesh.GetPointData()
    index = numpy_support.vtk_to_numpy(mesh.GetPoints().GetData()).astype(np.float64)
    cells = numpy_support.vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).astype(np.int64)
    inward = _gradient(data) @ grid.ras_to_ijk[:3, :3]  # a gradient goes with the inverse transpose of the matrix
    inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-12)
    near = data.GetArray(_NEAR)
    share = np.zeros(count, np.float32) if near is None else numpy_support.vtk_to_numpy(near).astype(np.float32)
    return Surface(transform_points(grid.ijk_to_ras, index), cells.reshape(-1, 3), inward, share)


def _gradient(data: Any) -> Points:
    arrays = [data.GetArray(index) for index in range(data.GetNumberOfArrays())]
    vectors = next(array for array in arrays if array.GetNumberOfComponents() == 3)
    return np.array(numpy_support.vtk_to_numpy(vectors), np.float64)


_POINTS = 20_000  # at least in a step: each step sorts the points that are searched


def distanceSteps(a: Mask, b: Mask, spacingMm: Sequence[float]) -> Generator[None, None, Points]:
    """From each surface voxel of a mask to the nearest one of the other, both directions: (n,) mm; with pauses.

    A surface voxel has a face neighbour outside the mask; beyond the lattice is outside.

    Args:
        a, b: (k, j, i) masks on one lattice.
        spacingMm: of the lattice, along i, j, k.
    """
    first = yield from _surfaceSteps(a, spacingMm)
    second = yield from _surfaceSteps(b, spacingMm)
    if len(first) == 0 or len(second) == 0:
        return np.zeros(0)
    found = []
    for points, among in ((first, second), (second, first)):
        distances = np.empty(len(points))

        def search(part: slice, points: Points = points, among: Points = among, into: Points = distances) -> None:
            into[part] = np.linalg.norm(points[part] - among[nearestPoints(points[part], among)], axis=1)

        yield from inSteps(len(points), search, least=_POINTS)
        found.append(distances)
    return np.concatenate(found)


def _surfaceSteps(mask: Mask, spacingMm: Sequence[float]) -> Generator[None, None, Points]:
    """(n, 3) mm along i, j, k."""
    places: list[Points] = []

    def collect(part: slice) -> None:
        low, high = max(0, part.start - 1), min(len(mask), part.stop + 1)
        block = np.pad(mask[low:high], [(part.start == 0, part.stop == len(mask)), (1, 1), (1, 1)])
        middle = block[1:-1, 1:-1, 1:-1]
        inner = block[:-2, 1:-1, 1:-1] & block[2:, 1:-1, 1:-1]
        for axis in (1, 2):
            for shift in (slice(None, -2), slice(2, None)):
                index = [slice(1, -1)] * 3
                index[axis] = shift
                inner &= block[tuple(index)]
        found = np.argwhere(middle & ~inner)
        found[:, 0] += part.start
        places.append(found[:, ::-1] * np.asarray(spacingMm))

    yield from inSteps(len(mask), collect, least=8)
    return np.concatenate(places)
