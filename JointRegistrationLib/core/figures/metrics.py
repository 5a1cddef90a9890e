"""How good a registration is: overlap, surface distance, landmark error.

Without PyTorch: Slicer's own process measures too. NumPy arrays are (k, j, i) on a :class:`~.geometry.Grid`;
distances are in mm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import GeometryError
from ..geometry import FloatArray, Grid
from ..image import Image, LandmarkPairs
from ..lattices.sampling import values_at

LabelArray = npt.NDArray[Any]

_SMALL_LABELS = 256


@dataclass(frozen=True)
class LabelMetrics:
    """One label in two label maps: Dice in [0, 1], distances in mm (nan where undefined), volumes in mm^3."""

    dice: float
    hd95_mm: float
    assd_mm: float
    fixed_volume_mm3: float
    warped_volume_mm3: float


# -- labels -----------------------------------------------------------------------------------------


def label_metrics(fixed_labels: Image, warped_labels: Image) -> dict[int, LabelMetrics]:
    """Overlap and surface distances of every label other than 0 in either label map.

    Raises:
        GeometryError: if the two are not on one grid.
    """
    grid = fixed_labels.grid
    if not grid.is_close(warped_labels.grid):
        raise GeometryError(
            f"{warped_labels.name}: on another grid ({warped_labels.grid.describe()}) than {fixed_labels.name} "
            f"({grid.describe()}); warp the labels onto the fixed image first"
        )
    fixed, warped = fixed_labels.array, warped_labels.array
    overlap = dice(fixed, warped)
    return {label: _one_label(fixed == label, warped == label, grid, value) for label, value in overlap.items()}


def dice(a: LabelArray, b: LabelArray, labels: Sequence[int] | None = None) -> dict[int, float]:
    """``2 |A and B| / (|A| + |B|)`` of each label; nan where neither has it.

    Args:
        a, b: (k, j, i) label maps on one grid.
        labels: which ones; None for all but 0 that occur.

    Raises:
        GeometryError: if the shapes differ.
    """
    counts = JointCounts(a, b)
    return {int(label): counts.dice(label, label) for label in (counts.labels if labels is None else labels)}


class JointCounts:
    """How often each label of one map meets each label of another; the Dice of any two of them follows.

    Args:
        a, b: (k, j, i) label maps on one grid; most of it is 0 in both.

    Raises:
        GeometryError: if the shapes differ.
    """

    def __init__(self, a: LabelArray, b: LabelArray) -> None:
        _check_same_shape(a, b)
        labelled = np.flatnonzero(np.logical_or(a, b))  # few: to count all takes much longer
        (rows, row), (columns, column) = (_numbered(labels.ravel()[labelled]) for labels in (a, b))
        counts = np.bincount(row * len(columns) + column, minlength=len(rows) * len(columns))
        counts = counts.reshape(len(rows), len(columns))
        counts[rows.index(0), columns.index(0)] = a.size - len(labelled)
        self._in_a = dict(zip(rows, counts.sum(axis=1).tolist(), strict=True))
        self._in_b = dict(zip(columns, counts.sum(axis=0).tolist(), strict=True))
        self._in_both = {(rows[m], columns[n]): int(counts[m, n]) for m, n in np.argwhere(counts)}

    @property
    def labels(self) -> list[int]:
        """All but 0 that occur in either map, ascending."""
        return sorted(
            {label for counts in (self._in_a, self._in_b) for label, count in counts.items() if label and count}
        )

    def dice(self, label_a: int, label_b: int) -> float:
        """:func:`dice_coefficient` of a label of the one map and one of the other."""
        both = self._in_both.get((label_a, label_b), 0)
        return dice_coefficient(both, self._in_a.get(label_a, 0) + self._in_b.get(label_b, 0))


def dice_coefficient(both: int, total: int) -> float:
    """``2 both / total``, of the voxels that two masks share and the sum of both's; nan if they are empty."""
    return 2 * both / total if total else float("nan")


def surface_distances_mm(a: LabelArray, b: LabelArray, grid: Grid) -> FloatArray:
    """Distances between the surfaces of two masks, both directions pooled: (n,) mm.

    The surface of a mask is its voxels that have a face neighbour outside the mask; beyond the image
    counts as outside. From each surface voxel of A the distance between voxel centres to the nearest
    surface voxel of B, and the other way round, in one list. Empty if a mask is.

    Args:
        a, b: (k, j, i) masks on ``grid``; not 0 is inside.

    Raises:
        GeometryError: if a shape is not the grid's.
    """
    _check_same_shape(a, b)
    if a.shape != grid.shape:
        raise GeometryError(f"surface distance: masks of shape {grid.shape} are needed, but theirs is {a.shape}")
    inside_a, inside_b = a != 0, b != 0
    if not (inside_a.any() and inside_b.any()):
        return np.zeros(0)
    box = bounding_box(inside_a | inside_b)
    surface_a, surface_b = (_surface(np.pad(mask[box], 1)) for mask in (inside_a, inside_b))
    to_a, to_b = (_distance_to_mm(surface, grid) for surface in (surface_a, surface_b))
    return np.concatenate([to_b[surface_a], to_a[surface_b]])


