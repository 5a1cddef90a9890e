"""Views of the numbers: their table, a plot, and the coloured thickness surfaces, each closed without a trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import slicer

from .nodes import ownedList
from .open_view import OpenView, opening

if TYPE_CHECKING:
    from .publish import RegistrationOutputs

TABLE_TEXT = "All numbers, a row for each segment, for the whole image and for each landmark. Empty: not measured."
PLOT_TEXT = "Click the plot's push pin to choose another plot, or drag to zoom."
THICKNESS_TEXT = (
    "Cartilage thickness on the fixed knee's surface: red where the cartilage is thicker in the moving image, blue "
    "where it is thinner, white where it is the same."
)
_WITH_3D = ("ConventionalView", "FourUpView", "OneUp3DView", "ConventionalWidescreenView", "Dual3DView")


def openTable(scene: Any, table: Any) -> OpenView:
    """Show a table node below the slice views."""
    with opening(scene, "table", TABLE_TEXT) as view:
        _arrange(view, slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView)
        for selection in ownedList(scene.GetNodesByClass("vtkMRMLSelectionNode")):
            view.record.change(selection, selection.GetActiveTableID, selection.SetActiveTableID, table.GetID())
        for shown in ownedList(scene.GetNodesByClass("vtkMRMLTableViewNode")):
            view.record.change(shown, shown.GetTableNodeID, shown.SetTableNodeID, table.GetID())
    return view


def openPlot(scene: Any, chart: Any) -> OpenView:
    """Show a plot chart node beside the slice views."""
    with opening(scene, "plot", PLOT_TEXT) as view:
        _arrange(view, slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView)
        for selection in ownedList(scene.GetNodesByClass("vtkMRMLSelectionNode")):
            view.record.change(selection, selection.GetActivePlotChartID, selection.SetActivePlotChartID, chart.GetID())
        for shown in ownedList(scene.GetNodesByClass("vtkMRMLPlotViewNode")):
            view.record.change(shown, shown.GetPlotChartNodeID, shown.SetPlotChartNodeID, chart.GetID())
    return view


def openThickness(scene: Any, outputs: RegistrationOutputs, models: Sequence[Any]) -> OpenView:
    """Show thickness models with their legend in 3D views, without the run's segmentations, which would hide them."""
    with opening(scene, "thickness", THICKNESS_TEXT) as view:
        kinds = slicer.vtkMRMLLayoutNode
        layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        if layout is not None and layout.GetViewArrangement() not in [
            getattr(kinds, f"SlicerLayout{name}") for name in _WITH_3D
        ]:
            _arrange(view, kinds.SlicerLayoutFourUpView)
        for model in models:
            setShown(view, model, True)
        inputs = outputs.inputs
        for node in (inputs.fixedSegmentation, inputs.movingSegmentation, outputs.nodes.warpedSegmentation):
            display = None if node is None or node.GetScene() is not scene else node.GetDisplayNode()
            if display is not None:
                view.record.change(display, display.GetVisibility3D, display.SetVisibility3D, False)
    return view


def setShown(view: OpenView, node: Any, shown: bool) -> None:
    """Show or hide a node with all its displays: a model's surface and its legend."""
    for index in range(node.GetNumberOfDisplayNodes()):
        display = node.GetNthDisplayNode(index)
        view.record.change(display, display.GetVisibility, display.SetVisibility, int(shown))


def hide(models: Sequence[Any]) -> None:
    """Hide models with their legends, until :func:`openThickness` shows them."""
    for model in models:
        for index in range(model.GetNumberOfDisplayNodes()):
            model.GetNthDisplayNode(index).SetVisibility(0)


def _arrange(view: OpenView, layout: int) -> None:
    """Change the layout of views. Slicer makes the views that it needs at once."""
    node = view.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if node is not None:
        view.record.change(node, node.GetViewArrangement, node.SetViewArrangement, layout)
