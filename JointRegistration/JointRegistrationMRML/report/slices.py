"""Slices through a run, sampled on square pixels by NumPy: what the report's pictures are made of in desktop Slicer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.lattices.sampling import corners_at, values_at
from JointRegistrationLib.core.lattices.segments import SegmentLayers

from ..measure.surfaces import Mask, Points

#: The RAS axes of a picture's columns and rows, both from high to low, and of its normal: A and R are left, S and A up.
_IN_PLANE = {"Sagittal": (1, 2, 0), "Coronal": (0, 2, 1), "Axial": (0, 1, 2)}

_DIRECTIONS = ("RL", "AP", "SI")  # high and low along each RAS axis
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

    @property
    def letters(self) -> tuple[str, str, str]:
        """The directions at its left, right and upper edge."""
        across, down = self.axes
        return _DIRECTIONS[across][0], _DIRECTIONS[across][1], _DIRECTIONS[down][0]

    @property
    def pixelMm(self) -> float:
        """The side of a pixel."""
        first, second = self.points_ras[0, :2]
        return float(np.linalg.norm(second - first))


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
    inside = _isOn(grid, flat)
    found = np.full((len(flat), *values.shape[3:]), np.nan)
    if inside.any():
        found[inside] = values_at(values, grid, flat[inside])
    return found.reshape(*points_ras.shape[:2], *values.shape[3:])


def insideSegments(labels: SegmentLayers, names: Sequence[str], points_ras: Points) -> list[Points]:
    """Return how far (h, w, 3) points are inside each of the segments ``names``: (h, w) from 0 to 1, linearly."""
    flat = points_ras.reshape(-1, 3)
    chosen = [segment for segment in labels.segments if segment.name in names]
    found = [np.zeros(len(flat)) for _ in chosen]
    there = np.flatnonzero(_isOn(labels.grid, flat))
    for corner, weight in corners_at(labels.grid, flat[there]):
        values = [layer.labels[corner] for layer in labels.layers]
        for segment, share in zip(chosen, found, strict=True):
            share[there] += weight * (values[segment.layer] == segment.value)
    return [share.reshape(points_ras.shape[:2]) for share in found]


def covered(away: Points, along: Points, widthPx: float) -> Points:
    """(h, w) share of each pixel that a line covers, 0 to 1: its edges are smooth.

    Args:
        away: (h, w), 0 on the line; nan where there is none.
        along: (h, w), ``away`` but for its jumps: its slope says how many pixels away the line is.
        widthPx: of the line.
    """
    slope = np.hypot(*np.gradient(along))
    return np.asarray(np.nan_to_num(np.clip((widthPx + 1) / 2 - np.abs(away) / np.maximum(slope, 1e-6), 0, 1)))


def _isOn(grid: Grid, points_ras: Points) -> Mask:
    """Which of (n, 3) points are in the field of view; a point that is nan lies nowhere."""
    with np.errstate(invalid="ignore"):
        index = transform_points(grid.ras_to_ijk, points_ras)
        return np.asarray(((index >= -0.5) & (index <= np.asarray(grid.size_ijk) - 0.5)).all(axis=1))
