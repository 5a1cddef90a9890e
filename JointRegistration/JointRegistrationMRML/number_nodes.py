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
from typing import TYPE_CHECKING, Any

import slicer

from .jacobian import addLegend, sharedDivergingColors
from .numbers import Figures
from .numbers_table import numbersTable
from .plots import Plot, connect, graphsOf, plotOf
from .show_numbers import hide
from .steps import finished
from .thickness_model import LEGEND_TITLE, halfRangeMm, showThickness, thicknessModel
from .transaction import SceneTransaction
from .transforms import FIXED_ROLE, MOVING_ROLE
from .undo import RunRecord

if TYPE_CHECKING:
    from .publish import RegistrationOutputs


@dataclass(frozen=True)
class NumberNodes:
    """What :func:`addNumbers` made.

    Args:
        table: the numbers.
        models: one for each cartilage whose thickness is known in both images.
        charts: histograms of log2 J and of the thickness change, displacement and log2 J by depth; one that would
            be empty is left out.
        record: for :func:`.undo.discard`.
    """

    table: Any
    models: tuple[Any, ...]
    charts: tuple[Any, ...]
    record: RunRecord


def addNumbers(scene: Any, outputs: RegistrationOutputs, figures: Figures) -> NumberNodes:
    """All of :func:`addNumberSteps` at once; the models are shown."""
    return finished(addNumberSteps(scene, outputs, figures))


def addNumberSteps(
    scene: Any, outputs: RegistrationOutputs, figures: Figures, *, hidden: bool = False
) -> Generator[None, None, NumberNodes]:
    """Put the figures of a run into its scene, into the run's folder.

    The models share one range of colours; the legend is the first one's. Pauses after each node, so that a window stays
    alive; if the generator is closed before its end, the scene becomes what it was.

    Args:
        scene: the run's scene.
        outputs: of the run.
        figures: of :func:`.numbers.measure`.
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


def _colour(scene: Any, models: list[Any], halfMm: float) -> None:
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


def _intoFolder(scene: Any, folderItem: int, nodes: list[Any]) -> None:
    """Below the run's folder, if it is still there."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if not folderItem or hierarchy.GetItemName(folderItem) == "":
        return
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node)
        if item == hierarchy.GetInvalidItemID():
            hierarchy.CreateItem(folderItem, node)
        else:
            hierarchy.SetItemParent(item, folderItem)