# -- maps -------------------------------------------------------------------------------------------


def tre_mm(landmarks: LandmarkPairs, transform: Callable[[FloatArray], npt.ArrayLike]) -> FloatArray:
    """Target registration error of each pair: ``|transform(fixed point) - moving point|``, (n,) mm.

    Args:
        landmarks: corresponding points.
        transform: (n, 3) fixed RAS points to (n, 3) moving RAS points, e.g. from
            :func:`displacement_transform`.
    """
    moved = np.asarray(transform(landmarks.fixed_ras), dtype=float)
    return np.asarray(np.linalg.norm(moved - landmarks.moving_ras, axis=1), dtype=float)


def displacement_transform(displacement_field_mm: npt.NDArray[Any], grid: Grid) -> Callable[[FloatArray], FloatArray]:
    """A displacement field as a function of points: (n, 3) RAS mm to (n, 3) RAS mm.

    Linear between lattice points, border value beyond them.

    Args:
        displacement_field_mm: (k, j, i, 3) RAS mm on ``grid``.

    Raises:
        GeometryError: if the field does not lie on ``grid``.
    """
    if displacement_field_mm.shape != (*grid.shape, 3):
        raise GeometryError(
            f"displacement field: shape {(*grid.shape, 3)} is needed on this grid, "
            f"but it is {displacement_field_mm.shape}"
        )

    def transform(points_ras: FloatArray) -> FloatArray:
        points = np.asarray(points_ras, dtype=float)
        return np.asarray(points + values_at(displacement_field_mm, grid, points), dtype=float)

    return transform


# -- parts ------------------------------------------------------------------------------------------


def _numbered(labels: LabelArray) -> tuple[Sequence[int], npt.NDArray[np.intp]]:
    """The list of labels (n,), with 0 in it, and their positions there. Small ones need no sorting, which is slow."""
    if labels.dtype.kind in "biu" and labels.min(initial=0) >= 0 and labels.max(initial=0) < _SMALL_LABELS:
        return range(int(labels.max(initial=0)) + 1), labels.astype(np.intp)
    values, positions = np.unique(np.append(labels, labels.dtype.type(0)), return_inverse=True)
    return values.astype(int).tolist(), positions[:-1]


def _one_label(fixed: LabelArray, warped: LabelArray, grid: Grid, overlap: float) -> LabelMetrics:
    distances = surface_distances_mm(fixed, warped, grid)
    volumes = [float(mask.sum()) * grid.voxel_volume_mm3 for mask in (fixed, warped)]
    return LabelMetrics(overlap, _percentile_95(distances), _mean(distances), volumes[0], volumes[1])


def _percentile_95(distances: FloatArray) -> float:
    return float(np.percentile(distances, 95)) if len(distances) else float("nan")


def _mean(distances: FloatArray) -> float:
    return float(distances.mean()) if len(distances) else float("nan")


def _surface(mask: LabelArray) -> npt.NDArray[np.bool_]:
    """Voxels of a mask, empty at the image's border, with a face neighbour outside it."""
    import SimpleITK as sitk  # noqa: PLC0415 it takes a while, and most that is measured here needs none

    contour = sitk.BinaryContour(sitk.GetImageFromArray(mask.astype(np.uint8)), fullyConnected=False)
    return np.asarray(sitk.GetArrayFromImage(contour) != 0)


def _distance_to_mm(surface: npt.NDArray[np.bool_], grid: Grid) -> npt.NDArray[np.float32]:
    """Distance of every voxel centre to the nearest voxel of ``surface``, which has no interior."""
    import SimpleITK as sitk  # noqa: PLC0415

    image = sitk.GetImageFromArray(surface.astype(np.uint8))
    image.SetSpacing(grid.spacing_mm)
    distance = sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
    return np.asarray(np.abs(sitk.GetArrayFromImage(distance)), dtype=np.float32)


def bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[slice, ...]:
    """The part of an array that ``mask``, which is not empty, touches."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        occupied = np.flatnonzero(mask.any(axis=others))
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    return tuple(box)


def _check_same_shape(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> None:
    if a.shape != b.shape:
        raise GeometryError(f"two arrays of one shape are needed, but theirs are {a.shape} and {b.shape}")
