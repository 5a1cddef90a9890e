"""Slices through a run, sampled on square pixels by NumPy: what the report's pictures are made of in desktop Slicer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.lattices.sampling import values_at

from ..measure.surfaces import Mask, Points
from ..nodes.segments.segmentations import LabelLayers

#: The RAS axes of a picture's columns and rows, both from high to low, and of its normal: A and R are left, S and A up.
_IN_PLANE = {"Sagittal": (1, 2, 0), "Coronal": (0, 2, 1), "Axial": (0, 1, 2)}

_SMALLEST_PIXEL_MM = 0.3


@dataclass(frozen=True)
class Plane:
    """Where the pixels of one slice lie.

    Args:
        orientation: "Sagittal", "Coronal" or "Axial", parallel to the RAS axes.
        positionMm: along its normal, RAS.
        points_ras: (h, w, 3) of the pixels.
    """

    orientation: str
    positionMm: float
    points_ras: Points

    @property
    def axes(self) -> tuple[int, int]:
        """The RAS axes of its columns and rows."""
        across, down, _ = _IN_PLANE[self.orientation]
        return across, down


def planesThrough(grid: Grid, offsetsMm: Mapping[int, float], longSidePx: int) -> list[Plane]:
    """A plane of each orientation over the field of view of ``grid``.

    Args:
        grid: any.
        offsetsMm: by RAS axis, where the slice across it lies.
        longSidePx: at most, of the longest picture; all have the same scale.
    """
    corners = transform_points(grid.unit_to_ras, np.indices((2, 2, 2)).reshape(3, -1).T)
    low, high = corners.min(axis=0), corners.max(axis=0)
    pixelMm = max(_SMALLEST_PIXEL_MM, float((high - low).max()) / longSidePx)
    planes = []
    for orientation, (across, down, normal) in _IN_PLANE.items():
        columns, rows = (np.arange(high[axis], low[axis] - pixelMm / 2, -pixelMm) for axis in (across, down))
        points = np.empty((len(rows), len(columns), 3))
        points[..., across], points[..., down], points[..., normal] = columns, rows[:, None], offsetsMm[normal]
        planes.append(Plane(orientation, offsetsMm[normal], points))
    return planes


def mostTellingOffsets(grid: Grid, interest: Mapping[int, Mask]) -> dict[int, float]:
    """For each RAS axis the position, in mm, of the slice to show.

    Args:
        grid: lattice of the masks.
        interest: by RAS axis the mask, (k, j, i), that the slice across that axis should show most of.
            Where it is missing or empty, the slice goes through the centre of the field of view.
    """
    offsets = {axis: float(grid.center_ras[axis]) for axis in range(3)}
    for ijkAxis, rasAxis in enumerate(grid.ras_axes):
        mask = interest.get(rasAxis)
        if mask is None or not mask.any():
            continue
        others = tuple(axis for axis in range(3) if axis != 2 - ijkAxis)
        ijk = (np.asarray(grid.size_ijk) - 1) / 2
        ijk[ijkAxis] = int(mask.sum(axis=others).argmax())
        offsets[rasAxis] = float(transform_points(grid.ijk_to_ras, ijk)[rasAxis])
    return offsets


def sampled(values: npt.NDArray[Any], grid: Grid, points_ras: Points) -> npt.NDArray[Any]:
    """``values`` (k, j, i) or (k, j, i, c) at (h, w, 3) points, linearly; nan beyond the field of view."""
    flat = points_ras.reshape(-1, 3)
    index = transform_points(grid.ras_to_ijk, flat)
    inside = ((index >= -0.5) & (index <= np.asarray(grid.size_ijk) - 0.5)).all(axis=1)
    found = np.full((len(flat), *values.shape[3:]), np.nan)
    if inside.any():
        found[inside] = values_at(values, grid, flat[inside])
    return found.reshape(*points_ras.shape[:2], *values.shape[3:])


def outlines(labels: LabelLayers, names: Sequence[str], points_ras: Points) -> Mask:
    """(h, w) pixels on the border of one of the segments ``names``, one pixel wide, inside the segment."""
    found = np.zeros(points_ras.shape[:2], bool)
    for number, layer in enumerate(labels.layers):
        values = _nearest(layer, labels.grid, points_ras)
        for segment in labels.segments:
            if segment.layer == number and segment.name in names:
                found |= border(values == segment.value)
    return found


def _nearest(labels: npt.NDArray[Any], grid: Grid, points_ras: Points) -> npt.NDArray[Any]:
    """``labels`` (k, j, i) at (h, w, 3) points; 0 beyond the field of view."""
    with np.errstate(invalid="ignore"):  # a point that is nan lies nowhere
        index = np.rint(transform_points(grid.ras_to_ijk, points_ras.reshape(-1, 3)))
        inside = ((index >= 0) & (index < grid.size_ijk)).all(axis=1)
    found = np.zeros(len(index), labels.dtype)
    i, j, k = index[inside].astype(int).T
    found[inside] = labels[k, j, i]
    return found.reshape(points_ras.shape[:2])


def border(inside: Mask) -> Mask:
    """(h, w) pixels inside that have a neighbour outside; the picture's edge is no border."""
    padded = np.pad(inside, 1, mode="edge")
    kept = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(inside & ~kept)


def thick(lines: Mask) -> Mask:
    """(h, w) lines with their four neighbours."""
    padded = np.pad(lines, 1)
    wide = padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]
    return np.asarray(lines | wide)
