"""Histograms for Slicer's plot views: log2 J in each segment, and the change of cartilage thickness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from vtk.util import numpy_support

from JointRegistrationLib.change import LOG2_EDGES

from .mask_surface import Points
from .nodes import newNode
from .numbers import Figures
from .thickness_model import histogramOf

#: Edges of the histogram of thickness change, mm.
THICKNESS_EDGES_MM = np.linspace(-3.0, 3.0, 61)
_LINE_WIDTH = 3


@dataclass(frozen=True)
class Curve:
    """One histogram: its name, its colour (RGB, 0 to 1), and percent in each bin."""

    name: str
    color: tuple[float, float, float]
    percent: Points


@dataclass(frozen=True)
class Plot:
    """Nodes of one plot, in no scene yet: :func:`connect` ties them together once they are in one."""

    table: Any
    series: tuple[Any, ...]
    chart: Any


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


def jacobianPlot(figures: Figures, name: str) -> Plot | None:
    """The plot of :func:`jacobianCurves`; None without any."""
    title = "Volume change: more than 0, moving is larger"
    return _plot(jacobianCurves(figures), LOG2_EDGES, f"{name} (log2 J histogram)", title, "log2 J", "% of voxels")


def thicknessPlot(figures: Figures, name: str) -> Plot | None:
    """The plot of :func:`thicknessCurves`; None without any."""
    title = "Thickness change: more than 0, moving is thicker"
    curves = thicknessCurves(figures)
    label = "moving minus fixed (mm)"
    return _plot(curves, THICKNESS_EDGES_MM, f"{name} (thickness histogram)", title, label, "% of area")


def connect(plot: Plot) -> None:
    """Let series refer to their table and the chart to its series: they have ids once they are in a scene."""
    for series in plot.series:
        series.SetAndObserveTableNodeID(plot.table.GetID())
        plot.chart.AddAndObservePlotSeriesNodeID(series.GetID())


def _plot(curves: Sequence[Curve], edges: Points, name: str, title: str, xTitle: str, yTitle: str) -> Plot | None:
    if not curves:
        return None
    table = newNode("vtkMRMLTableNode", name)
    content = vtk.vtkTable()
    shown = _occupied(curves)
    content.AddColumn(_column(xTitle, ((edges[1:] + edges[:-1]) / 2)[shown]))
    for curve in curves:
        content.AddColumn(_column(curve.name, curve.percent[shown]))
    table.SetAndObserveTable(content)
    table.SetUseColumnTitleAsColumnHeader(True)
    table.SetLocked(True)
    series = tuple(_series(curve, xTitle) for curve in curves)
    chart = newNode("vtkMRMLPlotChartNode", name)
    chart.SetTitle(title)
    chart.SetXAxisTitle(xTitle)
    chart.SetYAxisTitle(yTitle)
    return Plot(table, series, chart)


def _occupied(curves: Sequence[Curve]) -> slice:
    """The bins that any curve needs, and one beside them."""
    used = np.flatnonzero(np.max([curve.percent for curve in curves], axis=0) > 0)
    return slice(max(0, int(used[0]) - 1), int(used[-1]) + 2)


def _column(name: str, values: Points) -> Any:
    column = numpy_support.numpy_to_vtk(np.ascontiguousarray(values, dtype=np.float64), deep=True)
    column.SetName(name)
    return column


def _series(curve: Curve, xTitle: str) -> Any:
    series = newNode("vtkMRMLPlotSeriesNode", curve.name)
    series.SetXColumnName(xTitle)
    series.SetYColumnName(curve.name)
    series.SetPlotType(series.PlotTypeScatter)
    series.SetMarkerStyle(series.MarkerStyleNone)
    series.SetLineStyle(series.LineStyleSolid)
    series.SetLineWidth(_LINE_WIDTH)
    series.SetColor(*curve.color)
    return series
