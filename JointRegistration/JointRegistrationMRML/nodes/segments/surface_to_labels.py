"""Closed surfaces as label maps: Slicer's own conversion, slice by slice, so that a window stays alive meanwhile.

Slicer converts a whole surface at once, which takes 0.5 s for 200,000 triangles. Its lattice is asked for with a
stand-in of two triangles; then the same filters that it uses fill that lattice in steps.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import slicer
import vtk

from ...pauses import inSteps
from ..arrays import numpyView

CLOSED_SURFACE = "Closed surface"  # Slicer's name; its getter is not in every version's Python
_BINARY_LABELMAP = "Binary labelmap"
_OVERSAMPLING = "Oversampling factor"
_AUTOMATIC = "A"


def canBeStepped(segmentation: Any) -> bool:
    """Return whether :func:`surfaceLabelSteps` gives what Slicer would: automatic oversampling needs it whole."""
    inSurfaces = segmentation.GetSourceRepresentationName() == CLOSED_SURFACE
    return bool(inSurfaces and segmentation.GetConversionParameter(_OVERSAMPLING) != _AUTOMATIC)


def surfaceLabelSteps(segmentation: Any, segmentId: str) -> Generator[None, None, Any]:
    """One segment as a label map of its own, with pauses.

    Args:
        segmentation: ``vtkSegmentation`` whose source is closed surfaces; it is not changed.
        segmentId: which segment.

    Returns:
        ``vtkOrientedImageData``, 1 inside, just as large as the surface; None if the surface is empty.
    """
    surface = segmentation.GetSegment(segmentId).GetRepresentation(CLOSED_SURFACE)
    image = None if surface is None else _emptyLattice(segmentation, surface)
    if image is None:
        return None
    yield
    prepared = yield from _preparedSteps(surface, image)
    yield from _fillSteps(prepared, image)
    return image


def _emptyLattice(segmentation: Any, surface: Any) -> Any:
    """The label map that Slicer would make of the surface, all 0; None if it would make none.

    It depends on where the points are and on the settings of the segmentation, not on the triangles.
    """
    if surface.GetNumberOfPoints() < 2 or surface.GetNumberOfCells() < 2:
        return None
    triangles = vtk.vtkCellArray()
    for _ in range(2):
        triangles.InsertNextCell(3)
        for _ in range(3):
            triangles.InsertCellPoint(0)
    standIn = vtk.vtkPolyData()
    standIn.SetPoints(surface.GetPoints())
    standIn.SetPolys(triangles)
    segment = slicer.vtkSegment()
    segment.AddRepresentation(CLOSED_SURFACE, standIn)
    single = slicer.vtkSegmentation()
    single.SetSourceRepresentationName(CLOSED_SURFACE)
    single.CopyConversionParameters(segmentation)
    single.AddSegment(segment, "stand-in")
    if not single.CreateRepresentation(_BINARY_LABELMAP):
        return None
    image = segment.GetRepresentation(_BINARY_LABELMAP)
    return image if image.GetNumberOfPoints() > 0 else None


def _preparedSteps(surface: Any, image: Any) -> Generator[None, None, Any]:
    """The surface in the indices of ``image``, as strips of triangles that all turn the same way."""
    toIndices = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(toIndices)
    toIndices.Invert()
    transform = vtk.vtkTransform()
    transform.SetMatrix(toIndices)
    moved, normals = vtk.vtkTransformPolyDataFilter(), vtk.vtkPolyDataNormals()
    moved.SetTransform(transform)
    normals.ConsistencyOn()
    for step in (moved, normals, vtk.vtkTriangleFilter(), vtk.vtkStripper()):
        step.SetInputData(surface)
        step.Update()
        surface = step.GetOutput()
        yield
    return surface


def _fillSteps(surface: Any, image: Any) -> Generator[None, None, None]:
    """1 in ``image`` where a voxel's centre is inside of the surface, which lies in its indices."""
    stencil, toImage = vtk.vtkPolyDataToImageStencil(), vtk.vtkImageStencilToImage()
    stencil.SetInputData(surface)
    stencil.SetOutputSpacing(1, 1, 1)
    stencil.SetOutputOrigin(0, 0, 0)
    toImage.SetInputConnection(stencil.GetOutputPort())
    toImage.SetInsideValue(1)
    toImage.SetOutsideValue(0)
    toImage.SetOutputScalarTypeToUnsignedChar()
    voxels, (*inPlane, first, _last) = numpyView(image), image.GetExtent()

    def fill(part: slice) -> None:
        stencil.SetOutputWholeExtent(*inPlane, first + part.start, first + part.stop - 1)
        toImage.Update()
        voxels[part] = numpyView(toImage.GetOutput())

    yield from inSteps(len(voxels), fill)
