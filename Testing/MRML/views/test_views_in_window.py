"""Views of a run where Slicer's own displayable managers watch the scene, as those of its slice views do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import slicer
import vtk

from JointRegistrationMRML.inspection.session import VIEWS, Inspection
from JointRegistrationMRML.run.register import registerVolumes
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from JointRegistrationMRML.scene.view_state import restoreViews, slicesOf
from Testing.Support.at_once import maskSegmentation, showComparison
from Testing.Support.known_scene import FIXED_GRID, sceneState
from Testing.Support.slice_view import SliceViewRenderer


@pytest.fixture
def window(knee, headless):
    """A slice view of the scene, and a fixed segmentation."""
    fixed = knee.scene.AddNode(maskSegmentation(np.ones(FIXED_GRID.shape, bool), FIXED_GRID, "Femur", (1, 0, 0)))
    fixed.CreateDefaultDisplayNodes()
    knee.nodes = replace(knee.nodes, fixedSegmentation=fixed)
    with SliceViewRenderer(knee.scene, headless.applicationLogic) as window:
        yield window


def run(knee, options=None):
    return registerVolumes(knee.scene, knee.nodes, runner=knee.run, options=options)


def legends(scene, window):
    """Titles of the colour legends that the slice view shows."""
    manager = window._managers.GetDisplayableManagerByClassName("vtkMRMLColorLegendDisplayableManager")
    nodes = scene.GetNodesByClass("vtkMRMLColorLegendDisplayNode")
    nodes.UnRegister(None)
    found = [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
    return [node.GetTitleText().splitlines()[0] for node in found if manager.GetColorLegendActor(node).GetVisibility()]


@pytest.mark.parametrize("name", list(VIEWS))
def test_nothing_of_a_view_stays_that_the_window_made_for_it(knee, window, name):
    inspection = Inspection(knee.scene, run(knee))
    before = sceneState(knee.scene)
    for _ in range(2):
        inspection.open(name)
        inspection.close(name)
        assert sceneState(knee.scene) == before


@pytest.mark.parametrize("own", [False, True], ids=["the run's volume", "the view's own"])
@pytest.mark.parametrize("name", ["jacobian", "difference"])
def test_the_legend_is_in_the_slice_views_as_long_as_its_volume(knee, window, name, own):
    inspection = Inspection(knee.scene, run(knee, OutputOptions(jacobian=not own)))
    title = {"jacobian": "Size in moving image", "difference": "Fixed - warped"}[name]
    assert legends(knee.scene, window) == []
    for _ in range(2):
        inspection.open(name)
        assert legends(knee.scene, window) == [title]
        inspection.close(name)
        assert legends(knee.scene, window) == []


def test_the_legend_comes_and_goes_with_the_comparison_that_shows_its_volume(knee, window):
    outputs = run(knee)
    record = showComparison(knee.scene, outputs, "jacobian")
    assert legends(knee.scene, window) == ["Size in moving image"]
    record = showComparison(knee.scene, outputs, "warped", record)
    assert legends(knee.scene, window) == []
    record = showComparison(knee.scene, outputs, "jacobian", record)
    restoreViews(knee.scene, record)
    assert legends(knee.scene, window) == []


@pytest.mark.parametrize("name", ["contours", "agreement", "folds"])
def test_segmentations_come_into_the_scene_with_a_display_node(knee, window, name):
    without = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def look(scene, event, node):
        if node.IsA("vtkMRMLSegmentationNode") and node.GetDisplayNode() is None:
            without.append(node.GetName())

    knee.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, look)
    Inspection(knee.scene, run(knee, OutputOptions(folds=name != "folds"))).open(name)
    assert without == []


def test_the_composites_are_those_of_the_window(knee, window):
    assert slicesOf(knee.scene)  # or nothing above was tested
