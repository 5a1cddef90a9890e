"""Views: how the map moves and bends, as grid lines and as arrows, coloured by the displacement in mm.

Slicer draws a transform node's *to parent* side: a point p is drawn with an arrow to where that side
sends it, and grid lines are sent along. Which of a registration's two directions that is differs by view,
so each uses a hidden transform node of its own; the results' nodes are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from JointRegistrationLib.errors import InputError

from .colors import MAGNITUDE_COLORS, addScale
from .nodes import newNode
from .open_view import OpenView, opening
from .run_nodes import fixedVolume
from .view_legend import addViewLegend

if TYPE_CHECKING:
    from .publish import RegistrationOutputs

GRID_TEXT = (
    "A square grid drawn on the moving image, carried onto the fixed one. Bent lines: tissue was bent; lines close "
    "together: it was compressed. Colour: how far it was moved, mm."
)
ARROWS_TEXT = (
    "Each arrow begins at a point of the fixed image and ends where the same tissue lies in the moving image. "
    "Colour: its full length, mm; what points out of the slice looks shorter."
)
LEGEND = "Displacement\n(mm)"
SPACING_MM = {"grid": 5.0, "arrows": 4.0}
SPACING_LIMITS_MM = (2.0, 20.0)
_SAMPLES = 200_000
_STEPS_PER_LINE = 4
_MIN_RANGE_MM = 0.5


def openGrid(scene: Any, outputs: RegistrationOutputs, *, spacingMm: float = SPACING_MM["grid"]) -> OpenView:
    """Draw the warped grid in every slice view, with a legend.

    Raises:
        InputError: if the run's transform or its fixed volume is gone.
    """
    with opening(scene, "grid", GRID_TEXT) as view:
        display = _shown(view, outputs, "grid", _movingToFixed(view, outputs))
        display.SetVisualizationMode(display.VIS_MODE_GRID)
        display.SetGridScalePercent(100)
        setSpacing(view, spacingMm)
    return view


def openArrows(scene: Any, outputs: RegistrationOutputs, *, spacingMm: float = SPACING_MM["arrows"]) -> OpenView:
    """Draw displacement arrows, fixed to moving, in every slice view, with a legend.

    Raises:
        InputError: if the run's transform or its fixed volume is gone.
    """
    with opening(scene, "arrows", ARROWS_TEXT) as view:
        display = _shown(view, outputs, "arrows", _fixedToMoving(view, outputs))
        display.SetVisualizationMode(display.VIS_MODE_GLYPH)
        display.SetGlyphType(display.GLYPH_TYPE_ARROW)
        display.SetGlyphScalePercent(100)
        display.SetGlyphDisplayRangeMinMm(0.1)
        display.SetGlyphDisplayRangeMaxMm(1000.0)
        setSpacing(view, spacingMm)
    return view


def setSpacing(view: OpenView, spacingMm: float) -> None:
    """Distance of the lines or arrows of an open view, mm."""
    spacing = float(np.clip(spacingMm, *SPACING_LIMITS_MM))
    display = view.subject
    if view.name == "grid":
        display.SetGridSpacingMm(spacing)
        display.SetGridResolutionMm(spacing / _STEPS_PER_LINE)
    else:
        display.SetGlyphSpacingMm(spacing)


def _shown(view: OpenView, outputs: RegistrationOutputs, kind: str, toParent: Any) -> Any:
    """A transform node of the view's own with this to-parent side; returns its display node."""
    fixed = fixedVolume(view, outputs)
    node = newNode("vtkMRMLTransformNode", f"{outputs.inputs.moving.GetName()} to {fixed.GetName()} ({kind})")
    node.SetAndObserveTransformToParent(toParent)
    view.add(kind, node)
    display = view.addDisplay(node, "vtkMRMLTransformDisplayNode")
    longest = longestMm(outputs.result.displacement_field_mm)
    display.SetAndObserveColorNodeID(addScale(view, "Displacement (mm)", MAGNITUDE_COLORS, longest).GetID())
    display.SetAndObserveRegionNode(fixed)
    display.SetVisibility(True)
    display.SetVisibility2D(True)
    display.SetVisibility3D(False)
    addViewLegend(view, node, LEGEND, "%.1f")
    view.subject = display
    return display


def longestMm(fieldMm: Any) -> float:
    """The length that 99 % of the displacements do not exceed, in half millimetres."""
    some = fieldMm.reshape(-1, 3)[:: max(1, fieldMm.size // 3 // _SAMPLES)]
    needed = float(np.percentile(np.linalg.norm(some, axis=1), 99))
    return max(_MIN_RANGE_MM, float(np.ceil(2 * needed)) / 2)


def _movingToFixed(view: OpenView, outputs: RegistrationOutputs) -> Any:
    """A transform that sends moving points to fixed ones; the exact grid of the inverse node if there is one."""
    inverse = outputs.nodes.inverseTransform
    if inverse is not None and inverse.GetScene() is view.scene:
        return inverse.GetTransformFromParent()
    return _transform(view, outputs).GetTransformToParent()


def _fixedToMoving(view: OpenView, outputs: RegistrationOutputs) -> Any:
    """A transform that sends fixed points to moving ones: the stored side of the result."""
    return _transform(view, outputs).GetTransformFromParent()


def _transform(view: OpenView, outputs: RegistrationOutputs) -> Any:
    node = outputs.nodes.transform
    if node is None or node.GetScene() is not view.scene:
        raise InputError("deformation: the run's transform is not in the scene; tick it under Outputs and run again")
    return node
