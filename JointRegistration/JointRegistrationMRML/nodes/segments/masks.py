"""Segments as masks on a lattice: of a registration, whole; of a view, cut to their bounding box, to open quickly.

For a view, a segment that is stored on the lattice already, as most are, is read as it is; another one is
interpolated (see :mod:`.segmentations`).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid

from ...mrml import SegmentationNode, TransformNode
from ...pauses import inSteps
from ...translation import _
from ..arrays import numpyMatrix, numpyView
from ..world import worldTransform
from .layers import BINARY_LABELMAP, checkSegmentation, segmentNames
from .segmentations import labelsFromSegmentation, labelSteps

_SAME_LATTICE_VOXELS = 1e-3


@dataclass(frozen=True)
class SegmentMask:
    """One segment. ``voxels`` (k, j, i) is the part of the lattice that begins at ``start`` (k, j, i)."""

    segmentId: str
    name: str
    start: tuple[int, int, int]
    voxels: npt.NDArray[np.bool_]

    @property
    def isEmpty(self) -> bool:
        """Return whether the segment has no voxel on the lattice."""
        return self.voxels.size == 0

    @property
    def slices(self) -> tuple[slice, ...]:
        """Return where ``voxels`` stand in an array on the whole lattice."""
        return tuple(slice(first, first + n) for first, n in zip(self.start, self.voxels.shape, strict=True))

    def gridIn(self, grid: Grid) -> Grid:
        """The lattice of ``voxels``."""
        return grid.cropped(self.start[::-1], self.voxels.shape[::-1])

    def over(self, slices: tuple[slice, ...]) -> npt.NDArray[np.bool_]:
        """The mask on another part of the lattice, one that holds all of ``voxels``."""
        result = np.zeros([part.stop - part.start for part in slices], bool)
        if not self.isEmpty:
            inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(self.slices, slices, strict=True))
            result[inner] = self.voxels
        return result


def segmentIdOf(node: SegmentationNode, segment: str) -> str:
    """The id of the segment that ``segment`` names: its id, or a name that no other segment of ``node`` has.

    Raises:
        InputError: if the node is no segmentation, or has no such segment, or several of that name.
    """
    name = checkSegmentation(node)
    segmentation = node.GetSegmentation()
    names = {segmentId: segmentation.GetSegment(segmentId).GetName() for segmentId in segmentation.GetSegmentIDs()}
    found = [segment] if segment in names else [key for key, value in names.items() if value == segment]
    if len(found) == 1:
        return found[0]
    if found:
        text = _("{name}: {count} segments are called {segment}; give the id of one: {known}")
        raise InputError(text.format(name=name, count=len(found), segment=segment, known=", ".join(found)))
    text = _("{name}: there is no segment {segment}; it has {known}")
    raise InputError(text.format(name=name, segment=segment, known=", ".join(names.values())))


def maskSteps(
    node: SegmentationNode, grid: Grid, leftOut: TransformNode | None = None, segment: str = ""
) -> Generator[None, None, npt.NDArray[np.bool_]]:
    """Read where a segment of ``node`` is, (k, j, i) on a world ``grid``, with pauses in which a window stays alive.

    Args:
        node: segmentation node; transforms above it count. Surfaces are turned into label maps one by one.
        grid: world lattice.
        leftOut: a transform node to leave out, see :func:`.world.worldTransform`.
        segment: id or name of the segment; empty for where any of them is.

    Raises:
        InputError: as :func:`segmentIdOf`.
    """
    checkSegmentation(node)
    segmentIds = [segmentIdOf(node, segment)] if segment else list(node.GetSegmentation().GetSegmentIDs())
    inVoxels = node.GetSegmentation().GetSourceRepresentationName() == BINARY_LABELMAP
    mask = np.zeros(grid.shape, bool)
    for group in [segmentIds] if inVoxels else [[segmentId] for segmentId in segmentIds]:
        labels = yield from labelSteps(node, grid, None, group, leftOut)
        for layer in labels.layers:
            yield from inSteps(len(mask), partial(_join, mask, layer.labels))
    return mask


def _join(mask: npt.NDArray[np.bool_], layer: npt.NDArray[Any], part: slice) -> None:
    np.logical_or(mask[part], layer[part], mask[part])


def segmentMask(
    node: SegmentationNode, grid: Grid, segmentId: str, leftOut: TransformNode | None = None
) -> SegmentMask:
    """One segment of a segmentation on ``grid``.

    Args:
        node: segmentation node; transforms above it count.
        grid: world lattice.
        segmentId: which segment.
        leftOut: a transform node to leave out, see :func:`.world.worldTransform`.

    Raises:
        InputError: if the node is no segmentation or has no such segment.
    """
    name = checkSegmentation(node)
    segment = node.GetSegmentation().GetSegment(segmentId)
    if segment is None:
        raise InputError(f"{name}: there is no segment {segmentId!r}; choose one of it")
    stored = segment.GetRepresentation(BINARY_LABELMAP)
    start = None if worldTransform(node, leftOut) is not None else _startIn(grid, stored)
    if start is not None:
        found = _cut(numpyView(stored) == segment.GetLabelValue(), start, grid)
    else:
        layer = labelsFromSegmentation(node, grid, [segmentId], leftOut).layers[0].labels
        found = _cut(layer > 0, (0, 0, 0), grid)
    return SegmentMask(segmentId, segmentNames(node.GetSegmentation())[segmentId], *found)


def segmentMaskSteps(
    node: SegmentationNode, grid: Grid, leftOut: TransformNode | None = None
) -> Generator[None, None, dict[str, SegmentMask]]:
    """All segments by name, those of one name numbered; see :func:`segmentMask`. Pauses after each."""
    checkSegmentation(node)
    masks = {}
    for segmentId in list(node.GetSegmentation().GetSegmentIDs()):
        mask = segmentMask(node, grid, segmentId, leftOut)
        masks[mask.name] = mask
        yield
    return masks


def _startIn(grid: Grid, stored: Any) -> tuple[int, int, int] | None:
    """At which voxel (k, j, i) of ``grid`` a stored label map begins; None if it is on another lattice."""
    if stored is None or stored.GetPointData().GetScalars() is None:
        return None
    matrix = vtk.vtkMatrix4x4()
    stored.GetImageToWorldMatrix(matrix)
    toGrid = grid.ras_to_ijk @ numpyMatrix(matrix)
    reach = max(grid.size_ijk)
    if np.abs(toGrid[:3, :3] - np.eye(3)).max() * reach > _SAME_LATTICE_VOXELS * reach**0.5:
        return None
    first = toGrid[:3, 3] + np.asarray(stored.GetExtent()[::2])
    whole = np.rint(first)
    if np.abs(first - whole).max() > _SAME_LATTICE_VOXELS:
        return None
    i, j, k = (int(n) for n in whole)
    return k, j, i


def _cut(
    mask: npt.NDArray[np.bool_], start: tuple[int, int, int], grid: Grid
) -> tuple[tuple[int, int, int], npt.NDArray[np.bool_]]:
    """The used part of a mask that begins at ``start``, with a rim of one voxel where the lattice has one."""
    boxes = []
    for axis in range(3):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        used = used[(used + start[axis] >= 0) & (used + start[axis] < grid.shape[axis])]
        if used.size == 0:
            return (0, 0, 0), np.zeros((0, 0, 0), bool)
        mask = mask[(slice(None),) * axis + (slice(int(used[0]), int(used[-1]) + 1),)]
        boxes.append((start[axis] + int(used[0]), start[axis] + int(used[-1]) + 1))
    rimmed = [(max(0, low - 1), min(size, high + 1)) for (low, high), size in zip(boxes, grid.shape, strict=True)]
    result = np.zeros([high - low for low, high in rimmed], bool)
    inner = tuple(slice(a[0] - b[0], a[1] - b[0]) for a, b in zip(boxes, rimmed, strict=True))
    result[inner] = mask
    return (rimmed[0][0], rimmed[1][0], rimmed[2][0]), result
