"""Values of a lattice at scattered points: trilinear, with NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import GeometryError
from ..geometry import FloatArray, Grid, transform_points
from ..image import Image
from ..progress import CancelCheck


def values_at(values: npt.NDArray[Any], grid: Grid, points_ras: npt.ArrayLike) -> FloatArray:
    """Trilinear interpolation; beyond the lattice the value at its border.

    Args:
        values: (k, j, i) or (k, j, i, c) on ``grid``.
        grid: their lattice.
        points_ras: (n, 3) RAS mm.

    Returns:
        (n,) or (n, c).

    Raises:
        GeometryError: if the values do not lie on ``grid``.
    """
    if values.shape[:3] != grid.shape:
        raise GeometryError(f"values: shape {grid.shape} is needed on this grid, but it is {values.shape[:3]}")
    weights_of = (-1, *[1] * (values.ndim - 3))
    result = np.zeros((len(np.asarray(points_ras)), *values.shape[3:]))
    for corner, weight in corners_at(grid, points_ras):
        result += weight.reshape(weights_of) * values[corner]
    return result


def corners_at(grid: Grid, points_ras: npt.ArrayLike) -> Iterator[tuple[tuple[Any, Any, Any], FloatArray]]:
    """Find the eight voxels around each point: one after the other their indices (k, j, i), and their weights.

    Args:
        grid: the lattice; beyond it, its border counts.
        points_ras: (n, 3) RAS mm.

    Yields:
        Three arrays (n,) of indices, and the weights (n,) of trilinear interpolation.
    """
    last = np.asarray(grid.size_ijk) - 1
    index = np.clip(transform_points(grid.ras_to_ijk, points_ras), 0, last)
    low = np.minimum(index.astype(int), last - 1)
    # Column by column: an axis of length 3 that lies next to each other in memory is slow to work along.
    steps = [np.ascontiguousarray(column) for column in low.T]
    shares = [(1 - far, far) for far in np.ascontiguousarray((index - low).T)]
    for corner in range(8):
        bits = [corner >> axis & 1 for axis in range(3)]
        i, j, k = (column + bit for column, bit in zip(steps, bits, strict=True))
        yield (k, j, i), shares[0][bits[0]] * shares[1][bits[1]] * shares[2][bits[2]]


Labels = npt.NDArray[Any]

#: Points worked on at a time: what they need in between stays in the processor's cache, or close to it.
_PART_POINTS = 300_000
#: Lattices whose points lie this close to each other, in voxels, are the same.
_SAME_VOXEL = 1e-3


@dataclass(frozen=True)
class LabelMap:
    """Labels on a lattice of their own.

    Args:
        labels: (k, j, i) unsigned integers, 0 for background, with a rim of background; the type's largest value is
            not a label.
        grid: their lattice.
        from_world: 4x4, RAS mm, from the world to where ``grid`` lies; it may be sheared. None if that is the world.
    """

    labels: Labels
    grid: Grid
    from_world: FloatArray | None = None

    @property
    def ras_to_ijk(self) -> FloatArray:
        """4x4, from the world (RAS, mm) to the labels' indices."""
        return self.grid.ras_to_ijk if self.from_world is None else self.grid.ras_to_ijk @ self.from_world


