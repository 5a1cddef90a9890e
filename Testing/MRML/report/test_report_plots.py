"""Plots of the report: lines lie where their axes say, gaps stay gaps, names cannot break the page."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from JointRegistrationMRML.measure.graphs import Curve, Graph, PlotText, graphsOf
from JointRegistrationMRML.measure.measurement import measure
from JointRegistrationMRML.report.plots import plotSvg
from Testing.Support.measured_run import linearResult, masks, outputsOf

NAN = float("nan")
TEXT = PlotText("kind", "name", "depth", "Title & more", "depth (mm)", "mean (mm)")


def drawn(values, middles=None, names=("Femoral cartilage",)):
    values = np.atleast_2d(np.asarray(values, dtype=float))
    middles = np.arange(values.shape[1]) + 0.25 if middles is None else np.asarray(middles, dtype=float)
    curves = tuple(Curve(name, (0.95, 0.9, 0.7), line) for name, line in zip(names, values, strict=True))
    return ElementTree.fromstring(plotSvg(Graph(TEXT, middles, curves)))


def scale(svg, anchor, coordinate):
    """Pixels to values, by the numbers at one axis."""
    texts = [text for text in svg.iter("text") if text.get("text-anchor") == anchor and text.get("transform") is None]
    ticks = [text for text in texts if text.text.replace("-", "").replace(".", "").isdigit()]
    assert 3 <= len(ticks) <= 9
    return np.polyfit([float(text.get(coordinate)) for text in ticks], [float(text.text) for text in ticks], 1)


def lines(svg):
    """The points of each line, as values."""
    across, down = scale(svg, "middle", "x"), scale(svg, "end", "y")
    down[1] += 4 * down[0]  # a number's base line lies 4 pixels below its place
    parts = [
        np.array([place.split(",") for place in line.get("points").split()], float) for line in svg.iter("polyline")
    ]
    return [np.stack([np.polyval(across, part[:, 0]), np.polyval(down, part[:, 1])], axis=-1) for part in parts]


@pytest.mark.parametrize("factor", [1e-3, 1.0, 340.0])
def test_lines_lie_where_the_axes_say(factor):
    values = factor * np.array([0.3, -0.4, 1.7, 0.9, 0.2])
    (line,) = lines(drawn(values))
    np.testing.assert_allclose(line[:, 0], np.arange(5) + 0.25, atol=0.02)
    np.testing.assert_allclose(line[:, 1], values, atol=0.02 * factor)


def test_bins_without_a_value_interrupt_the_line_and_a_lone_one_is_a_dot():
    first, dot = lines(drawn([1, 2, NAN, 3, NAN]))
    np.testing.assert_allclose(first[:, 0], [0.25, 1.25], atol=0.02)
    np.testing.assert_allclose(dot, [[3.25, 3]] * 2, atol=0.03)


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [-2.0, -1.0, -3.0], [5.0]])
def test_flat_negative_and_single_values_have_axes_too(values):
    (line,) = lines(drawn(values))
    np.testing.assert_allclose(line[: len(values), 1], values, atol=0.05)


def test_axes_are_named_with_their_units_and_lines_in_a_legend():
    names = ("Femur <left>", "Tibia")
    svg = drawn([[1, 2], [3, 4]], names=names)
    texts = {text.text for text in svg.iter("text")}
    assert {"depth (mm)", "mean (mm)", *names} <= texts
    assert svg.get("aria-label") == "Title & more"
    dashes = {line.get("stroke-dasharray") for line in svg.iter("polyline")}
    assert len(dashes) == 2, "told apart without colours"


def test_pale_lines_are_darkened_for_white_paper():
    stroke = next(drawn([1, 2]).iter("polyline")).get("stroke")
    red, green, blue = (int(stroke[at : at + 2], 16) for at in (1, 3, 5))
    assert red > green > blue and 0.2126 * red + 0.7152 * green + 0.0722 * blue < 120


def test_the_report_draws_the_curves_of_the_charts(scene):
    figures = measure(outputsOf(scene, linearResult(np.diag([0.9] * 3)), masks(), masks(scale=0.9)))
    graphs = {graph.text.kind: graph for graph in graphsOf(figures)}
    assert list(graphs) == ["jacobianPlot", "thicknessPlot", "depthMovedPlot", "depthJacobianPlot"]
    graph = graphs["depthMovedPlot"]
    svg = ElementTree.fromstring(plotSvg(graph))
    known = np.isfinite(graph.curves[0].values)
    (line,) = lines(svg)
    np.testing.assert_allclose(line[:, 1], graph.curves[0].values[known], atol=0.02)
    assert len(list(ElementTree.fromstring(plotSvg(graphs["jacobianPlot"])).iter("polyline"))) == 2
