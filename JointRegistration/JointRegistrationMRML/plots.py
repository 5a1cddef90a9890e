"""Plots of a run: histograms of log2 J and of thickness change, and what the map does by depth.

:func:`graphsOf` says what they show; :func:`plotOf` makes nodes of one for Slicer's plot views, and
:mod:`.report_plots` draws one for the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import vtk
from vtk.util import numpy_support

from JointRegistrationLib.core.map_statistics import LOG2_EDGES

from .depth_profile import DEPTH_EDGES_MM
from .mask_surface import Points
from .nodes.arrays import newNode
from .numbers import Figures
from .thickness_model import histogramOf
from .translation import _

#: Edges of the histogram of thickness change, mm.
THICKNESS_EDGES_MM = np.linspace(-3.0, 3.0, 61)
#: Of a chart node: which plot it is.
KIND_ATTRIBUTE = "JointRegistration.plot"

_DEPTH = _("distance from the bone (mm)")
_DEPTH_COLUMN = "distance from the bone (mm)"
_LINE_WIDTH = 3


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


@dataclass(frozen=True)
class Plot:
    """Nodes of one plot, in no scene yet: :func:`connect` ties them together once they are in one."""

    table: Any
    series: tuple[Any, ...]
    chart: Any


def graphsOf(figures: Figures) -> list[Graph]:
    """The plots of a run; one that would be empty is left out."""
    graphs = (
        _graph(jacobianCurves(figures), LOG2_EDGES, _JACOBIAN),
        _graph(thicknessCurves(figures), THICKNESS_EDGES_MM, _THICKNESS),
        _graph(_depthCurves(figures, "movedMm"), DEPTH_EDGES_MM, _depthMovedText(figures)),
        _graph(_depthCurves(figures, "log2Jacobian"), DEPTH_EDGES_MM, _DEPTH_JACOBIAN),
    )
    return [graph for graph in graphs if graph is not None]


def jacobianCurves(figures: Figures) -> list[Curve]:
    """The histogram of log2 J of each segment that has one; bins :data:`LOG2_EDGES`."""
    return [
        Curve(segment.name, segment.color, 100 * np.asarray(segment.change.histogram))
        for segment in figures.segments
        if segment.change.histogram
    ]


def thicknessCurves(figures: Figures) -> list[Curve]:
    """The histogram of thickness change of each cartilage; bins :data:`THICKNESS_EDGES_MM`."""
    return [
        Curve(item.pair.cartilage, item.color, histogramOf(item.change, THICKNESS_EDGES_MM))
        for item in figures.cartilage
        if item.change is not None and len(item.change.surface.points)
    ]


def _depthCurves(figures: Figures, attribute: str) -> list[Curve]:
    profiles = [(item, getattr(item.profile, attribute)) for item in figures.cartilage if item.profile is not None]
    return [Curve(item.pair.cartilage, item.color, means) for item, means in profiles if np.isfinite(means).any()]


def _depthMovedText(figures: Figures) -> PlotText:
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


# -- nodes ----------------------------------------------------------------------------------------------


def plotOf(graph: Graph, name: str) -> Plot:
    """Nodes that show a graph.

    Args:
        graph: one of :func:`graphsOf`.
        name: of the run, for the nodes' names.
    """
    text, full = graph.text, f"{name} ({graph.text.name})"
    table = newNode("vtkMRMLTableNode", full)
    content = vtk.vtkTable()
    content.AddColumn(_column(text.xColumn, graph.middles))
    for curve in graph.curves:
        content.AddColumn(_column(curve.name, curve.values))
    table.SetAndObserveTable(content)
    table.SetUseColumnTitleAsColumnHeader(True)
    table.SetLocked(True)
    series = tuple(_series(curve, text.xColumn) for curve in graph.curves)
    chart = newNode("vtkMRMLPlotChartNode", full)
    chart.SetAttribute(KIND_ATTRIBUTE, text.kind)
    chart.SetTitle(text.title)
    chart.SetXAxisTitle(text.xTitle)
    chart.SetYAxisTitle(text.yTitle)
    return Plot(table, series, chart)


def connect(plot: Plot) -> None:
    """Let series refer to their table and the chart to its series: they have ids once they are in a scene."""
    for series in plot.series:
        series.SetAndObserveTableNodeID(plot.table.GetID())
        plot.chart.AddAndObservePlotSeriesNodeID(series.GetID())


def _column(name: str, values: Points) -> Any:
    column = numpy_support.numpy_to_vtk(np.ascontiguousarray(values, dtype=np.float64), deep=True)
    column.SetName(name)
    return column


def _series(curve: Curve, xColumn: str) -> Any:
    series = newNode("vtkMRMLPlotSeriesNode", curve.name)
    series.SetXColumnName(xColumn)
    series.SetYColumnName(curve.name)
    series.SetPlotType(series.PlotTypeScatter)
    series.SetMarkerStyle(series.MarkerStyleNone)
    series.SetLineStyle(series.LineStyleSolid)
    series.SetLineWidth(_LINE_WIDTH)
    series.SetColor(*curve.color)
    return series
