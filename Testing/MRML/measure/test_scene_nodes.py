"""Numbers as nodes: models, plots and the table come and go together."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import slicer
from vtk.util import numpy_support

from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML.measure.graphs import THICKNESS_EDGES_MM, jacobianCurves, thicknessCurves
from JointRegistrationMRML.measure.measurement import measure
from JointRegistrationMRML.measure.scene_nodes import KIND_ATTRIBUTE, addNumbers, addNumberSteps
from JointRegistrationMRML.measure.thickness_model import CHANGE_NAME, FIXED_NAME, MOVING_NAME, halfRangeMm
from JointRegistrationMRML.nodes.transforms import FIXED_ROLE
from JointRegistrationMRML.run.publish import publishResult
from JointRegistrationMRML.scene.transaction import discard, discardSteps
from Testing.Support.examples import run_example
from Testing.Support.known_scene import sceneState
from Testing.Support.measured_run import linearResult, masks, outputsOf


@pytest.fixture
def outputs(scene):
    return outputsOf(scene, linearResult(np.diag([0.9] * 3)), masks(), masks(scale=0.9))


def values(model, name):
    return numpy_support.vtk_to_numpy(model.GetPolyData().GetPointData().GetArray(name))


def test_nodes_are_added_and_taken_away_again(scene, outputs):
    figures = measure(outputs)
    before = sceneState(scene)
    nodes = addNumbers(scene, outputs, figures)
    assert len(nodes.models) == 1 and len(nodes.charts) == 4
    assert nodes.table.GetNodeReference(FIXED_ROLE) is outputs.inputs.fixed
    assert discard(scene, nodes.record) == []
    left = {node for node in sceneState(scene) - before if not node[1].startswith("Jacobian blue")}
    assert left == set()


def test_nodes_of_a_published_run_stand_in_its_folder_even_without_a_fixed_segmentation(knee):
    outputs = publishResult(knee.scene, knee.nodes, knee.result)
    nodes = addNumbers(knee.scene, outputs, measure(outputs))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(knee.scene)
    assert nodes.models == ()  # there is no fixed segmentation
    assert len(nodes.charts) == 1
    assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes.table)) == outputs.folderItem


def test_model_holds_the_change_in_mm_and_is_coloured_about_zero(scene, outputs):
    model = addNumbers(scene, outputs, measure(outputs)).models[0]
    change = values(model, CHANGE_NAME)
    np.testing.assert_allclose(change, values(model, MOVING_NAME) - values(model, FIXED_NAME), atol=1e-6)
    assert change.mean() == pytest.approx(-0.5, abs=0.3)  # 0.9 of 5 mm, in voxels of up to 3.6 mm
    display = model.GetDisplayNode()
    low, high = display.GetScalarRange()
    assert low == -high < 0
    assert display.GetActiveScalarName() == CHANGE_NAME and display.GetScalarVisibility()
    assert display.GetScalarRangeFlag() == display.UseManualScalarRange
    assert display.GetColorNode().GetName() == "Jacobian blue-white-red"


def test_the_example_of_the_docs_writes_what_is_in_the_table(scene, outputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_example("docs/inspection.md", 1, scene=scene, outputs=outputs)
    assert names["nodes"].table.GetScene() is scene and names["nodes"].models
    assert "Femoral cartilage" in (tmp_path / "knee.csv").read_text(encoding="utf-8")


def test_normals_of_the_model_point_out_of_the_bone(scene, outputs):
    mesh = addNumbers(scene, outputs, measure(outputs)).models[0].GetPolyData()
    points = numpy_support.vtk_to_numpy(mesh.GetPoints().GetData())
    normals = numpy_support.vtk_to_numpy(mesh.GetPointData().GetNormals())
    away = points - points.mean(axis=0)
    assert ((normals * away).sum(axis=1) > 0).mean() > 0.95


def test_charts_show_each_segment_in_its_colour(scene, outputs):
    figures = measure(outputs)
    jacobian, thickness, *_ = addNumbers(scene, outputs, figures).charts
    names = [jacobian.GetNthPlotSeriesNode(index).GetName() for index in range(jacobian.GetNumberOfPlotSeriesNodes())]
    assert names == ["Femur", "Femoral cartilage"]
    series = jacobian.GetNthPlotSeriesNode(1)
    assert series.GetColor() == pytest.approx(figures.segments[1].color)
    table = series.GetTableNode().GetTable()
    percent = numpy_support.vtk_to_numpy(table.GetColumnByName(series.GetYColumnName()))
    middle = numpy_support.vtk_to_numpy(table.GetColumnByName(series.GetXColumnName()))
    assert percent.sum() == pytest.approx(100)
    assert middle[percent.argmax()] == pytest.approx(3 * np.log2(0.9), abs=0.026)
    assert thickness.GetNumberOfPlotSeriesNodes() == 1
    assert "more than 0, moving is thicker" in thickness.GetTitle()


def test_histograms_hold_all_voxels_and_all_the_area(outputs):
    figures = measure(outputs)
    assert [curve.values.sum() for curve in jacobianCurves(figures)] == pytest.approx([100, 100])
    (curve,) = thicknessCurves(figures)
    middle = (THICKNESS_EDGES_MM[1:] + THICKNESS_EDGES_MM[:-1]) / 2
    assert curve.values.sum() == pytest.approx(100)
    assert curve.values @ middle / 100 == pytest.approx(figures.cartilage[0].change.meanMm, abs=0.05)


def test_charts_by_depth_hold_the_means_of_each_cartilage(scene, outputs):
    figures = measure(outputs)
    charts = {chart.GetAttribute(KIND_ATTRIBUTE): chart for chart in addNumbers(scene, outputs, figures).charts}
    assert list(charts) == ["jacobianPlot", "thicknessPlot", "depthMovedPlot", "depthJacobianPlot"]
    (item,) = figures.cartilage
    for kind, expected in (("depthMovedPlot", item.profile.movedMm), ("depthJacobianPlot", item.profile.log2Jacobian)):
        chart = charts[kind]
        assert chart.GetXAxisTitle() == "distance from the bone (mm)"
        assert chart.GetNumberOfPlotSeriesNodes() == 1
        series = chart.GetNthPlotSeriesNode(0)
        assert series.GetName() == "Femoral cartilage"
        table = series.GetTableNode().GetTable()
        depth, means = (
            numpy_support.vtk_to_numpy(table.GetColumnByName(name))
            for name in (series.GetXColumnName(), series.GetYColumnName())
        )
        np.testing.assert_allclose(means, expected[: len(means)])
        np.testing.assert_allclose(depth, 0.25 + 0.5 * np.arange(len(means)))
    # The map shrinks everything about the centre by a tenth, and nothing is known of its affine part.
    assert "affine" in charts["depthMovedPlot"].GetTitle()
    np.testing.assert_allclose(item.profile.log2Jacobian[1:6], 3 * np.log2(0.9), atol=1e-5)


def test_range_of_colours_holds_most_of_the_change(outputs):
    change = measure(outputs).cartilage[0].change
    half = halfRangeMm([change])
    assert np.percentile(np.abs(change.changeMm), 95) <= half <= 3
    assert halfRangeMm([]) == 0.2


def test_nodes_are_added_and_taken_away_a_few_at_a_time_and_hidden_if_wanted(scene, outputs):
    own = ("vtkMRMLTableNode", "vtkMRMLModelNode", "vtkMRMLPlotChartNode")

    def count():
        return sum(scene.GetNumberOfNodesByClass(kind) for kind in own)

    steps, counts = addNumberSteps(scene, outputs, measure(outputs), hidden=True), [count()]
    shown = set()

    def look():
        counts.append(count())
        models = [scene.GetNthNodeByClass(n, "vtkMRMLModelNode") for n in range(counts[-1])]
        shown.update(model.GetDisplayVisibility() for model in models if model is not None and model.GetDisplayNode())

    nodes = finished(steps, after=look)
    assert shown == {0}
    assert counts[-1] - counts[0] == 1 + 1 + 4 * 2  # the table, a model, a chart and its table for each plot
    assert max(after - before for before, after in itertools.pairwise(counts)) == 2
    counts = [count(), *(count() for _ in discardSteps(scene, nodes.record))]
    assert counts[0] - counts[-1] == 10
    assert max(before - after for before, after in itertools.pairwise(counts)) == 1


def test_a_closed_generator_leaves_no_numbers(scene, outputs):
    figures, before = measure(outputs), sceneState(scene)
    steps = addNumberSteps(scene, outputs, figures)
    for _ in range(4):
        next(steps)
    assert sceneState(scene) != before
    steps.close()
    assert sceneState(scene) == before
