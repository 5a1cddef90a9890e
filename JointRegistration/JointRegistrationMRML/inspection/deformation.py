"""Views: how the map moves and bends, as grid lines and as arrows, coloured by the displacement in mm.

Slicer draws a transform node's *to parent* side: a point p is drawn with an arrow to where that side
sends it, and grid lines are sent along. Which of a registration's two directions that is differs by view,
so each uses a hidden transform node of its own; the results' nodes are left alone.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.result import RegistrationResult

from ..mrml import Scene
from ..nodes.arrays import newNode, vtkMatrix
from ..nodes.colors import MAGNITUDE_COLORS
from ..run.registration_nodes import RegistrationOutputs
from ..translation import _
from .view import OpenView, addScale, addViewLegend, fixedVolume, opening

GRID_TEXT = _(
    "A square grid drawn on the moving image, carried onto the fixed one. Bent lines: tissue was bent; lines close "
    "together: it was compressed. Colour: how far it was moved, mm."
)
ARROWS_TEXT = _(
    "Each arrow begins at a point of the fixed image and ends where the same tissue lies in the moving image. "
    "Colour: its full length, mm; what points out of the slice looks shorter."
)
LEGEND = _("Displacement\n(mm)")
LEGEND_WITHOUT_AFFINE = _("Displacement,\nno affine (mm)")
SPACING_MM = {"grid": 5.0, "arrows": 4.0}
SPACING_LIMITS_MM = (2.0, 20.0)
_SAMPLES = 200_000
_STEPS_PER_LINE = 4
_MIN_RANGE_MM = 0.5
#: Where most tissue was moved farther than this, arrows hide each other, and the affine part is left out.
_FAR_MM = 12.0
_ATTRIBUTE = "JointRegistration.withoutAffine"


def gridSteps(
    scene: Scene,
    outputs: RegistrationOutputs,
    *,
    spacingMm: float = SPACING_MM["grid"],
    withoutAffine: bool | None = None,
) -> Generator[None, None, OpenView]:
    """Draw the warped grid in every slice view, with a legend.

    Args:
        scene: the outputs' scene.
        outputs: of one run.
        spacingMm: of the lines.
        withoutAffine: leave the affine part out: what is drawn, and the colours, are what lies beyond it. None to
            leave it out only if tissue was moved so far that nothing else could be seen.

    Raises:
        InputError: if the run's transform or its fixed volume is gone, or the affine part is not known.
    """
    with opening(scene, "grid", GRID_TEXT) as view:
        affine = affineToLeaveOut(outputs.result, withoutAffine)
        toFixed = _movingToFixed(view, outputs)
        toParent = toFixed if affine is None else inTurn(vtkMatrix(affine), toFixed)
        yield
        display = _newDisplay(view, outputs, "grid", toParent, affine)
        display.SetVisualizationMode(display.VIS_MODE_GRID)
        display.SetGridScalePercent(100)
        setSpacing(view, spacingMm)
        yield from _showSteps(view, affine)
    return view


def arrowSteps(
    scene: Scene,
    outputs: RegistrationOutputs,
    *,
    spacingMm: float = SPACING_MM["arrows"],
    withoutAffine: bool | None = None,
) -> Generator[None, None, OpenView]:
    """Draw displacement arrows, fixed to moving, in every slice view, with a legend; see :func:`gridSteps`."""
    with opening(scene, "arrows", ARROWS_TEXT) as view:
        affine = affineToLeaveOut(outputs.result, withoutAffine)
        toMoving = _fixedToMoving(view, outputs)
        toParent = toMoving if affine is None else inTurn(toMoving, vtkMatrix(np.linalg.inv(affine)))
        yield
        display = _newDisplay(view, outputs, "arrows", toParent, affine)
        display.SetVisualizationMode(display.VIS_MODE_GLYPH)
        display.SetGlyphType(display.GLYPH_TYPE_ARROW)
        display.SetGlyphScalePercent(100)
        display.SetGlyphDisplayRangeMinMm(0.1)
        display.SetGlyphDisplayRangeMaxMm(1000.0)
        setSpacing(view, spacingMm)
        yield from _showSteps(view, affine)
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


def leavesAffineOut(view: OpenView) -> bool:
    """Return whether an open view leaves the affine part out."""
    return view.nodes[view.name].GetAttribute(_ATTRIBUTE) is not None


def affineToLeaveOut(result: RegistrationResult, wanted: bool | None = None) -> Any:
    """4x4, fixed RAS points to moving ones, if it is to be left out; else None. ``wanted``: see :func:`gridSteps`."""
    known = bool(np.isfinite(result.affine_ras).all())
    if wanted and not known:
        raise InputError(
            _(
                "deformation: the affine part of this run is not known any more, so it cannot be left out; tick it "
                "under Outputs before the next run"
            )
        )
    if wanted is None:
        wanted = known and float(np.median(_lengths(result, None))) > _FAR_MM
    return result.affine_ras if wanted else None


def leftOutText(result: RegistrationResult) -> str:
    """That the affine part is left out, and how much that is."""
    mean = float(_lengths(result, None).mean())
    text = _("The affine part is left out; with it, tissue was moved by {mean} mm on average.")
    return text.format(mean=f"{mean:.0f}")


def inTurn(first: Any, then: Any) -> Any:
    """Two transforms, or 4x4 matrices, one after the other."""
    chain = vtk.vtkGeneralTransform()  # pre-multiplying: the last one given is applied first
    chain.Concatenate(then)
    chain.Concatenate(first)
    return chain


def _newDisplay(view: OpenView, outputs: RegistrationOutputs, kind: str, toParent: Any, affine: Any) -> Any:
    """A transform node of the view's own with this to-parent side, not yet drawn; returns its display node.

    It has its colours before it is in the scene: without any, Slicer makes it a node of default ones, which stays.
    """
    fixed = fixedVolume(view, outputs)
    if affine is not None:
        view.text += " " + leftOutText(outputs.result)
    colors = addScale(view, "Displacement (mm)", MAGNITUDE_COLORS, longestMm(outputs.result, affine))
    node = newNode("vtkMRMLTransformNode", f"{outputs.inputs.moving.GetName()} to {fixed.GetName()} ({kind})")
    own = vtk.vtkGeneralTransform()  # follows the result's transform, which stays the result's own
    own.Concatenate(toParent)
    node.SetAndObserveTransformToParent(own)
    if affine is not None:
        node.SetAttribute(_ATTRIBUTE, "affine part left out")
    display = view.subject = view.giveDisplay(node, "vtkMRMLTransformDisplayNode")
    display.SetAndObserveColorNodeID(colors.GetID())
    display.SetAndObserveRegionNode(fixed)
    display.SetVisibility3D(False)
    view.add(kind, node)
    return display


def _showSteps(view: OpenView, affine: Any) -> Generator[None, None, None]:
    """Draw what is set up, with its legend."""
    view.subject.SetVisibility(True)
    view.subject.SetVisibility2D(True)
    yield
    addViewLegend(view, view.nodes[view.name], LEGEND if affine is None else LEGEND_WITHOUT_AFFINE, "%.1f")


def longestMm(result: RegistrationResult, affine: Any = None) -> float:
    """The length that 99 % of the displacements do not exceed, in half millimetres; see ``_lengths``."""
    return max(_MIN_RANGE_MM, float(np.ceil(2 * np.percentile(_lengths(result, affine), 99))) / 2)


def _lengths(result: RegistrationResult, affine: Any) -> Any:
    """(n,) of some displacements, mm; what is left of them once ``affine`` is undone, if it is given."""
    field, grid = result.displacement_field_mm, result.fixed_grid
    chosen = np.arange(0, grid.num_voxels, _every(field))
    moved = field.reshape(-1, 3)[chosen].astype(float)
    if affine is not None:
        k, j, i = np.unravel_index(chosen, grid.shape)
        points = transform_points(grid.ijk_to_ras, np.stack([i, j, k], axis=-1).astype(float))
        moved = transform_points(np.linalg.inv(affine), points + moved) - points
    return np.linalg.norm(moved, axis=1)


def _every(fieldMm: npt.NDArray[Any]) -> int:
    """One in so many voxels is enough."""
    return max(1, int(fieldMm.size) // 3 // _SAMPLES)


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
        raise InputError(_("deformation: the run's transform is not in the scene; tick it under Outputs and run again"))
    return node
