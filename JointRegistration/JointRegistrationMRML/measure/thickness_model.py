"""The change of cartilage thickness as a coloured surface model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from vtk.util import numpy_support

from ..mrml import DisplayableNode
from ..nodes.arrays import newNode
from ..translation import _
from .cartilage import CartilageFigures
from .surfaces import Points, polyData
from .thickness import ThicknessChange

LEGEND_TITLE = _("Thickness (mm)\nmoving - fixed")
CHANGE_NAME = "Thickness, moving minus fixed (mm)"
FIXED_NAME, MOVING_NAME = "Thickness, fixed (mm)", "Thickness, moving (mm)"

_HALF_RANGES_MM = (0.2, 0.4, 0.6, 1.0, 1.4, 2.0, 3.0)


def thicknessModel(figures: CartilageFigures) -> Any:
    """A new model node, in no scene yet: the fixed surface with change, fixed and moving thickness at its points.

    ``figures.change`` must be there.
    """
    change = figures.change
    assert change is not None
    mesh = polyData(change.surface.points, change.surface.triangles)
    for name, values in ((CHANGE_NAME, change.changeMm), (FIXED_NAME, change.fixedMm), (MOVING_NAME, change.movingMm)):
        array = numpy_support.numpy_to_vtk(np.ascontiguousarray(values, dtype=np.float32), deep=True)
        array.SetName(name)
        mesh.GetPointData().AddArray(array)
    mesh.GetPointData().SetActiveScalars(CHANGE_NAME)
    normals = numpy_support.numpy_to_vtk(np.ascontiguousarray(-change.surface.inward, dtype=np.float32), deep=True)
    normals.SetName("Normals")
    mesh.GetPointData().SetNormals(normals)
    node = newNode("vtkMRMLModelNode", f"{figures.pair.cartilage}: thickness change")
    node.SetAndObserveMesh(mesh)
    return node


def halfRangeMm(changes: list[ThicknessChange]) -> float:
    """Half the width of a range centred on 0 that holds 95 % of all values, the same for all surfaces."""
    values = np.concatenate([np.zeros(1), *(np.abs(change.changeMm) for change in changes)])
    needed = float(np.percentile(values, 95))
    return next((half for half in _HALF_RANGES_MM if half >= needed), _HALF_RANGES_MM[-1])


def showThickness(node: DisplayableNode, colorNode: Any, halfMm: float) -> None:
    """Colour a thickness model (in the scene, with a display node) by the change, 0 in the middle."""
    display = node.GetDisplayNode()
    display.SetActiveScalarName(CHANGE_NAME)
    display.SetAndObserveColorNodeID(colorNode.GetID())
    display.SetScalarRangeFlag(display.UseManualScalarRange)
    display.SetScalarRange(-halfMm, halfMm)
    display.SetScalarVisibility(True)
    display.SetBackfaceCulling(False)


def histogramOf(change: ThicknessChange, edges: Points) -> Points:
    """Percent of the surface's area in each bin; what lies beyond is in the end bins."""
    areas = change.surface.areas()
    values = np.clip(change.changeMm, edges[0], edges[-1])
    counts, _ = np.histogram(values, edges, weights=areas)
    return 100 * counts / max(float(areas.sum()), 1e-12)


def hide(models: Sequence[Any]) -> None:
    """Hide models with their legends, until the view of thickness shows them."""
    for model in models:
        for index in range(model.GetNumberOfDisplayNodes()):
            model.GetNthDisplayNode(index).SetVisibility(0)
