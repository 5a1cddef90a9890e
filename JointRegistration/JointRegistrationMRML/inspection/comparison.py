"""What the slice views show after a run, and back: layers set on nodes, so that it works without a window.

The slice views' zoom and position are left alone; in desktop Slicer ``slicer.util.resetSliceViews()``
fits them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from JointRegistrationLib.core.errors import InputError

from ..mrml import DisplayableNode, Scene, TransformNode, VolumeNode
from ..nodes.arrays import numpyView
from ..run.registration_nodes import RegistrationOutputs
from ..scene.view_state import ViewRecord, refreshLegends, slicesOf
from ..translation import _

#: What can lie over the fixed volume, and how a user would say it.
MODES = {
    "warped": _("fixed and warped volume"),
    "jacobian": _("fixed volume and Jacobian"),
    "moving": _("fixed and moving volume"),
}
_ALPHA_BLENDING = 0
_FOREGROUND_OPACITY = 0.5
#: Intensity ranges within this factor are taken for the same kind of image.
_SAME_RANGE_FACTOR = 2.0
_SAMPLES_PER_AXIS = 32


def comparisonSteps(
    scene: Scene, outputs: RegistrationOutputs, record: ViewRecord, mode: str = "warped"
) -> Generator[None, None, None]:
    """Lay a result over the fixed volume in every slice view.

    The fixed volume is the background and the result the foreground at half opacity. Where both have
    intensities of the same range, the warped volume gets the fixed one's window and level. Of the moving
    segmentation's two forms one is shown: the warped one if there is one, else the moving one through the
    transform; one that is not transformed is hidden, because it does not belong to what is shown. Segments are
    outlined, not filled: the images' edges are to be seen. Pauses after each slice view.

    Args:
        scene: the outputs' scene.
        outputs: of one run.
        record: takes note of what is changed.
        mode: one of :data:`MODES`.

    Raises:
        InputError: for an unknown mode, or if the run has no such result.
    """
    fixed, foreground = outputs.inputs.fixed, _foreground(outputs, mode)
    for node, what in ((fixed, _("fixed volume")), (foreground, MODES[mode])):
        if node.GetScene() is not scene:
            text = _("{what}: {name} is no longer in the scene; run the registration again")
            raise InputError(text.format(what=what, name=node.GetName()))
    if mode == "warped":
        _shareWindow(record, fixed, foreground)
    _showOneSegmentation(record, outputs, mode)
    inputs = outputs.inputs
    _outline(record, scene, inputs.fixedSegmentation, inputs.movingSegmentation, outputs.nodes.warpedSegmentation)
    yield
    yield from _layerSteps(scene, record, fixed, foreground)


def pairSteps(scene: Scene, fixed: VolumeNode, moving: VolumeNode) -> Generator[None, None, None]:
    """Lay a moving volume, as it lies, over a fixed one in every slice view. Pauses after each."""
    yield from _layerSteps(scene, ViewRecord(), fixed, moving)


def _layerSteps(
    scene: Scene, record: ViewRecord, background: VolumeNode, foreground: VolumeNode
) -> Generator[None, None, None]:
    for composite in slicesOf(scene):
        _setLayers(record, composite, background.GetID(), foreground.GetID())
        yield
    refreshLegends(scene)


def _foreground(outputs: RegistrationOutputs, mode: str) -> Any:
    if mode not in MODES:
        raise InputError(f"view {mode!r} is unknown; choose one of {', '.join(MODES)}")
    if mode == "moving":
        return outputs.inputs.moving
    node = outputs.nodes.warpedVolume if mode == "warped" else outputs.nodes.jacobian
    if node is None:
        text = _("{what}: this run made no such volume; tick it under Outputs and run again")
        raise InputError(text.format(what=MODES[mode]))
    return node


def _setLayers(record: ViewRecord, composite: Any, background: str, foreground: str) -> None:
    for get, setter, value in (
        (composite.GetBackgroundVolumeID, composite.SetBackgroundVolumeID, background),
        (composite.GetForegroundVolumeID, composite.SetForegroundVolumeID, foreground),
        (composite.GetForegroundOpacity, composite.SetForegroundOpacity, _FOREGROUND_OPACITY),
        (composite.GetCompositing, composite.SetCompositing, _ALPHA_BLENDING),
    ):
        record.change(composite, get, setter, value)


def _shareWindow(record: ViewRecord, fixed: VolumeNode, warped: VolumeNode) -> None:
    """Give the warped volume the fixed one's window where their intensities have the same range."""
    source, display = fixed.GetDisplayNode(), warped.GetDisplayNode()
    if source is None or display is None or not _sameRange(fixed, warped):
        return
    window = (source.GetWindow(), source.GetLevel())
    record.change(display, display.GetAutoWindowLevel, display.SetAutoWindowLevel, 0)
    record.change(
        display,
        lambda: (display.GetWindow(), display.GetLevel()),
        lambda values: display.SetWindowLevel(*values),
        window,
    )


def _sameRange(first: VolumeNode, second: VolumeNode) -> bool:
    """Whether the bulk of the intensities of both spans about the same range, judged by a few of them."""
    highs = []
    for node in (first, second):
        array = numpyView(node.GetImageData())
        few = array[tuple(slice(None, None, max(1, n // _SAMPLES_PER_AXIS)) for n in array.shape)]
        low, high = np.percentile(few, [5, 95])
        highs.append((float(low), float(high)))
    (low1, high1), (low2, high2) = highs
    width1, width2 = high1 - low1, high2 - low2
    if min(width1, width2) <= 0:
        return False
    close = abs((low1 + high1) - (low2 + high2)) / 2 <= 0.5 * max(width1, width2)
    return close and max(width1, width2) <= _SAME_RANGE_FACTOR * min(width1, width2)


def _showOneSegmentation(record: ViewRecord, outputs: RegistrationOutputs, mode: str) -> None:
    moving, warped = outputs.inputs.movingSegmentation, outputs.nodes.warpedSegmentation
    if moving is None:
        return
    transformed = _standsUnder(moving, outputs.nodes.transform)
    showWarped = warped is not None and mode != "moving"
    for node, visible in ((warped, showWarped), (moving, not showWarped and (transformed or mode == "moving"))):
        display = None if node is None else node.GetDisplayNode()
        if display is not None:
            record.change(display, display.GetVisibility, display.SetVisibility, int(visible))


def _outline(record: ViewRecord, scene: Scene, *segmentations: Any) -> None:
    for node in segmentations:
        display = None if node is None or node.GetScene() is not scene else node.GetDisplayNode()
        if display is not None:
            record.change(display, display.GetVisibility2DFill, display.SetVisibility2DFill, False)


def _standsUnder(node: DisplayableNode, transform: TransformNode | None) -> bool:
    parent = node.GetParentTransformNode()
    if parent is None or transform is None:
        return False
    return parent is transform or bool(parent.IsTransformNodeMyParent(transform))
