"""The numbers of a run as nodes: a table, thickness models and plots, put into the scene all or none.

Example::

    figures = measure(outputs)
    nodes = addNumbers(scene, outputs, figures)
    writeCsv(nodes.table, Path("knee.csv"))
    discard(scene, nodes.record)  # takes all of them away again
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from vtk.util import numpy_support

from JointRegistrationLib.core.progress import finished

from ..mrml import Scene
from ..nodes.arrays import newNode
from ..nodes.colors import addLegend, sharedDivergingColors
from ..nodes.tables import tableNode
from ..nodes.transforms import FIXED_ROLE, MOVING_ROLE
from ..run.registration_nodes import RegistrationOutputs
from ..scene.transaction import RunRecord, SceneTransaction, placeUnder
from .graphs import Curve, Graph, graphsOf
from .measurement import Measurement
from .surfaces import Points
from .table import numbersTable
from .thickness_model import LEGEND_TITLE, halfRangeMm, hide, showThickness, thicknessModel


@dataclass(frozen=True)
class NumberNodes:
    """What :func:`addNumbers` made.

    Args:
        table: the numbers.
        models: one for each cartilage whose thickness is known in both images.
        charts: histograms of log2 J and of the thickness change, displacement and log2 J by depth; one that would
            be empty is left out.
        record: for :func:`.transaction.discard`.
    """

    table: Any
    models: tuple[Any, ...]
    charts: tuple[Any, ...]
    record: RunRecord


def addNumbers(scene: Scene, outputs: RegistrationOutputs, figures: Measurement) -> NumberNodes:
    """All of :func:`addNumberSteps` at once; the models are shown."""
    return finished(addNumberSteps(scene, outputs, figures))


def addNumberSteps(
    scene: Scene, outputs: RegistrationOutputs, figures: Measurement, *, hidden: bool = False
) -> Generator[None, None, NumberNodes]:
    """Put the figures of a run into its scene, into the run's folder.

    The models share one range of colours; the legend is the first one's. Pauses after each node, so that a window stays
    alive; if the generator is closed before its end, the scene becomes what it was.

    Args:
        scene: the run's scene.
        outputs: of the run.
        figures: of :func:`.measurement.measure`.
        hidden: leave the models hidden, with their legend.
    """
    inputs = outputs.inputs
    name = f"{inputs.moving.GetName()} to {inputs.fixed.GetName()}"
    table = numbersTable(figures, f"{name} (numbers)")
    known = [item for item in figures.cartilage if item.change is not None and len(item.change.surface.points)]
    models = [thicknessModel(item) for item in known]
    plots = [plotOf(graph, name) for graph in graphsOf(figures)]
    yield
    with SceneTransaction(scene, batch=False) as transaction:
        transaction.put(table, None)
        yield from transaction.pause()
        for model in models:
            transaction.put(model, None)
            model.CreateDefaultDisplayNodes()
            model.GetDisplayNode().SetVisibility(not hidden)
            yield from transaction.pause()
        _colour(scene, models, halfRangeMm([item.change for item in known if item.change is not None]))
        if hidden:
            hide(models)
        yield from transaction.pause()
        for plot in plots:
            _putPlot(transaction, plot)
            yield from transaction.pause()
        for node in (table, *models):
            transaction.setReference(node, FIXED_ROLE, inputs.fixed)
            transaction.setReference(node, MOVING_ROLE, inputs.moving)
        _intoFolder(scene, outputs.folderItem, [table, *models, *(plot.table for plot in plots)])
    return NumberNodes(table, tuple(models), tuple(plot.chart for plot in plots), RunRecord(transaction))


def _colour(scene: Scene, models: list[Any], halfMm: float) -> None:
    if not models:
        return
    colors = sharedDivergingColors(scene)
    for model in models:
        showThickness(model, colors, halfMm)
    addLegend(models[0], LEGEND_TITLE)


def _putPlot(transaction: SceneTransaction, plot: Plot) -> None:
    for node in (plot.table, *plot.series, plot.chart):
        transaction.put(node, None)
    for series in plot.series:
        series.SetName(series.GetYColumnName())  # the legend says it: no number behind it, as unique names have
    connect(plot)


def _intoFolder(scene: Scene, folderItem: int, nodes: list[Any]) -> None:
    """Below the run's folder, if it is still there."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if not folderItem or hierarchy.GetItemName(folderItem) == "":
        return
    for node in nodes:
        placeUnder(hierarchy, folderItem, node)


#: Of a chart node: which plot it is.
KIND_ATTRIBUTE = "JointRegistration.plot"
_LINE_WIDTH = 3


@dataclass(frozen=True)
class Plot:
    """Nodes of one plot, in no scene yet: :func:`connect` ties them together once they are in one."""

    table: Any
    series: tuple[Any, ...]
    chart: Any


# -- nodes ----------------------------------------------------------------------------------------------


def plotOf(graph: Graph, name: str) -> Plot:
    """Nodes that show a graph.

    Args:
        graph: one of :func:`.graphsOf`.
        name: of the run, for the nodes' names.
    """
    text, full = graph.text, f"{name} ({graph.text.name})"
    curves = [_column(curve.name, curve.values) for curve in graph.curves]
    table = tableNode(full, [_column(text.xColumn, graph.middles), *curves])
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
