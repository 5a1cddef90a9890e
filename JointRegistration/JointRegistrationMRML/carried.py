"""Label maps carried through a displacement field, without PyTorch: the publishing side of a run needs it.

The rule is that of ``JointRegistrationLib.maps.warp_labels``: each label's indicator is interpolated
linearly and the largest wins, so that thin structures keep their volume. Most voxels need no
interpolation: where the eight voxels around a point have one label, that is the answer.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.geometry import Grid, transform_points

from .nodes import WorldTransform, transformPoints
from .parallel import inParallel
from .steps import finished, inSteps

Labels = npt.NDArray[Any]

#: Points worked on at a time: what they need in between stays in the processor's cache, or close to it.
_PART_POINTS = 300_000
#: Lattices whose points lie this close to each other, in voxels, are the same.
_SAME_VOXEL = 1e-3
_FIRST_ROWS = 16


def carriedLabels(
    labels: Labels,
    labelGrid: Grid,
    grid: Grid,
    displacementMm: npt.NDArray[Any] | None = None,
    above: WorldTransform | None = None,
) -> Labels:
    """A label map on another grid.

    Args:
        labels: (k, j, i) unsigned integers, 0 for background, with a rim of background; the type's largest
            value is not a label.
        labelGrid: their lattice, below ``above``.
        grid: where they are wanted, in the world.
        displacementMm: (k, j, i, 3) on ``grid``, from there to the labels, RAS mm; None for none.
        above: the transforms above the labels; None for none.

    Returns:
        (k, j, i) on ``grid``, of the type of ``labels``.
    """
    return finished(carriedSteps(labels, labelGrid, grid, displacementMm, above))


def carriedSteps(
    labels: Labels,
    labelGrid: Grid,
    grid: Grid,
    displacementMm: npt.NDArray[Any] | None = None,
    above: WorldTransform | None = None,
) -> Generator[None, None, Labels]:
    """:func:`carriedLabels` with pauses in which a window stays alive."""
    start = None if displacementMm is not None else _startIn(labelGrid, grid, above)
    if start is not None:
        return _placed(labels, start, grid)
    mixed = int(np.iinfo(labels.dtype).max)
    cells = np.empty([n - 1 for n in labels.shape], labels.dtype)
    yield from inSteps(len(cells), lambda part: _fillCells(cells, labels, part, mixed))
    size = np.asarray(cells.shape[::-1], dtype=np.float32)[:, None]
    result = np.zeros(grid.num_voxels, labels.dtype)

    def fill(part: slice) -> None:
        indices = _indices(part, labelGrid, grid, displacementMm, above)
        inside = np.flatnonzero(((indices >= 0) & (indices < size)).all(axis=0))
        i, j, k = indices[:, inside]
        found = cells.ravel()[_flat(cells.shape, i, j, k)]
        unsettled = np.flatnonzero(found == mixed)
        found[unsettled] = _interpolated(labels, i[unsettled], j[unsettled], k[unsettled])
        result[part.start + inside] = found

    columns, rows, slices = grid.size_ijk
    yield from inSteps(rows * slices, lambda part: inParallel(fill, _parts(part, columns)), _FIRST_ROWS)
    return result.reshape(grid.shape)


def _startIn(labelGrid: Grid, grid: Grid, above: WorldTransform | None) -> tuple[int, int, int] | None:
    """At which voxel (k, j, i) of ``grid`` the labels begin, if their voxels are voxels of it; None if not."""
    if above is not None and above.matrix is None:
        return None
    toWorld = labelGrid.ijk_to_ras if above is None else above.matrix @ labelGrid.ijk_to_ras
    toGrid = grid.ras_to_ijk @ toWorld
    farthest = np.abs(toGrid[:3, :3] - np.eye(3)) @ np.asarray(labelGrid.size_ijk)
    start = np.rint(toGrid[:3, 3])
    if farthest.max() > _SAME_VOXEL or np.abs(toGrid[:3, 3] - start).max() > _SAME_VOXEL:
        return None
    i, j, k = (int(n) for n in start)
    return k, j, i


def _placed(labels: Labels, start: tuple[int, int, int], grid: Grid) -> Labels:
    """The labels put into a lattice from ``start`` (k, j, i) on; what lies outside of it is cut off."""
    result = np.zeros(grid.shape, labels.dtype)
    sizes = zip(start, labels.shape, grid.shape, strict=True)
    spans = [(max(0, first), min(size, first + n)) for first, n, size in sizes]
    if all(low < high for low, high in spans):
        here = tuple(slice(low, high) for low, high in spans)
        there = tuple(slice(low - first, high - first) for (low, high), first in zip(spans, start, strict=True))
        result[here] = labels[there]
    return result


def _fillCells(cells: Labels, labels: Labels, part: slice, mixed: int) -> None:
    """For each cube of eight neighbours their common label, or ``mixed`` for several; ``part`` is along k."""
    block, several = labels[part.start : part.stop + 1], np.zeros(cells[part].shape, bool)
    cells[part] = block[:-1, :-1, :-1]
    for corner in range(1, 8):
        several |= _corner(block, corner) != cells[part]
    cells[part][several] = mixed


def _corner(labels: Labels, corner: int) -> Labels:
    """The corner's label of each cube; bits 0, 1, 2 of ``corner`` say whether it lies further along i, j, k."""
    k, j, i = (slice(1, None) if corner >> axis & 1 else slice(None, -1) for axis in (2, 1, 0))
    return labels[k, j, i]


