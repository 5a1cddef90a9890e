"""What is wrong about landmarks, masks and segmentations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from JointRegistrationLib.core.errors import GeometryError, InputError

from ..mrml import SegmentationNode, VolumeNode
from ..nodes.points import pointIndices
from ..nodes.segments.layers import BINARY_LABELMAP
from ..nodes.segments.masks import segmentIdOf
from ..nodes.volumes import checkVolume
from ..nodes.world import ownGrid
from ..run.registration_nodes import InputNodes
from ..translation import _
from .problems import ERROR, Problem, sentence


def landmarkProblems(nodes: InputNodes) -> Iterator[Problem]:
    """Problems of the two point lists."""
    lists = {"fixed": nodes.fixedLandmarks, "moving": nodes.movingLandmarks}
    given = {which: node for which, node in lists.items() if node is not None}
    if len(given) == 1:
        yield Problem(ERROR, _("Choose points for both images, or for none."))
    if len(given) < 2:
        return
    counts = {which: len(pointIndices(node)) for which, node in given.items()}
    if counts["fixed"] != counts["moving"]:
        yield Problem(
            ERROR,
            _(
                "Points in {fixed}: {fixedCount}, in {moving}: {movingCount}. "
                "Give the same points in the same order in both."
            ).format(
                fixed=given["fixed"].GetName(),
                fixedCount=counts["fixed"],
                moving=given["moving"].GetName(),
                movingCount=counts["moving"],
            ),
        )
    for which, node in given.items():
        if counts[which] == 0:
            text = _("{name} has no points: place some, or choose no points.")
        elif node.GetNumberOfDefinedControlPoints() < counts[which]:
            text = _("{name} has a point that is not placed: place it or delete it.")
        else:
            continue
        yield Problem(ERROR, text.format(name=node.GetName()))


def maskProblems(which: str, mask: Any, segment: str, volume: VolumeNode | None) -> Iterator[Problem]:
    """Problems of the mask of the volume that is ``which``.

    Args:
        which: "fixed" or "moving".
        mask: label map, segmentation, or None.
        segment: id or name of the one segment of it that counts; empty for all.
        volume: None if it cannot be used itself.
    """
    if mask is None:
        return
    if mask.IsA("vtkMRMLSegmentationNode"):
        what = _("fixed mask") if which == "fixed" else _("moving mask")
        yield from _segmentProblems(what, mask, segment) if segment else segmentationProblems(what, mask)
        return
    try:
        name = checkVolume(mask)
    except InputError as error:
        yield Problem(ERROR, sentence(error))
        return
    if mask.GetImageData().GetScalarRange()[1] <= 0:
        text = (
            _("{name} is empty: a mask is 1 where the fixed volume should be compared.")
            if which == "fixed"
            else _("{name} is empty: a mask is 1 where the moving volume should be compared.")
        )
        yield Problem(ERROR, text.format(name=name))
    elif volume is not None and not _overlap(mask, volume):
        text = _("{name} lies beside {volume}: choose a mask that was drawn on it.")
        yield Problem(ERROR, text.format(name=name, volume=volume.GetName()))


def _overlap(mask: Any, volume: VolumeNode) -> bool:
    """Whether the mask's field of view has any of the volume's; where exactly its voxels are does not matter."""
    try:
        return ownGrid(mask).overlap(ownGrid(volume)) > 0
    except GeometryError:
        return False


def segmentationProblems(what: str, node: SegmentationNode | None) -> Iterator[Problem]:
    """Problems of a segmentation, which is ``what``; it may be None."""
    if node is None:
        return
    name = node.GetName()
    if not node.IsA("vtkMRMLSegmentationNode"):
        text = _("{name} is no segmentation: import the label map as one first.")
        yield Problem(ERROR, text.format(name=name))
        return
    segmentation = node.GetSegmentation()
    if segmentation.GetNumberOfSegments() == 0:
        text = _("{name} has no segments: choose another {what}, or none.")
        yield Problem(ERROR, text.format(name=name, what=what))
    elif not any(_holdsSomething(segmentation.GetSegment(segmentId)) for segmentId in segmentation.GetSegmentIDs()):
        text = _("All segments of {name} are empty: choose another {what}, or none.")
        yield Problem(ERROR, text.format(name=name, what=what))


def _segmentProblems(what: str, node: SegmentationNode, segment: str) -> Iterator[Problem]:
    """Problems of one segment of a segmentation, which is ``what``."""
    try:
        chosen = node.GetSegmentation().GetSegment(segmentIdOf(node, segment))
    except InputError:
        text = _("The segment that was chosen as {what} is not in {name} any more: choose another, or all.")
        yield Problem(ERROR, text.format(what=what, name=node.GetName()))
        return
    if not _holdsSomething(chosen):
        text = _("{segment} of {name} is empty: choose another segment as {what}, or all.")
        yield Problem(ERROR, text.format(segment=chosen.GetName(), name=node.GetName(), what=what))


def _holdsSomething(segment: Any) -> bool:
    """Whether a segment has a surface, or a voxel of its own value within its label map."""
    labels = segment.GetRepresentation(BINARY_LABELMAP)
    if labels is None:
        bounds = [0.0] * 6
        segment.GetBounds(bounds)
        return bounds[0] <= bounds[1]
    scalars = labels.GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        return False
    return bool(labels.GetScalarRange()[1] >= segment.GetLabelValue())
