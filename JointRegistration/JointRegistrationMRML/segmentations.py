"""Segmentation nodes as label maps, carried through a map, and back.

Segments that do not overlap share a layer, in Slicer as here. A layer is carried as a whole, so that
neighbours that touch still touch; layers are independent, so that overlapping segments stay whole.
Nothing is hardened and the node given is not changed: a surface-only segmentation is turned into label
maps in a copy.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk

from JointRegistrationLib.errors import InputError
from JointRegistrationLib.geometry import Grid
from JointRegistrationLib.image import Image

from .carried import carriedSteps
from .nodes import gridOf, newNode, numpyMatrix, numpyView, vtkImage, vtkMatrix, worldTransform
from .steps import finished
from .translation import _

BINARY_LABELMAP = "Binary labelmap"  # Slicer's name; its getter is not in every version's Python


@dataclass(frozen=True)
class SegmentLabel:
    """One segment: its id in the node, name, colour (RGB, 0..1), layer, and value in that layer."""

    segmentId: str
    name: str
    color: tuple[float, float, float]
    layer: int
    value: int


@dataclass(frozen=True)
class LabelLayers:
    """A segmentation on one grid: non-overlapping segments share a label map.

    ``layers`` are (k, j, i) unsigned integers on ``grid``; 0 is background.
    """

    grid: Grid
    layers: tuple[npt.NDArray[Any], ...]
    segments: tuple[SegmentLabel, ...]


@dataclass(frozen=True)
class _Layer:
    """A layer on its own lattice, which lies in the segmentation node's coordinates."""

    labels: npt.NDArray[Any]
    grid: Grid
    segmentIds: tuple[str, ...]


def labelsFromSegmentation(
    node: Any, grid: Grid, segmentIds: Sequence[str] | None = None, below: Any = None
) -> LabelLayers:
    """The segments of ``node``, transforms above it included, on a world ``grid``.

    Args:
        node: segmentation node; any source representation.
        grid: where the labels are wanted. Each label is interpolated linearly and thresholded.
        segmentIds: which segments; None for all.
        below: a transform node to leave out, see :func:`.nodes.worldTransform`.

    Raises:
        InputError: if the node is no segmentation or has no such segment.
    """
    return finished(labelSteps(node, grid, None, segmentIds, below))


def labelSteps(
    node: Any,
    grid: Grid,
    displacementMm: npt.NDArray[Any] | None = None,
    segmentIds: Sequence[str] | None = None,
    below: Any = None,
) -> Generator[None, None, LabelLayers]:
    """:func:`labelsFromSegmentation`, or :func:`warpSegmentation`, with pauses in which a window stays alive."""
    name = checkSegmentation(node)
    wanted = _wantedSegments(node, name, segmentIds)
    above = worldTransform(node, below)
    layers, segments = [], []
    for index, layer in enumerate(_ownLayers(node, name, wanted)):
        yield
        layers.append((yield from carriedSteps(layer.labels, layer.grid, grid, displacementMm, above)))
        for value, segmentId in enumerate(layer.segmentIds, start=1):
            segment = node.GetSegmentation().GetSegment(segmentId)
            segments.append(SegmentLabel(segmentId, segment.GetName(), tuple(segment.GetColor()), index, value))
    segments.sort(key=lambda segment: wanted.index(segment.segmentId))
    return LabelLayers(grid, tuple(layers), tuple(segments))


def warpSegmentation(
    node: Any,
    displacementMm: npt.NDArray[Any],
    grid: Grid,
    segmentIds: Sequence[str] | None = None,
    below: Any = None,
) -> LabelLayers:
    """The segments of a *moving* segmentation on the fixed ``grid``.

    Args:
        node: segmentation node, in the moving image's world.
        displacementMm: (k, j, i, 3) on ``grid``, fixed to moving, RAS mm.
        grid: the fixed lattice.
        segmentIds: which segments; None for all.
        below: a transform node to leave out, see :func:`.nodes.worldTransform`.

    Raises:
        InputError: as :func:`labelsFromSegmentation`.
    """
    return finished(labelSteps(node, grid, displacementMm, segmentIds, below))


def imageFromLabels(labels: LabelLayers, name: str) -> tuple[Image, tuple[SegmentLabel, ...]]:
    """One label map of all layers; where segments overlap, the later segment wins.

    Returns:
        The label map (16-bit), and the segments with their value in it, 1, 2, ... in the node's order.
    """
    merged = np.zeros(labels.grid.shape, np.uint16)
    segments = []
    for value, segment in enumerate(labels.segments, start=1):
        merged[labels.layers[segment.layer] == segment.value] = value
        segments.append(SegmentLabel(segment.segmentId, segment.name, segment.color, 0, value))
    return Image(merged, labels.grid, name), tuple(segments)


def segmentationFromLabels(labels: LabelLayers, name: str, like: Any = None) -> Any:
    """A new segmentation node, in no scene yet, with the ids, names and colours of ``labels``.

    Args:
        labels: the segments; their grid becomes the reference geometry.
        name: of the node.
        like: the segmentation node they come from: its terminology and other tags are kept.
    """
    node = newNode("vtkMRMLSegmentationNode", name)
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(BINARY_LABELMAP)
    images = [orientedImage(layer, labels.grid) for layer in labels.layers]
    for label in labels.segments:
        segment = slicer.vtkSegment()
        if like is not None:
            segment.DeepCopyMetadata(like.GetSegmentation().GetSegment(label.segmentId))
        segment.SetName(label.name)
        segment.SetColor(*label.color)
        segment.SetLabelValue(label.value)
        segment.AddRepresentation(BINARY_LABELMAP, images[label.layer])
        segmentation.AddSegment(segment, label.segmentId)
    setReferenceGeometry(node, labels.grid)
    return node


