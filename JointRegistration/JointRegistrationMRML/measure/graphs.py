"""Plots of a run: histograms of log2 J and of thickness change, and what the map does by depth.

:func:`graphsOf` says what they show; :func:`.plotOf` makes nodes of one for Slicer's plot views, and
:mod:`.plots` draws one for the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from JointRegistrationLib.core.figures.map_statistics import LOG2_EDGES

from ..translation import _
from .cartilage import DEPTH_EDGES_MM
from .measurement import Measurement
from .surfaces import Points
from .thickness_model import histogramOf

#: Edges of the histogram of thickness change, mm.
THICKNESS_EDGES_MM = np.linspace(-3.0, 3.0, 61)

_DEPTH = _("distance from the bone (mm)")
_DEPTH_COLUMN = "distance from the bone (mm)"


@dataclass(frozen=True)
class Curve:
    """One line: its name, its colour (RGB, 0 to 1), and the value in each bin: percent, or a mean (nan: none)."""

    name: str
    color: tuple[float, float, float]
    values: Points


@dataclass(frozen=True)
class PlotText:
    """Which plot it is, and its words.

    ``name`` is what its nodes are called behind the run's name, and ``xColumn`` the table's first column; both are the
    same in every language. ``title``, ``xTitle`` and ``yTitle`` are shown.
    """

    kind: str
    name: str
    xColumn: str
    title: str
    xTitle: str
    yTitle: str


_JACOBIAN = PlotText(
    "jacobianPlot",
    "log2 J histogram",
    "log2 J",
    _("Volume change: more than 0, moving is larger"),
    _("log2 J"),
    _("% of voxels"),
)
_THICKNESS = PlotText(
    "thicknessPlot",
    "thickness histogram",
    "moving minus fixed (mm)",
    _("Thickness change: more than 0, moving is thicker"),
    _("moving minus fixed (mm)"),
    _("% of area"),
)
_DEPTH_JACOBIAN = PlotText(
    "depthJacobianPlot",
    "log2 J by depth",
    _DEPTH_COLUMN,
    _("Volume change by depth: more than 0, moving is larger"),
    _DEPTH,
    _("mean log2 J"),
)


@dataclass(frozen=True)
class Graph:
    """What a plot shows, whoever draws it: the middle of each bin (n,), and lines with n values each."""

    text: PlotText
    middles: Points
    curves: tuple[Curve, ...]


def graphsOf(figures: Measurement) -> list[Graph]:
    """The plots of a run; one that would be empty is left out."""
    graphs = (
        _graph(jacobianCurves(figures), LOG2_EDGES, _JACOBIAN),
        _graph(thicknessCurves(figures), THICKNESS_EDGES_MM, _THICKNESS),
        _graph(_depthCurves(figures, "movedMm"), DEPTH_EDGES_MM, _depthMovedText(figures)),
        _graph(_depthCurves(figures, "log2Jacobian"), DEPTH_EDGES_MM, _DEPTH_JACOBIAN),
    )
    return [graph for graph in graphs if graph is not None]


def jacobianCurves(figures: Measurement) -> list[Curve]:
    """The histogram of log2 J of each segment that has one; bins :data:`.LOG2_EDGES`."""
    return [
        Curve(segment.name, segment.color, 100 * np.asarray(segment.change.histogram))
        for segment in figures.segments
        if segment.change.histogram
    ]


def thicknessCurves(figures: Measurement) -> list[Curve]:
    """The histogram of thickness change of each cartilage; bins :data:`THICKNESS_EDGES_MM`."""
    return [
        Curve(item.pair.cartilage, item.color, histogramOf(item.change, THICKNESS_EDGES_MM))
        for item in figures.cartilage
        if item.change is not None and len(item.change.surface.points)
    ]


def _depthCurves(figures: Measurement, attribute: str) -> list[Curve]:
    profiles = [(item, getattr(item.profile, attribute)) for item in figures.cartilage if item.profile is not None]
    return [Curve(item.pair.cartilage, item.color, means) for item, means in profiles if np.isfinite(means).any()]


def _depthMovedText(figures: Measurement) -> PlotText:
    known = [item.profile.withoutAffine for item in figures.cartilage if item.profile is not None]
    title = _("Displacement beyond the affine part by depth") if all(known) else _("Displacement by depth")
    return PlotText("depthMovedPlot", "displacement by depth", _DEPTH_COLUMN, title, _DEPTH, _("mean (mm)"))


def _graph(curves: Sequence[Curve], edges: Points, text: PlotText) -> Graph | None:
    """The bins that any curve needs; None without curves."""
    if not curves:
        return None
    shown = _occupied(curves)
    cut = tuple(replace(curve, values=curve.values[shown]) for curve in curves)
    return Graph(text, ((edges[1:] + edges[:-1]) / 2)[shown], cut)


def _occupied(curves: Sequence[Curve]) -> slice:
    """The bins that any curve needs, and one beside them."""
    used = np.flatnonzero(np.any([np.nan_to_num(curve.values) != 0 for curve in curves], axis=0))
    if used.size == 0:
        return slice(None)
    return slice(max(0, int(used[0]) - 1), int(used[-1]) + 2)
