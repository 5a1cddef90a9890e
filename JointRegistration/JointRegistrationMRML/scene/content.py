"""What a node holds, in a form that can be compared with what it held before."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import vtk

from ..mrml import TransformNode
from ..nodes.arrays import numpyMatrix, numpyView


def contentState(node: Any) -> tuple[Any, ...]:
    """Something that differs after ``node``'s voxels, transform, segments or table were edited.

    What changes how a node looks, is called or stands in the scene does not change it. VTK counts
    modifications over all objects, so equal times mean the same object in the same state.
    """
    if node.IsA("vtkMRMLVolumeNode"):
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        image = node.GetImageData()
        return (0 if image is None else image.GetMTime(), *numpyMatrix(matrix).ravel())
    if node.IsA("vtkMRMLTransformNode"):
        return _transformState(node)
    if node.IsA("vtkMRMLSegmentationNode"):
        return _segmentationState(node.GetSegmentation())
    if node.IsA("vtkMRMLTableNode"):
        return _tableState(node.GetTable())
    return ()


def _tableState(table: Any) -> tuple[Any, ...]:
    """Names and values: a table's content is copied, so that its time says nothing once it was restored."""
    columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())]
    values = (column.GetVariantValue(row).ToString() for column in columns for row in range(table.GetNumberOfRows()))
    return (*(column.GetName() for column in columns), *values)


def _transformState(node: TransformNode) -> tuple[Any, ...]:
    """A grid's or a matrix's state; other kinds are not told apart."""
    if node.IsLinear():
        matrix = vtk.vtkMatrix4x4()
        node.GetMatrixTransformToParent(matrix)
        return ("linear", *numpyMatrix(matrix).ravel())
    for side in (node.GetTransformFromParentAs, node.GetTransformToParentAs):
        grid = side("vtkOrientedGridTransform", False, True)
        if grid is not None and grid.GetDisplacementGrid() is not None:
            return ("grid", grid.GetDisplacementGrid().GetMTime())
    return ("other",)


def _segmentationState(segmentation: Any) -> tuple[Any, ...]:
    """Checksums of the label maps without their empty rim, which saving crops."""
    kind = segmentation.GetSourceRepresentationName()
    layers: dict[Any, Any] = {}
    state = []
    for segmentId in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentId)
        data = segment.GetRepresentation(kind)
        if data is not None and data not in layers:
            layers[data] = _labelsState(data) if data.IsA("vtkImageData") else data.GetMTime()
        state.append((segmentId, segment.GetLabelValue(), layers.get(data)))
    return tuple(state)


def _labelsState(image: Any) -> tuple[int, ...]:
    if image.GetPointData().GetScalars() is None:
        return ()
    labels = numpyView(image)
    start = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        used = np.flatnonzero(labels.any(axis=others))
        if used.size == 0:
            return ()
        first, last = int(used[0]), int(used[-1]) + 1
        labels = labels[(slice(None),) * axis + (slice(first, last),)]
        start.append(first + image.GetExtent()[2 * (2 - axis)])
    return (*start, *labels.shape, zlib.crc32(np.ascontiguousarray(labels).data))
