"""The 3D view off-screen: models with the colour legend that says what their colours mean."""

from __future__ import annotations

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationMRML.measure.thickness_model import LEGEND_TITLE
from JointRegistrationMRML.nodes.colors import addLegend, sharedDivergingColors
from Testing.Support.slice_view import canRender
from Testing.Support.surface_view import SurfaceViewRenderer

pytestmark = pytest.mark.skipif(not canRender(), reason="no OpenGL off-screen")


def colouredBall(scene):
    """A model coloured by its height, from -1 to 1, and its legend."""
    ball = vtk.vtkSphereSource()
    ball.SetRadius(20)
    height = vtk.vtkElevationFilter()
    height.SetInputConnection(ball.GetOutputPort())
    height.SetLowPoint(0, 0, -20)
    height.SetHighPoint(0, 0, 20)
    height.SetScalarRange(-1, 1)
    height.Update()
    model = slicer.vtkMRMLModelNode()
    model.SetAndObserveMesh(height.GetOutput())
    scene.AddNode(model)
    model.CreateDefaultDisplayNodes()
    display = model.GetDisplayNode()
    display.SetActiveScalarName("Elevation")
    display.SetAndObserveColorNodeID(sharedDivergingColors(scene).GetID())
    display.SetScalarVisibility(True)
    return addLegend(model, LEGEND_TITLE)


@pytest.mark.parametrize("when", ["before the view", "after the view"])
def test_the_legend_is_drawn_whether_it_was_there_before_the_view_or_not(headless, when):
    scene = headless.scene
    legend = colouredBall(scene) if when == "before the view" else None
    with SurfaceViewRenderer(scene, headless.applicationLogic) as view:
        legend = legend or colouredBall(scene)
        shown = view.render(sizePx=(500, 400)).astype(int)
        legend.SetVisibility(False)
        hidden = view.render(sizePx=(500, 400)).astype(int)
    rows, columns = np.nonzero(np.abs(shown - hidden).sum(axis=-1) > 30)
    assert len(rows) > 300
    assert columns.min() > 250 and rows.min() > 150  # in the lower right, beside the surface
