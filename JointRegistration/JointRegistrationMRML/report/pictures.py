"""The pictures of a run, made of NumPy and VTK's text alone: no OpenGL is needed.

Everything is sampled where it is looked at: three slices of a large run take a moment, not the whole volume's time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.lattices.segments import SegmentLayers
from JointRegistrationLib.core.progress import finished
from JointRegistrationLib.core.result import log2_jacobian

from ..inspection.deformation import SPACING_MM, affineToLeaveOut, leftOutText, longestMm
from ..inspection.images import DIFFERENCE_LIMIT_PERCENT, SQUARE_MM
from ..measure.images import brightnessRange
from ..measure.surfaces import Points
from ..nodes.colors import DIFFERENCE_COLORS, ENDS_AND_CENTER, FIXED_COLOR, MAGNITUDE_COLORS, WARPED_COLOR, Color, mixed
from ..nodes.jacobian import FOLDS_COLOR, halfWindow
from ..nodes.segments.segmentations import labelsFromSegmentation
from ..nodes.volumes import imageFromVolume
from ..pauses import inThread, named
from ..run.registration_nodes import RegistrationOutputs
from ..translation import _
from .captions import cssColor, differenceBars, displacementBar, positionText, rowOf
from .marks import marked
from .page import ColorBar, Picture, ReportPictures
from .slices import Plane, covered, insideSegments, mostTellingOffsets, planesThrough, sampled

LONG_SIDE_PX = 440
_GRID_MM = SPACING_MM["grid"]
_FIXED_PX, _MOVED_PX, _GRID_PX = 3.0, 1.5, 1.2  # widths of lines
_HALF = 0.501  # where a segment ends; a slice right between two of its voxels is outside
_EVERY = 3  # voxel is enough for the range of colours
_COVER = 0.5  # of the colours over the grey image
#: What the slice across R, A and S should show most of, where there is such a segment.
_INTEREST = ("cartilage", "tibial cartilage", "patellar cartilage")

Values = Points
Labels = tuple[SegmentLayers, SegmentLayers]


def reportPictures(outputs: RegistrationOutputs) -> ReportPictures:
    """All of :func:`pictureSteps` at once."""
    return finished(pictureSteps(outputs))


def pictureSteps(outputs: RegistrationOutputs) -> Generator[tuple[float, str], None, ReportPictures]:
    """Draw a run, read where its nodes are now, step by step.

    Yields:
        The fraction done and what comes next.

    Raises:
        InputError: if the fixed or moving volume holds no image any more.
    """
    yield 0.0, _("segments")
    labels = _labels(outputs)
    grid = outputs.result.fixed_grid
    names = [] if labels is None else _outlinedNames(labels)
    yield 0.2, _("slices")
    offsets = yield from named(_offsetSteps(grid, labels), 0.2, _("slices"))
    planes = planesThrough(grid, offsets, LONG_SIDE_PX)
    painter = _Painter(outputs, labels, names)
    views = []
    for number, plane in enumerate(planes):
        views.append((yield from named(painter.viewSteps(plane), 0.3 + 0.1 * number, _("slices"))))
    tissue = _("tissue") if any("cartilage" not in name.lower() for name in names) else _("cartilage")
    painters, rows = painter.rows(), []
    for number, (key, paint) in enumerate(painters.items()):
        pictures = {}
        for view in views:
            yield 0.6 + 0.4 * number / len(painters), _("pictures")
            pictures[view.plane.orientation] = marked(paint(view), view.plane)
        rows.append(rowOf(key, pictures, tissue, _GRID_MM, painter.remark(key)))
    positionsMm = {plane.orientation: plane.positionMm for plane in planes}
    positions = {name: positionText(name, value) for name, value in positionsMm.items()}
    return ReportPictures(rows, {**differenceBars(), **painter.bars()}, positions, positionsMm)


@dataclass(frozen=True)
class _View:
    """What is sampled on one plane: brightness 0 to 1 (nan where there is none), displacement mm, J.

    ``outlines`` are the shares of pixels that the lines cover: fixed, moving before and after; empty without segments.
    """

    plane: Plane
    fixed: Values
    moving: Values
    warped: Values
    movedMm: Values
    determinant: Values
    outlines: Sequence[Values]


class _Painter:
    """Makes pictures of one run, plane by plane."""

    def __init__(self, outputs: RegistrationOutputs, labels: Labels | None, names: Sequence[str]) -> None:
        leftOut = outputs.nodes.transform
        self._result, self._labels, self._names = outputs.result, labels, names
        self._fixed, self._moving = (
            imageFromVolume(node, leftOut) for node in (outputs.inputs.fixed, outputs.inputs.moving)
        )
        self._ranges = [brightnessRange(image) for image in (self._fixed, self._moving)]
        self._leftOut = affineToLeaveOut(outputs.result)
        self._longestMm = longestMm(outputs.result, self._leftOut)
        self._halfRange = halfWindow(log2_jacobian(outputs.result.jacobian_determinant[::_EVERY, ::_EVERY, ::_EVERY]))

    def viewSteps(self, plane: Plane) -> Generator[None, None, _View]:
        """Everything on one plane, with pauses."""
        result, points = self._result, plane.points_ras
        warped = Image(result.warped, result.fixed_grid)
        found: list[Values] = []
        for image, which in ((self._fixed, 0), (self._moving, 1), (warped, 1)):
            found.append((yield from inThread(partial(self._grey, image, which, points))))
        for values in (result.displacement_field_mm, result.jacobian_determinant):
            found.append((yield from inThread(partial(sampled, values, result.fixed_grid, points))))
        outlines: list[Values] = []
        if self._labels is not None:
            fixed, moving = self._labels
            lines = ((fixed, 0.0, _FIXED_PX), (moving, 0.0, _MOVED_PX), (moving, found[3], _MOVED_PX))
            for labels, movedMm, widthPx in lines:
                outline = partial(_outline, labels, self._names, points + movedMm, widthPx)
                outlines.append((yield from inThread(outline)))
        fixedGrey, movingGrey, warpedGrey, movedMm, determinant = found
        return _View(plane, fixedGrey, movingGrey, warpedGrey, movedMm, determinant, outlines)

    def rows(self) -> dict[str, Callable[[_View], Picture]]:
        """Return how each row is painted, by its key."""
        rows: dict[str, Callable[[_View], Picture]] = {
            "fixed": lambda view: _rgb(view.fixed),
            "moving": lambda view: _rgb(view.moving),
            "warped": lambda view: _rgb(view.warped),
        }
        if self._labels is not None:
            rows["outlines_before"] = lambda view: _outlined(view, view.outlines[1])
            rows["outlines_after"] = lambda view: _outlined(view, view.outlines[2])
        rows |= {
            "difference_before": lambda view: _difference(view.fixed, view.moving),
            "difference_after": lambda view: _difference(view.fixed, view.warped),
            "checkerboard_before": lambda view: _checkerboard(view.plane, view.fixed, view.moving),
            "checkerboard_after": lambda view: _checkerboard(view.plane, view.fixed, view.warped),
            "grid": self._grid,
            "jacobian": self._jacobian,
        }
        return rows

    def remark(self, key: str) -> str:
        """Return what is to be said of one row of this run beside its caption."""
        return leftOutText(self._result) if key == "grid" and self._leftOut is not None else ""

    def bars(self) -> dict[str, ColorBar]:
        """The colour scales of this run."""
        half = self._halfRange
        jacobian = [cssColor(color) for color in ENDS_AND_CENTER]
        ends = (_("{log}: {factor} times").format(log=f"{end:+g}", factor=f"{2**end:.2f}") for end in (-half, half))
        bar = ColorBar(jacobian, *ends)
        return {**displacementBar(self._longestMm), "jacobian": bar}

    def _grey(self, image: Image, which: int, points: Points) -> Values:
        low, high = self._ranges[which]
        return np.clip((sampled(image.array, image.grid, points) - low) / max(high - low, 1e-6), 0, 1)

    def _grid(self, view: _View) -> Picture:
        """Lines where one of the moving point's two coordinates in the plane is a multiple of the spacing."""
        points = view.plane.points_ras
        there = points + view.movedMm
        if self._leftOut is not None:
            there = transform_points(np.linalg.inv(self._leftOut), there)
        lines = [there[..., axis] / _GRID_MM for axis in view.plane.axes]
        cover = np.maximum(*(covered(values - np.rint(values), values, _GRID_PX) for values in lines))
        share = np.linalg.norm(np.nan_to_num(there - points), axis=-1) / self._longestMm
        return _drawn(_rgb(view.warped), cover, mixed(share, MAGNITUDE_COLORS))

    def _jacobian(self, view: _View) -> Picture:
        inside = np.isfinite(view.determinant)
        values = log2_jacobian(np.where(inside, view.determinant, 1.0)) / self._halfRange
        colors = 255 * mixed((values + 1) / 2, ENDS_AND_CENTER)
        blended = (1 - _COVER) * _rgb(view.fixed) + _COVER * colors
        blended[view.determinant <= 0] = _bytes(FOLDS_COLOR)
        blended[~inside] = 0
        return blended.astype(np.uint8)


