"""View: agreement of fixed and warped structures as segments: both, only fixed, only warped."""

from __future__ import annotations

from collections.abc import Collection, Generator
from typing import Any

import numpy as np
import slicer

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid

from ..mrml import Scene
from ..nodes.arrays import newNode
from ..nodes.colors import FIXED_COLOR, WARPED_COLOR
from ..nodes.segments.layers import BINARY_LABELMAP
from ..nodes.segments.masks import SegmentMask, segmentMaskSteps
from ..nodes.segments.segmentations import orientedImage, setReferenceGeometry
from ..run.registration_nodes import RegistrationOutputs
from ..translation import _
from .view import OpenView, opening

TEXT = _(
    "Grey: structure in the fixed image, and the registration puts it there too. Yellow: only in the fixed image. "
    "Blue: only where the registration puts it. Little yellow and blue: the registration agrees with the segmentation."
)
_NO_FIXED = _("agreement: there is no fixed segmentation; choose one under Inputs and run again")
_NO_WARPED = _(
    "agreement: there is no warped segmentation; choose a moving segmentation, tick it under Outputs and run again"
)
#: What the three segments of a structure are called, and their colours.
PARTS = {"both": (0.62, 0.62, 0.62), "only fixed": FIXED_COLOR, "only warped": WARPED_COLOR}
_FILL = {"both": 0.35, "only fixed": 0.9, "only warped": 0.9}


def _agreementSegmentationSteps(
    fixed: dict[str, SegmentMask], warped: dict[str, SegmentMask], grid: Grid, name: str
) -> Generator[None, None, Any]:
    """A new segmentation node, in no scene yet, with three segments for each structure that both sides have.

    The segment of structure "Femur" that only the fixed side has is called "Femur: only fixed", and so on
    (:data:`PARTS`); ids are the same. Together they are the union of both.

    Args:
        fixed, warped: masks by structure.
        grid: their lattice.
        name: of the node.
    """
    node = newNode("vtkMRMLSegmentationNode", name)
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(BINARY_LABELMAP)
    for structure, first in fixed.items():
        second = warped.get(structure)
        if second is None or (first.isEmpty and second.isEmpty):
            continue
        image = _labels(first, second, grid)
        for value, (part, color) in enumerate(PARTS.items(), start=1):
            segment = slicer.vtkSegment()
            segment.SetName(f"{structure}: {part}")
            segment.SetColor(*color)
            segment.SetLabelValue(value)
            segment.AddRepresentation(BINARY_LABELMAP, image)
            segmentation.AddSegment(segment, segment.GetName())
        yield
    setReferenceGeometry(node, grid)
    return node


def _labels(fixed: SegmentMask, warped: SegmentMask, grid: Grid) -> Any:
    """1 where both are, 2 only fixed, 3 only warped, on the part of the lattice that holds both."""
    masks = [mask for mask in (fixed, warped) if not mask.isEmpty]
    union = tuple(
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*(mask.slices for mask in masks), strict=True)
    )
    one, other = fixed.over(union), warped.over(union)
    labels = (one & other) + np.uint8(2) * (one & ~other) + np.uint8(3) * (other & ~one)
    start, size = [part.start for part in union][::-1], labels.shape[::-1]
    return orientedImage(labels.astype(np.uint8), grid.cropped(start, size))


def agreementSteps(
    scene: Scene, outputs: RegistrationOutputs, *, segments: Collection[str] | None = None
) -> Generator[None, None, OpenView]:
    """Show where fixed and warped structures of the same name agree; ``nodes["agreement"]`` of the view.

    Args:
        scene: the outputs' scene.
        outputs: of one run.
        segments: names of the structures; None for all that both segmentations have.

    Raises:
        InputError: if a segmentation is missing or no name is in both.
    """
    inputs, warped = outputs.inputs, outputs.nodes.warpedSegmentation
    fixed = inputs.fixedSegmentation
    if fixed is None or fixed.GetScene() is not scene:
        raise InputError(_NO_FIXED)
    if warped is None or warped.GetScene() is not scene:
        raise InputError(_NO_WARPED)
    grid = outputs.result.fixed_grid
    with opening(scene, "agreement", TEXT) as view:
        there = yield from segmentMaskSteps(fixed, grid, outputs.nodes.transform)
        here = yield from segmentMaskSteps(warped, grid, outputs.nodes.transform)
        names = [name for name in there if name in here and (segments is None or name in segments)]
        if not names:
            text = _(
                "agreement: no segment has the same name on both sides; fixed: {fixed}; warped: {warped}; rename them "
                "in Segment Editor"
            )
            raise InputError(text.format(fixed=", ".join(there), warped=", ".join(here)))
        chosen = {name: there[name] for name in names}
        title = f"{inputs.moving.GetName()} to {inputs.fixed.GetName()} (agreement)"
        node = yield from _agreementSegmentationSteps(chosen, here, grid, title)
        display = view.giveDisplay(node, "vtkMRMLSegmentationDisplayNode")
        display.SetVisibility2DOutline(False)
        display.SetOpacity2DFill(1.0)
        display.SetVisibility3D(False)
        view.add("agreement", node)
        wasModifying = display.StartModify()
        for segmentId in node.GetSegmentation().GetSegmentIDs():
            display.SetSegmentOpacity2DFill(segmentId, _FILL[segmentId.rpartition(": ")[2]])
        display.EndModify(wasModifying)
        yield
        for other in (inputs.fixedSegmentation, inputs.movingSegmentation, warped):
            if other is not None and other.GetScene() is scene:
                view.setVisible(other, False)
                yield
    return view


def setPartShown(view: OpenView, part: str, shown: bool) -> None:
    """Show or hide one of :data:`PARTS` of every structure of an open agreement view."""
    display = view.nodes["agreement"].GetDisplayNode()
    wasModifying = display.StartModify()
    for segmentId in view.nodes["agreement"].GetSegmentation().GetSegmentIDs():
        if segmentId.endswith(f": {part}"):
            display.SetSegmentVisibility(segmentId, shown)
    display.EndModify(wasModifying)
