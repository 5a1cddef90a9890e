"""Segmentation nodes as label maps on lattices of their own: what is there before anything is carried.

Segments that do not overlap share a layer, in Slicer as here. The node given is not changed: surfaces are turned
into label maps beside it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.lattices.sampling import LabelMap, Labels
from JointRegistrationLib.core.lattices.segments import SegmentLabel, SegmentLayers

from ...mrml import SegmentationNode, TransformNode
from ...translation import _
from ..arrays import gridOf, numpyMatrix, numpyView
from ..world import transformPoints, worldTransform
from .surface_to_labels import canBeStepped, surfaceLabelSteps

_Layer = tuple[tuple[str, ...], Labels, Grid]  # the segments' ids, their labels, and the lattice in the node's space
BINARY_LABELMAP = "Binary labelmap"  # Slicer's name; its getter is not in every version's Python


def ownLayerSteps(
    node: SegmentationNode, segmentIds: Sequence[str] | None = None, leftOut: TransformNode | None = None
) -> Generator[None, None, SegmentLayers]:
    """The segments of ``node`` on their own lattices, with pauses in which a window stays alive.

    Args:
        node: segmentation node; any source representation.
        segmentIds: which segments; None for all.
        leftOut: a transform node to leave out, see :func:`.world.worldTransform`.

    Raises:
        InputError: if the node is no segmentation, has no such segment, or one that cannot be read.
    """
    name = checkSegmentation(node)
    wanted = _wantedSegments(node, name, segmentIds)
    above = worldTransform(node, leftOut)
    fromWorld = None if above is None or above.matrix is None else np.asarray(np.linalg.inv(above.matrix), float)
    layers: list[LabelMap] = []
    segments: list[SegmentLabel] = []
    names = segmentNames(node.GetSegmentation())
    for inLayer, labels, grid in (yield from _layerSteps(node.GetSegmentation(), name, wanted)):
        for value, segmentId in enumerate(inLayer, start=1):
            color = tuple(node.GetSegmentation().GetSegment(segmentId).GetColor())
            segments.append(SegmentLabel(segmentId, names[segmentId], color, len(layers), value))
        layers.append(LabelMap(labels, grid, fromWorld))
    segments.sort(key=lambda segment: wanted.index(segment.segment_id))
    if above is None or above.matrix is not None:
        return SegmentLayers(tuple(layers), tuple(segments))
    return SegmentLayers(tuple(layers), tuple(segments), lambda points: transformPoints(above.fromWorld, points))


def segmentNames(segmentation: Any) -> dict[str, str]:
    """Return each segment's name, by id, with a number where an earlier one has the same.

    So segments of one name stay apart, and the second of two lists is compared with the second. One without a name
    goes by its id.
    """
    names: dict[str, str] = {}
    for segmentId in segmentation.GetSegmentIDs():
        plain = name = segmentation.GetSegment(segmentId).GetName() or segmentId
        count = 1
        while name in names.values():
            count += 1
            name = f"{plain} ({count})"
        names[segmentId] = name
    return names


def checkSegmentation(node: SegmentationNode | None) -> str:
    """The node's name, after making sure that it is a segmentation with segments.

    Raises:
        InputError: otherwise.
    """
    if node is None or not node.IsA("vtkMRMLSegmentationNode"):
        raise InputError(_("segmentation: a segmentation is needed; import a label map as one first"))
    if node.GetSegmentation().GetNumberOfSegments() == 0:
        raise InputError(_("{name}: the segmentation has no segments").format(name=node.GetName()))
    return str(node.GetName())


def _wantedSegments(node: SegmentationNode, name: str, segmentIds: Sequence[str] | None) -> list[str]:
    segmentation = node.GetSegmentation()
    known = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    if segmentIds is None:
        return known
    unknown = [segmentId for segmentId in segmentIds if segmentId not in known]
    if unknown:
        raise InputError(f"{name}: there is no segment {unknown[0]!r}; known are {', '.join(known)}")
    return [segmentId for segmentId in known if segmentId in segmentIds]


def _layerSteps(own: Any, name: str, wanted: list[str]) -> Generator[None, None, list[_Layer]]:
    """The wanted segments of a ``vtkSegmentation``. One shared layer is read where it is."""
    segmentation = own
    if not own.ContainsRepresentation(BINARY_LABELMAP) or own.GetNumberOfLayers(BINARY_LABELMAP) > 1:
        segmentation = yield from _labelMapSteps(own, name, wanted)
    layers = []
    for index in range(segmentation.GetNumberOfLayers(BINARY_LABELMAP)):
        image = segmentation.GetLayerDataObject(index, BINARY_LABELMAP)
        inLayer = segmentation.GetSegmentIDsForLayer(index, BINARY_LABELMAP)
        segmentIds = tuple(segmentId for segmentId in inLayer if segmentId in wanted)
        values = [segmentation.GetSegment(segmentId).GetLabelValue() for segmentId in segmentIds]
        layers.append((segmentIds, *_padded(image, values, name)))
        yield
    if segmentation is not own:
        segmentation.RemoveRepresentation(BINARY_LABELMAP)  # or each segment would be erased from it, voxel by voxel
    return layers


def _labelMapSteps(own: Any, name: str, wanted: list[str]) -> Generator[None, None, Any]:
    """The wanted segments as label maps in a ``vtkSegmentation`` of their own; those that do not overlap share one."""
    if own.ContainsRepresentation(BINARY_LABELMAP) or not canBeStepped(own):
        copy = _convertedCopy(own, name, wanted)
    else:
        copy = slicer.vtkSegmentation()
        copy.SetSourceRepresentationName(BINARY_LABELMAP)
        for segmentId in wanted:
            image = yield from surfaceLabelSteps(own, segmentId)
            segment = slicer.vtkSegment()
            segment.AddRepresentation(BINARY_LABELMAP, image or slicer.vtkOrientedImageData())
            copy.AddSegment(segment, segmentId)
    yield
    copy.CollapseBinaryLabelmaps(False)
    yield
    return copy


def _convertedCopy(own: Any, name: str, wanted: list[str]) -> Any:
    copy = slicer.vtkSegmentation()
    copy.SetSourceRepresentationName(own.GetSourceRepresentationName())
    copy.DeepCopy(own)
    for segmentId in list(copy.GetSegmentIDs()):
        if segmentId not in wanted:
            copy.RemoveSegment(segmentId)
    if not copy.CreateRepresentation(BINARY_LABELMAP):
        text = _("{name}: its segments cannot be turned into label maps; check them in Segment Editor")
        raise InputError(text.format(name=name))
    return copy


def _padded(image: Any, values: list[int], name: str) -> tuple[Labels, Grid]:
    """Labels 1, 2, ... with a rim of background, so that interpolation ends as softly at the edge as inside."""
    first = np.asarray(image.GetExtent()[::2], dtype=float)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    if image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        stored, first = np.zeros((1, 1, 1), np.uint8), np.zeros(3)  # all its segments are empty
    else:
        stored = numpyView(image)
    kind = np.uint8 if len(values) < 255 else np.uint16  # the largest value is kept free
    labels = np.zeros(tuple(size + 2 for size in stored.shape), kind)
    labels[1:-1, 1:-1, 1:-1] = _numbered(stored, values, kind)
    shift = np.eye(4)
    shift[:3, 3] = first - 1
    size = (labels.shape[2], labels.shape[1], labels.shape[0])
    return labels, gridOf(name, size, numpyMatrix(matrix) @ shift)


def _numbered(stored: npt.NDArray[Any], values: list[int], kind: type) -> npt.NDArray[Any]:
    """1, 2, ... where the first, second, ... of ``values`` is stored, 0 elsewhere."""
    largest = int(stored.max())
    if stored.dtype.kind == "u" and values == list(range(1, largest + 1)):
        return stored.astype(kind)  # as most are
    number: npt.NDArray[Any] = np.zeros(max(largest, *values) + 1, kind)
    number[values] = np.arange(1, len(values) + 1)
    return np.asarray(number[np.maximum(stored, 0)])