def _labels(outputs: RegistrationOutputs) -> Labels | None:
    """The fixed and the moving segments, each on its own image's grid; None without both."""
    inputs, result, leftOut = outputs.inputs, outputs.result, outputs.nodes.transform
    if inputs.fixedSegmentation is None or inputs.movingSegmentation is None:
        return None
    fixed = labelsFromSegmentation(inputs.fixedSegmentation, result.fixed_grid, leftOut=leftOut)
    return fixed, labelsFromSegmentation(inputs.movingSegmentation, result.moving_grid, leftOut=leftOut)


def _outlinedNames(labels: Labels) -> list[str]:
    """The cartilages that both sides have, else all segments that both have."""
    fixed, moving = ([segment.name for segment in side.segments] for side in labels)
    common = [name for name in fixed if name in moving]
    return [name for name in common if "cartilage" in name.lower()] or common


def _offsetSteps(grid: Grid, labels: Labels | None) -> Generator[None, None, dict[int, float]]:
    """By RAS axis, where the slice lies that shows most of what it should, with pauses."""
    offsets = mostTellingOffsets(grid, {})
    for axis, wanted in enumerate(_INTEREST if labels is not None else ()):
        yield
        assert labels is not None
        names = [segment.name for segment in labels[0].segments if wanted in segment.name.lower()]
        segments = [segment for segment in labels[0].segments if not names or segment.name in names]
        mask = np.zeros(grid.shape, bool)
        for segment in segments:
            yield
            mask |= labels[0].mask(segment)
        yield
        offsets[axis] = mostTellingOffsets(grid, {axis: mask})[axis]
    yield
    return offsets