def _flat(shape: tuple[int, ...], i: Any, j: Any, k: Any) -> npt.NDArray[np.intp]:
    """Position in an array (k, j, i) of that shape, of points at indices of any kind, rounded down."""
    rows = k.astype(np.intp) * shape[1] + j.astype(np.intp)
    return rows * shape[2] + i.astype(np.intp)


def _interpolated(labels: Labels, i: Any, j: Any, k: Any) -> Labels:
    """The label with the largest weight; of equals a label before the background, then the lower one."""
    flat = labels.ravel()
    first = _flat(labels.shape, i, j, k)
    steps = (1, labels.shape[2], labels.shape[1] * labels.shape[2])
    far = [index - np.floor(index) for index in (i, j, k)]
    weights, corners = [], []
    for corner in range(8):
        bits = [corner >> axis & 1 for axis in range(3)]
        parts = [fraction if bit else 1 - fraction for fraction, bit in zip(far, bits, strict=True)]
        weights.append(parts[0] * parts[1] * parts[2])
        corners.append(flat[first + sum(step * bit for step, bit in zip(steps, bits, strict=True))])
    best, most = corners[0], np.full(first.shape, -1, np.float32)
    for label in corners:
        weight = sum(np.where(other == label, part, 0) for other, part in zip(corners, weights, strict=True))
        # Of unsigned integers, 0 - 1 is the largest: the background comes last.
        better = (weight > most) | ((weight == most) & (label - 1 < best - 1))
        best, most = np.where(better, label, best), np.where(better, weight, most)
    return best


def _parts(rows: slice, columns: int) -> list[slice]:
    """Points of some rows along i, numbered as in the flattened grid, a few rows at a time."""
    step = max(1, _PART_POINTS // columns)
    starts = range(rows.start, rows.stop, step)
    return [slice(start * columns, min(start + step, rows.stop) * columns) for start in starts]


def _indices(
    part: slice, labelGrid: Grid, grid: Grid, displacementMm: npt.NDArray[Any] | None, above: WorldTransform | None
) -> npt.NDArray[np.float32]:
    """Where the points of a part of ``grid`` lie in the labels: (3, n) indices i, j, k."""
    moved = None if displacementMm is None else displacementMm.reshape(-1, 3)[part]
    if above is not None and above.matrix is None:
        points = _onLattice(grid.ijk_to_ras, part, grid).T
        points = points if moved is None else points + moved
        return transform_points(labelGrid.ras_to_ijk, transformPoints(above.fromWorld, points)).T.astype(np.float32)
    toIndex = labelGrid.ras_to_ijk
    if above is not None:
        toIndex = toIndex @ np.linalg.inv(above.matrix)
    indices = _onLattice(toIndex @ grid.ijk_to_ras, part, grid).astype(np.float32)
    if moved is not None:
        indices += toIndex[:3, :3].astype(np.float32) @ moved.T.astype(np.float32, copy=False)
    return indices


def _onLattice(matrix: npt.NDArray[np.float64], part: slice, grid: Grid) -> npt.NDArray[np.float64]:
    """(3, n) images of the lattice points of some whole rows under a 4x4 matrix."""
    columns, height, _ = grid.size_ijk
    k, j = np.divmod(np.arange(part.start // columns, part.stop // columns), height)
    rows = matrix[:3, 1:2] * j + matrix[:3, 2:3] * k + matrix[:3, 3:]
    along = matrix[:3, 0:1] * np.arange(columns)
    return (rows[:, :, None] + along[:, None, :]).reshape(3, -1)
