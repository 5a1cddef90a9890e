"""Views of the numbers: their table, a plot, and the coloured thickness surfaces, each closed without a trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from ..mrml import DisplayableNode, Node, Scene, TableNode
from ..nodes.arrays import ownedList
from ..run.registration_nodes import RegistrationOutputs
from ..translation import _
from .view import OpenView, keepCameras, opening

TABLE_TEXT = _("All numbers, a row for each segment, for the whole image and for each landmark. Empty: not measured.")
PLOT_TEXT = _("Click the plot's push pin to choose another plot, or drag to zoom.")
THICKNESS_TEXT = _(
    "Cartilage thickness on the fixed knee's surface: red where the cartilage is thicker in the moving image, blue "
    "where it is thinner, white where it is the same."
)
_WITH_3D = ("ConventionalView", "FourUpView", "OneUp3DView", "ConventionalWidescreenView", "Dual3DView")


def openTable(scene: Scene, table: TableNode) -> OpenView:
    """Show a table node below the slice views."""
    layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView
    return _openInLayout(scene, table, layout, "vtkMRMLTableViewNode", ("ActiveTableID", "TableNodeID"), TABLE_TEXT)


def openPlot(scene: Scene, chart: Node) -> OpenView:
    """Show a plot chart node beside the slice views."""
    layout = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView
    names = ("ActivePlotChartID", "PlotChartNodeID")
    return _openInLayout(scene, chart, layout, "vtkMRMLPlotViewNode", names, PLOT_TEXT)


def _openInLayout(
    scene: Scene, node: Node, layout: int, viewClass: str, properties: tuple[str, str], text: str
) -> OpenView:
    """Show a node in the views that a layout has for it.

    Args:
        scene: the node's.
        node: table or chart.
        layout: that has such a view.
        viewClass: of these views' nodes.
        properties: where the selection node and the views' nodes keep the id of what is shown.
        text: how to read it.
    """
    with opening(scene, node.GetName(), text) as view:
        _arrange(view, layout)
        for className, name in zip(("vtkMRMLSelectionNode", viewClass), properties, strict=True):
            for shown in ownedList(scene.GetNodesByClass(className)):
                view.record.change(shown, getattr(shown, f"Get{name}"), getattr(shown, f"Set{name}"), node.GetID())
    return view


def openThickness(scene: Scene, outputs: RegistrationOutputs, models: Sequence[Any]) -> OpenView:
    """Show thickness models with their legend in 3D views, without the run's segmentations, which would hide them."""
    with opening(scene, "thickness", THICKNESS_TEXT) as view:
        keepCameras(view)
        kinds = slicer.vtkMRMLLayoutNode
        layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        if layout is not None and layout.GetViewArrangement() not in [
            getattr(kinds, f"SlicerLayout{name}") for name in _WITH_3D
        ]:
            _arrange(view, kinds.SlicerLayoutFourUpView)
        for model in models:
            setNodeShown(view, model, True)
        inputs = outputs.inputs
        for node in (inputs.fixedSegmentation, inputs.movingSegmentation, outputs.nodes.warpedSegmentation):
            display = None if node is None or node.GetScene() is not scene else node.GetDisplayNode()
            if display is not None:
                view.record.change(display, display.GetVisibility3D, display.SetVisibility3D, False)
    return view


def setNodeShown(view: OpenView, node: DisplayableNode, shown: bool) -> None:
    """Show or hide a node with all its displays: a model's surface and its legend."""
    for index in range(node.GetNumberOfDisplayNodes()):
        display = node.GetNthDisplayNode(index)
        view.record.change(display, display.GetVisibility, display.SetVisibility, int(shown))


def _arrange(view: OpenView, layout: int) -> None:
    """Change the layout of views. Slicer makes the views that it needs at once."""
    node = view.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if node is not None:
        view.record.change(node, node.GetViewArrangement, node.SetViewArrangement, layout)