def _rgb(grey: Values) -> Picture:
    """Black where there is no image."""
    return np.repeat((255 * np.nan_to_num(grey))[..., None].astype(np.uint8), 3, axis=-1)


def _bytes(color: Color) -> tuple[int, ...]:
    return tuple(round(255 * channel) for channel in color)


def _outline(labels: SegmentLayers, names: Sequence[str], points: Points, widthPx: float) -> Values:
    """(h, w) share of each pixel that the border of one of the segments covers."""
    cover = np.zeros(points.shape[:2])
    for inside in insideSegments(labels, names, points):
        np.maximum(cover, covered(inside - _HALF, inside, widthPx), out=cover)
    return cover


def _outlined(view: _View, moved: Values) -> Picture:
    return _drawn(_drawn(_rgb(view.fixed), view.outlines[0], FIXED_COLOR), moved, WARPED_COLOR)


def _drawn(picture: Picture, cover: Values, color: Any) -> Picture:
    """The picture under lines of one colour, or of (h, w, 3) colours."""
    return np.rint(picture + cover[..., None] * (255 * np.asarray(color) - picture)).astype(np.uint8)


def _difference(fixed: Values, other: Values) -> Picture:
    """Signed colours; no difference where one of them is missing."""
    percent = np.nan_to_num(100 * (fixed - other)) / DIFFERENCE_LIMIT_PERCENT
    return (255 * mixed((percent + 1) / 2, DIFFERENCE_COLORS)).astype(np.uint8)


def _checkerboard(plane: Plane, fixed: Values, other: Values) -> Picture:
    """Squares in turn, counted from the corner of the picture."""
    away = np.abs(plane.points_ras - plane.points_ras[0, 0])
    return _rgb(np.where((away // SQUARE_MM).sum(axis=-1) % 2 == 0, fixed, other))