class LabelWarper:
    """Carries one label map to ``grid`` in parts, so that the caller can pause in between or share the work.

    Call :meth:`prepare` with parts of ``range(prepare_count)``, then :meth:`fill` with parts of ``range(fill_count)``,
    each once, in any order; ``result`` is complete then. Parts of one kind may run in several threads.

    Args:
        source: the labels.
        grid: where they are wanted, in the world.
        displacement_mm: (k, j, i, 3) on ``grid``, from there to the labels, RAS mm; None for none.
        bend: sends points (n, 3), RAS mm, to where ``source.ras_to_ijk`` takes them over; None for no such step.
    """

    def __init__(
        self,
        source: LabelMap,
        grid: Grid,
        displacement_mm: npt.NDArray[Any] | None = None,
        bend: Callable[[FloatArray], FloatArray] | None = None,
    ) -> None:
        self._labels, self._ras_to_ijk, self._grid = source.labels, source.ras_to_ijk, grid
        self._moved, self._bend = displacement_mm, bend
        start = _start_in(source, grid) if displacement_mm is None and bend is None else None
        if start is not None:
            self.result, self.prepare_count, self.fill_count = _placed(source.labels, start, grid), 0, 0
            return
        self.result = np.zeros(grid.shape, source.labels.dtype)
        self._mixed = int(np.iinfo(source.labels.dtype).max)
        self._cells = np.empty([n - 1 for n in source.labels.shape], source.labels.dtype)
        #: Slices of the labels, and rows of the grid along i.
        self.prepare_count, self.fill_count = len(self._cells), grid.size_ijk[1] * grid.size_ijk[2]

    def prepare(self, part: slice) -> None:
        """Find the cubes of eight neighbours that have one label; ``part`` counts slices of the labels."""
        block, cells = self._labels[part.start : part.stop + 1], self._cells[part]
        several = np.zeros(cells.shape, bool)
        cells[...] = block[:-1, :-1, :-1]
        for corner in range(1, 8):
            several |= _corner(block, corner) != cells
        cells[several] = self._mixed

    def fill(self, part: slice) -> None:
        """Find the labels at rows of the grid; ``part`` counts them, and should not be larger than :meth:`parts`."""
        indices = self._indices(part)
        size = np.asarray(self._cells.shape[::-1], dtype=np.float32)[:, None]
        inside = np.flatnonzero(((indices >= 0) & (indices < size)).all(axis=0))
        i, j, k = indices[:, inside]
        found = self._cells.ravel()[_flat(self._cells.shape, i, j, k)]
        unsettled = np.flatnonzero(found == self._mixed)
        found[unsettled] = _interpolated(self._labels, i[unsettled], j[unsettled], k[unsettled])
        self.result.reshape(-1)[part.start * self._grid.size_ijk[0] + inside] = found

    def parts(self, rows: slice) -> list[slice]:
        """Rows of the grid, a few at a time."""
        step = max(1, _PART_POINTS // self._grid.size_ijk[0])
        return [slice(start, min(start + step, rows.stop)) for start in range(rows.start, rows.stop, step)]

    def _indices(self, rows: slice) -> npt.NDArray[np.float32]:
        """Where the points of some rows of the grid lie in the labels: (3, n) indices i, j, k."""
        columns = self._grid.size_ijk[0]
        part = slice(rows.start * columns, rows.stop * columns)
        moved = None if self._moved is None else self._moved.reshape(-1, 3)[part]
        if self._bend is not None:
            points = _on_lattice(self._grid.ijk_to_ras, rows, self._grid).T
            points = points if moved is None else points + moved
            return transform_points(self._ras_to_ijk, self._bend(points)).T.astype(np.float32)
        indices = _on_lattice(self._ras_to_ijk @ self._grid.ijk_to_ras, rows, self._grid).astype(np.float32)
        if moved is not None:
            indices += self._ras_to_ijk[:3, :3].astype(np.float32) @ moved.T.astype(np.float32, copy=False)
        return indices


def warp_label_map(
    source: LabelMap,
    grid: Grid,
    displacement_mm: npt.NDArray[Any] | None = None,
    *,
    threads: int = 1,
    cancelled: CancelCheck | None = None,
) -> Labels:
    """A label map on another grid, (k, j, i), of the type of its labels; see :class:`LabelWarper`.

    Args:
        source, grid, displacement_mm: see :class:`LabelWarper`.
        threads: how many to work with.
        cancelled: asked between parts; once it is True the result is incomplete.
    """
    warper = LabelWarper(source, grid, displacement_mm)
    slices = range(0, warper.prepare_count, 8)
    _shared(warper.prepare, [slice(n, min(n + 8, slices.stop)) for n in slices], threads, cancelled)
    _shared(warper.fill, warper.parts(slice(0, warper.fill_count)), threads, cancelled)
    return warper.result


def warp_label_image(
    labels: Image, grid: Grid, displacement_mm: npt.NDArray[Any] | None = None, *, threads: int = 1
) -> Image:
    """A label map of any whole numbers on another grid.

    Beyond the labels' grid is background, which begins to weigh at the centres of its outermost voxels.

    Args:
        labels: the label map, of an integer type; 0 is background.
        grid, displacement_mm: see :class:`LabelWarper`.
        threads: how many to work with.
    """
    values = np.unique(labels.array)
    values = np.concatenate([values[:1] * 0, values[values != 0]])  # 0 first, then the labels, ascending
    codes = np.zeros(tuple(n + 2 for n in labels.array.shape), np.min_scalar_type(len(values)))
    order = np.argsort(values)
    codes[1:-1, 1:-1, 1:-1] = order[np.searchsorted(values, labels.array, sorter=order)]
    source = LabelMap(codes, labels.grid.padded((1, 1, 1)))
    return Image(values[warp_label_map(source, grid, displacement_mm, threads=threads)], grid, labels.name)


def _shared(work: Callable[[slice], None], parts: Iterable[slice], threads: int, cancelled: CancelCheck | None) -> None:
    def unless_cancelled(part: slice) -> None:
        if cancelled is None or not cancelled():
            work(part)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        for _ in pool.map(unless_cancelled, parts):
            pass


def _start_in(source: LabelMap, grid: Grid) -> tuple[int, int, int] | None:
    """At which voxel (k, j, i) of ``grid`` the labels begin, if their voxels are voxels of it; None if not."""
    to_grid = np.linalg.inv(source.ras_to_ijk @ grid.ijk_to_ras)
    farthest = np.abs(to_grid[:3, :3] - np.eye(3)) @ np.asarray(source.labels.shape[::-1])
    start = np.rint(to_grid[:3, 3])
    if farthest.max() > _SAME_VOXEL or np.abs(to_grid[:3, 3] - start).max() > _SAME_VOXEL:
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


def _corner(labels: Labels, corner: int) -> Labels:
    """The corner's label of each cube; bits 0, 1, 2 of ``corner`` say whether it lies further along i, j, k."""
    k, j, i = (slice(1, None) if corner >> axis & 1 else slice(None, -1) for axis in (2, 1, 0))
    return labels[k, j, i]


def _flat(shape: tuple[int, ...], i: Any, j: Any, k: Any) -> npt.NDArray[np.intp]:
    """Position in an array (k, j, i) of that shape, of points at indices of any kind, rounded down."""
    rows = k.astype(np.intp) * shape[1] + j.astype(np.intp)
    return np.asarray(rows * shape[2] + i.astype(np.intp))


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
    best: Labels = corners[0]
    most = np.full(first.shape, -1, np.float32)
    for label in corners:
        weight = sum(np.where(other == label, part, 0) for other, part in zip(corners, weights, strict=True))
        # Of unsigned integers, 0 - 1 is the largest: the background comes last.
        better = (weight > most) | ((weight == most) & (label - 1 < best - 1))
        best, most = np.where(better, label, best), np.where(better, weight, most)
    return best


def _on_lattice(matrix: FloatArray, rows: slice, grid: Grid) -> FloatArray:
    """(3, n) images of the points of some rows of the lattice under a 4x4 matrix from its indices."""
    columns, height, _ = grid.size_ijk
    k, j = np.divmod(np.arange(rows.start, rows.stop), height)
    starts = matrix[:3, 1:2] * j + matrix[:3, 2:3] * k + matrix[:3, 3:]
    along = matrix[:3, 0:1] * np.arange(columns)
    return np.asarray((starts[:, :, None] + along[:, None, :]).reshape(3, -1))
