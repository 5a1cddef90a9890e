"""Segmentation nodes as label maps, carried through a map, and back.

A layer (see :mod:`.layers`) is carried as a whole, so that neighbours that touch still touch; layers are
independent, so that overlapping segments stay whole. Nothing is hardened and the node given is not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer

from JointRegistrationLib.core.geometry import FloatArray, Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.sampling import LabelMap, Labels, LabelWarper
from JointRegistrationLib.core.lattices.segments import SegmentLayers
from JointRegistrationLib.core.progress import finished

from ...mrml import SegmentationNode, TransformNode
from ...pauses import inParallel, inSteps, inThread
from ..arrays import newNode, vtkImage, vtkMatrix
from .layers import BINARY_LABELMAP, ownLayerSteps

_FIRST_ROWS = 16


def labelsFromSegmentation(
    node: SegmentationNode, grid: Grid, segmentIds: Sequence[str] | None = None, leftOut: TransformNode | None = None
) -> SegmentLayers:
    """The segments of ``node``, transforms above it included, on a world ``grid``.

    Args:
        node: segmentation node; any source representation.
        grid: where the labels are wanted. Each label is interpolated linearly and thresholded.
        segmentIds: which segments; None for all.
        leftOut: a transform node to leave out, see :func:`.world.worldTransform`.

    Raises:
        InputError: if the node is no segmentation or has no such segment.
    """
    return finished(labelSteps(node, grid, None, segmentIds, leftOut))


def labelSteps(
    node: SegmentationNode,
    grid: Grid,
    displacementMm: npt.NDArray[Any] | None = None,
    segmentIds: Sequence[str] | None = None,
    leftOut: TransformNode | None = None,
) -> Generator[None, None, SegmentLayers]:
    """:func:`labelsFromSegmentation` with pauses, also of a *moving* segmentation through a map.

    Args:
        displacementMm: (k, j, i, 3) on the fixed ``grid``, fixed to moving, RAS mm; None for none.
    """
    own = yield from ownLayerSteps(node, segmentIds, leftOut)
    warped = []
    for layer in own.layers:
        warped.append(LabelMap((yield from warpLabelsSteps(layer, grid, displacementMm, own.bend)), grid))
    return SegmentLayers(tuple(warped), own.segments)


def warpLabelsSteps(
    source: LabelMap,
    grid: Grid,
    displacementMm: npt.NDArray[Any] | None = None,
    bend: Callable[[FloatArray], FloatArray] | None = None,
) -> Generator[None, None, Labels]:
    """Warp a label map onto another grid, with pauses; see :class:`.sampling.LabelWarper` for the arguments."""
    warper = LabelWarper(source, grid, displacementMm, bend)
    yield from inSteps(warper.prepare_count, warper.prepare)
    yield from inSteps(warper.fill_count, lambda rows: inParallel(warper.fill, warper.parts(rows)), _FIRST_ROWS)
    return warper.result


def segmentationFromLabels(labels: SegmentLayers, name: str) -> Any:
    """All of :func:`segmentationSteps` at once."""
    return finished(segmentationSteps(labels, name))


def segmentationSteps(
    labels: SegmentLayers, name: str, like: SegmentationNode | None = None
) -> Generator[None, None, Any]:
    """A new segmentation node, in no scene yet, with the ids, names and colours of ``labels``, with pauses.

    Args:
        labels: the segments; their grid becomes the reference geometry.
        name: of the node.
        like: the segmentation node they come from: its terminology and other tags are kept.
    """
    images = yield from inThread(lambda: [orientedImage(layer.labels, layer.grid) for layer in labels.layers])
    node = newNode("vtkMRMLSegmentationNode", name)
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(BINARY_LABELMAP)
    for label in labels.segments:
        segment = slicer.vtkSegment()
        if like is not None:
            segment.DeepCopyMetadata(like.GetSegmentation().GetSegment(label.segment_id))
        segment.SetName(label.name)
        segment.SetColor(*label.color)
        segment.SetLabelValue(label.value)
        segment.AddRepresentation(BINARY_LABELMAP, images[label.layer])
        segmentation.AddSegment(segment, label.segment_id)
    setReferenceGeometry(node, labels.grid)
    return node


def maskSegmentationSteps(
    mask: npt.NDArray[np.bool_], grid: Grid, name: str, color: tuple[float, float, float]
) -> Generator[None, None, Any]:
    """A new segmentation node of one segment, node and segment called ``name``, in no scene yet, with pauses."""
    labels = SegmentLayers.of(Image(mask.view(np.uint8), grid), {1: (name, color)})
    return (yield from segmentationSteps(labels, name))


def copiedSegments(segmentation: Any) -> Any:
    """A ``vtkSegmentation`` of its own with the same segments, in their source representation."""
    kind, copies = segmentation.GetSourceRepresentationName(), {}
    copy = slicer.vtkSegmentation()
    copy.SetSourceRepresentationName(kind)
    for segmentId in segmentation.GetSegmentIDs():
        segment, original = slicer.vtkSegment(), segmentation.GetSegment(segmentId)
        segment.DeepCopyMetadata(original)
        segment.SetLabelValue(original.GetLabelValue())
        data = original.GetRepresentation(kind)
        if data is not None:
            if data not in copies:  # segments may share a label map
                copies[data] = data.NewInstance()
                copies[data].DeepCopy(data)
            segment.AddRepresentation(kind, copies[data])
        copy.AddSegment(segment, segmentId)
    return copy


def setReferenceGeometry(node: SegmentationNode, grid: Grid) -> None:
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
