"""View: the local volume change over the fixed volume, everywhere or inside one segment."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.result import LOG2_JACOBIAN_FLOOR, log2_jacobian

from ..measure.folds import foldsOf, foldsTableNode
from ..mrml import Scene, SegmentationNode
from ..nodes.colors import LEGEND_TITLE, divergingColors
from ..nodes.jacobian import foldsSteps, halfWindow
from ..nodes.segments.masks import segmentMask
from ..nodes.volumes import volumeFromImage
from ..pauses import inThread
from ..run.registration_nodes import RegistrationOutputs
from ..translation import _
from .view import OpenView, addViewLegend, addVolume, fixedVolume, log2JacobianVolume, opening

TEXT = _(
    "Local volume change, log2 J of the map from the fixed to the moving image. Red, above 0: the same tissue is "
    "larger in the moving image (+1: twice). Blue, below 0: smaller (-1: half). White, 0: the same size."
)
#: What the range slider offers: half the width of the colour scale, in powers of two.
HALF_RANGE_LIMITS = (0.05, 3.0)
#: Outside the segment; below every value that is shown, so that the display's threshold hides it.
_HIDDEN = -1000.0


def jacobianSteps(
    scene: Scene,
    outputs: RegistrationOutputs,
    *,
    halfRange: float | None = None,
    opacity: float = 0.5,
    inside: tuple[Any, str] | None = None,
) -> Generator[None, None, OpenView]:
    """Lay log2 J over the fixed volume in every slice view, with its legend.

    Args:
        scene: the outputs' scene.
        outputs: of one run.
        halfRange: half the width of the colour scale: 1 runs from half to twice the volume. None for one
            that holds 99 % of the values.
        opacity: of the colours over the fixed volume, 0 to 1.
        inside: segmentation node (on the fixed side) and segment id: colours are shown only there.

    Raises:
        InputError: if the fixed volume is gone, or there is no such segment or it is empty.
    """
    with opening(scene, "jacobian", TEXT) as view:
        fixed = fixedVolume(view, outputs)
        volume = log2JacobianVolume(view, outputs) if inside is None else _insideSegment(view, outputs, *inside)
        yield
        if volume in view.nodes.values():
            addViewLegend(view, volume, LEGEND_TITLE, "%+.1f")
        view.subject = volume
        jacobian = outputs.nodes.jacobian
        if halfRange is None and jacobian is not None and volume is jacobian:
            halfRange = jacobian.GetDisplayNode().GetWindow() / 2
        setHalfRange(view, halfRange or halfWindow(log2_jacobian(outputs.result.jacobian_determinant)))
        yield
        yield from view.layerSteps(fixed, volume, opacity)
    return view


def setHalfRange(view: OpenView, halfRange: float) -> None:
    """Let the colour scale of an open Jacobian view run from ``-halfRange`` to ``+halfRange`` (log2)."""
    low, high = HALF_RANGE_LIMITS
    view.setWindow(view.subject.GetDisplayNode(), 2 * float(np.clip(halfRange, low, high)), 0.0)


def halfRangeOf(view: OpenView) -> float:
    """The range that is shown, for the slider."""
    return float(view.subject.GetDisplayNode().GetWindow()) / 2


def rangeText(halfRange: float) -> str:
    """The ends of the colour scale as factors, e.g. ``0.50 to 2.00 times the volume``."""
    text = _("{low} to {high} times the volume")
    return text.format(low=f"{2**-halfRange:.2f}", high=f"{2**halfRange:.2f}")


def _insideSegment(view: OpenView, outputs: RegistrationOutputs, segmentation: SegmentationNode, segmentId: str) -> Any:
    """A volume of the segment's surroundings only, of which the display shows the segment's own voxels."""
    grid = outputs.result.fixed_grid
    mask = segmentMask(segmentation, grid, segmentId, leftOut=outputs.nodes.transform)
    if mask.isEmpty:
        name = segmentation.GetSegmentation().GetSegment(segmentId).GetName()
        text = _("{name}: the segment has no voxel in the fixed image; choose one drawn on it")
        raise InputError(text.format(name=name))
    values = log2_jacobian(outputs.result.jacobian_determinant[mask.slices])
    values[~mask.voxels] = _HIDDEN
    name = f"log2 Jacobian inside {mask.name}"
    colors = view.add("colors", divergingColors())
    node = addVolume(view, "inside", volumeFromImage(Image(values, mask.gridIn(grid), name), name), colors.GetID())
    display = node.GetDisplayNode()
    display.SetInterpolate(False)  # between a shown and a hidden voxel there is nothing to interpolate
    display.SetThreshold(LOG2_JACOBIAN_FLOOR - 1, -2 * LOG2_JACOBIAN_FLOOR)
    display.SetApplyThreshold(True)
    return node


FOLDS_TEXT = _(
    "Folds, bright yellow: there the map turns space inside out, which tissue cannot do. Neither the map nor a "
    "measure near a fold can be trusted."
)


def foldSteps(scene: Scene, outputs: RegistrationOutputs) -> Generator[None, None, OpenView]:
    """Show the folds as opaque areas, and list them in a table: ``nodes["table"]`` of the view."""
    result, made = outputs.result, outputs.nodes.folds
    with opening(scene, "folds", FOLDS_TEXT) as view:
        name = f"{outputs.inputs.moving.GetName()} to {outputs.inputs.fixed.GetName()} (folds)"
        found = yield from inThread(lambda: foldsOf(result.jacobian_determinant, result.fixed_grid))
        view.add("table", foldsTableNode(found, name))
        yield
        if made is None or made.GetScene() is not scene:
            made = yield from foldsSteps(result.jacobian_determinant, result.fixed_grid, name)
            view.giveDisplay(made, "vtkMRMLSegmentationDisplayNode")
            view.add("folds", made)
        display = made.GetDisplayNode()
        for get, setter, value in (
            (display.GetVisibility, display.SetVisibility, 1),
            (display.GetVisibility2DFill, display.SetVisibility2DFill, True),
            (display.GetOpacity2DFill, display.SetOpacity2DFill, 1.0),
        ):
            view.record.change(display, get, setter, value)
    return view
