"""The numbers' table and plots in Slicer's own table and plot views, and these views as they were afterwards."""

from __future__ import annotations

import pytest
import slicer

from JointRegistrationMRML.inspection.tables_and_plots import openPlot, openTable
from JointRegistrationMRML.inspection.view import closeView


@pytest.fixture
def views(scene):
    """The nodes that desktop Slicer keeps for its layout and for what its views show."""
    classes = ("vtkMRMLLayoutNode", "vtkMRMLSelectionNode", "vtkMRMLTableViewNode", "vtkMRMLPlotViewNode")
    return {name: scene.AddNewNodeByClass(name) for name in classes}


@pytest.mark.parametrize(
    "opens, kind, view, get, active, layout",
    [
        (openTable, "vtkMRMLTableNode", "vtkMRMLTableViewNode", "GetTableNodeID", "GetActiveTableID", "TableView"),
        (
            openPlot,
            "vtkMRMLPlotChartNode",
            "vtkMRMLPlotViewNode",
            "GetPlotChartNodeID",
            "GetActivePlotChartID",
            "PlotView",
        ),
    ],
)
def test_numbers_are_shown_in_slicers_views_and_closing_brings_back_what_they_showed(
    scene, views, opens, kind, view, get, active, layout
):
    earlier, node = (scene.AddNewNodeByClass(kind, name) for name in ("mine", "numbers"))
    getattr(views[view], get.replace("Get", "Set"))(earlier.GetID())
    views["vtkMRMLLayoutNode"].SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    shown = opens(scene, node)
    assert getattr(views[view], get)() == node.GetID()
    assert getattr(views["vtkMRMLSelectionNode"], active)() == node.GetID()
    arrangement = views["vtkMRMLLayoutNode"].GetViewArrangement
    assert arrangement() == getattr(slicer.vtkMRMLLayoutNode, f"SlicerLayoutFourUp{layout}")
    closeView(shown)
    assert getattr(views[view], get)() == earlier.GetID()
    assert getattr(views["vtkMRMLSelectionNode"], active)() is None
    assert arrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