def maskSegmentation(mask: npt.NDArray[np.bool_], grid: Grid, name: str, color: tuple[float, float, float]) -> Any:
    """A new segmentation node of one segment, node and segment called ``name``, in no scene yet."""
    label = SegmentLabel(name, name, color, 0, 1)
    return segmentationFromLabels(LabelLayers(grid, (mask.astype(np.uint8),), (label,)), name)


def setReferenceGeometry(node: Any, grid: Grid) -> None:
    """Make ``grid`` the lattice on which Slicer edits and exports the segmentation."""
    empty = slicer.vtkOrientedImageData()
    empty.SetDimensions(*grid.size_ijk)
    empty.SetImageToWorldMatrix(vtkMatrix(grid.ijk_to_ras))
    geometry = slicer.vtkSegmentationConverter.SerializeImageGeometry(empty)
    parameter = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    node.GetSegmentation().SetConversionParameter(parameter, geometry)


def orientedImage(array: npt.NDArray[Any], grid: Grid) -> Any:
    """A label array (k, j, i) as ``vtkOrientedImageData``, the form in which segments hold voxels."""
    image = vtkImage(array, slicer.vtkOrientedImageData())
    image.SetImageToWorldMatrix(vtkMatrix(grid.ijk_to_ras))
    return image


def checkSegmentation(node: Any) -> str:
    """The node's name, after making sure that it is a segmentation with segments.

    Raises:
        InputError: otherwise.
    """
    if node is None or not node.IsA("vtkMRMLSegmentationNode"):
        raise InputError(_("segmentation: a segmentation is needed; import a label map as one first"))
    if node.GetSegmentation().GetNumberOfSegments() == 0:
        raise InputError(_("{name}: the segmentation has no segments").format(name=node.GetName()))
    return node.GetName()


def _wantedSegments(node: Any, name: str, segmentIds: Sequence[str] | None) -> list[str]:
    segmentation = node.GetSegmentation()
    known = [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]
    if segmentIds is None:
        return known
    unknown = [segmentId for segmentId in segmentIds if segmentId not in known]
    if unknown:
        raise InputError(f"{name}: there is no segment {unknown[0]!r}; known are {', '.join(known)}")
    return [segmentId for segmentId in known if segmentId in segmentIds]


def _ownLayers(node: Any, name: str, wanted: list[str]) -> Iterator[_Layer]:
    """The wanted segments as few label maps, values 1, 2, ... in each. One shared layer is read where it is."""
    segmentation = node.GetSegmentation()
    asItIs = segmentation.ContainsRepresentation(BINARY_LABELMAP)
    if not asItIs or segmentation.GetNumberOfLayers(BINARY_LABELMAP) > 1:
        segmentation = _asLabelMaps(segmentation, name, wanted)
    for index in range(segmentation.GetNumberOfLayers(BINARY_LABELMAP)):
        image = segmentation.GetLayerDataObject(index, BINARY_LABELMAP)
        inLayer = segmentation.GetSegmentIDsForLayer(index, BINARY_LABELMAP)
        segmentIds = tuple(segmentId for segmentId in inLayer if segmentId in wanted)
        values = [segmentation.GetSegment(segmentId).GetLabelValue() for segmentId in segmentIds]
        yield _paddedLayer(image, values, segmentIds, name)
    if segmentation is not node.GetSegmentation():
        segmentation.RemoveRepresentation(BINARY_LABELMAP)  # or each segment would be erased from it, voxel by voxel


def _asLabelMaps(segmentation: Any, name: str, wanted: list[str]) -> Any:
    """A copy of the wanted segments as label maps; those that do not overlap share one."""
    copy = slicer.vtkSegmentation()
    copy.SetSourceRepresentationName(segmentation.GetSourceRepresentationName())
    copy.DeepCopy(segmentation)
    for segmentId in list(copy.GetSegmentIDs()):
        if segmentId not in wanted:
            copy.RemoveSegment(segmentId)
    if not copy.CreateRepresentation(BINARY_LABELMAP):
        text = _("{name}: its segments cannot be turned into label maps; check them in Segment Editor")
        raise InputError(text.format(name=name))
    copy.CollapseBinaryLabelmaps(False)
    return copy


def _paddedLayer(image: Any, values: list[int], segmentIds: tuple[str, ...], name: str) -> _Layer:
    """One layer with a rim of background, so that interpolation ends as softly at the edge as inside."""
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
    return _Layer(labels, gridOf(name, size, numpyMatrix(matrix) @ shift), segmentIds)


def _numbered(stored: npt.NDArray[Any], values: list[int], kind: type) -> npt.NDArray[Any]:
    """1, 2, ... where the first, second, ... of ``values`` is stored, 0 elsewhere."""
    largest = int(stored.max())
    if stored.dtype.kind == "u" and values == list(range(1, largest + 1)):
        return stored.astype(kind)  # as most are
    number = np.zeros(max(largest, *values) + 1, kind)
    number[values] = np.arange(1, len(values) + 1)
    return number[np.maximum(stored, 0)]
