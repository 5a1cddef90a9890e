"""View: where a structure ends in the fixed image, and where the registration put it: outlines and surfaces."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from typing import Any

import numpy as np
import slicer
import vtk

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.geometry import Grid

from ..mrml import Node, Scene, SegmentationNode
from ..nodes.arrays import newNode, vtkImage, vtkMatrix
from ..nodes.colors import FIXED_COLOR, WARPED_COLOR
from ..nodes.segments.layers import segmentNames
from ..nodes.segments.masks import SegmentMask, segmentMaskSteps
from ..nodes.segments.segmentations import copiedSegments
from ..nodes.transforms import startTransformNode
from ..nodes.world import worldTransform
from ..run.registration_nodes import RegistrationOutputs
from ..translation import _
from .view import OpenView, keepCameras, opening

TEXT = _(
    "Yellow: a structure in the fixed image. Blue: the same structure of the moving image, carried over by the "
    "registration. Where it is right, the thin blue line runs inside the yellow one."
)
ONLY_WARPED_TEXT = _(
    "Blue: structures of the moving image, carried over by the registration. They should lie on the borders that the "
    "fixed image shows; there is no segmentation of it to compare with."
)
_LINE_PX = {"fixed": 2, "warped": 1}  # where they meet, the blue line runs inside the yellow one
_OPACITY_3D = {"fixed": 0.5, "warped": 1.0}


def contourSteps(
    scene: Scene,
    outputs: RegistrationOutputs,
    *,
    live: bool = False,
    segments: Collection[str] | None = None,
    surfaces: bool = False,
) -> Generator[None, None, OpenView]:
    """Outline fixed and warped structures in all slice views, and draw their surfaces in 3D views.

    The segmentations' own displays are hidden meanwhile. The view's nodes hold copies of the segments, which follow
    the given ones, so that an edit is seen at once; what happens to the copies happens to nothing else.

    Args:
        scene: the outputs' scene.
        outputs: of one run.
        live: show the moving segmentation through the transform, not hardened, rather than the warped
            segmentation; so it is, too, if the run made none.
        segments: names of those to show; None for all.
        surfaces: also in 3D. That takes longer.

    Raises:
        InputError: if the run has no segmentation to show.
    """
    inputs, nodes = outputs.inputs, outputs.nodes
    with opening(scene, "contours", TEXT) as view:
        live = live or not _isIn(scene, nodes.warpedSegmentation)
        warped = inputs.movingSegmentation if live else nodes.warpedSegmentation
        if warped is None or not _isIn(scene, warped) or (live and not _isIn(scene, nodes.transform)):
            raise InputError(
                _("contours: this run has no moving segmentation; choose one under Inputs and run again")
                if inputs.movingSegmentation is None
                else _(
                    "contours: neither the warped segmentation nor the transform is there; run the registration again"
                )
            )
        for node in (inputs.fixedSegmentation, inputs.movingSegmentation, nodes.warpedSegmentation):
            if _isIn(scene, node):
                view.setVisible(node, False)
                yield
        fixed = inputs.fixedSegmentation
        if fixed is not None and _isIn(scene, fixed):
            _outline(view, "fixed", fixed, FIXED_COLOR, segments)
            view.nodes["fixed"].SetAndObserveTransformNodeID(fixed.GetTransformNodeID())
            yield
        else:
            view.text = ONLY_WARPED_TEXT
        _outline(view, "warped", warped, WARPED_COLOR, segments)
        if live:
            _putUnder(view, warped, nodes.transform)
        else:
            view.nodes["warped"].SetAndObserveTransformNodeID(warped.GetTransformNodeID())
        yield
        if surfaces:
            keepCameras(view)
            yield from _surfaceSteps(view, outputs, live, segments)
    return view


def setOutlineShown(view: OpenView, kind: str, shown: bool) -> None:
    """Show or hide one part of an open contour view.

    Args:
        view: of :func:`contourSteps`.
        kind: ``"fixed"``, ``"warped"``, ``"fixed surfaces"`` or ``"warped surfaces"``; nothing happens if
            the view has no such part.
        shown: whether to show it.
    """
    if view.isWhole and kind in view.nodes:
        view.nodes[kind].GetDisplayNode().SetVisibility(shown)


def _isIn(scene: Scene, node: Node | None) -> bool:
    return node is not None and node.GetScene() is scene


def _outline(
    view: OpenView, kind: str, source: Any, color: tuple[float, float, float], segments: Collection[str] | None
) -> None:
    """A node that shows the segments of ``source`` as lines of one colour."""
    node = newNode("vtkMRMLSegmentationNode", f"{source.GetName()} ({kind} contours)")
    node.SetAndObserveSegmentation(copiedSegments(source.GetSegmentation()))
    display = view.giveDisplay(node, "vtkMRMLSegmentationDisplayNode")
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    display.SetVisibility3D(False)  # surfaces have models of their own
    view.add(kind, node)
    display.SetSliceIntersectionThickness(_LINE_PX[kind] if "fixed" in view.nodes else _LINE_PX["fixed"])
    _colour(node, color, segments)
    copied = _state(source.GetSegmentation())

    def update() -> None:
        nonlocal copied
        now = _state(source.GetSegmentation())  # one edit of a shared label map is told once for each of its segments
        if now != copied and _isIn(view.scene, node):
            copied = now
            node.SetAndObserveSegmentation(copiedSegments(source.GetSegmentation()))
            _colour(node, color, segments)

    kinds = slicer.vtkSegmentation
    events = (kinds.SourceRepresentationModified, kinds.SegmentAdded, kinds.SegmentRemoved, kinds.SegmentModified)
    view.follow(source.GetSegmentation(), events, update)


def _colour(node: SegmentationNode, color: tuple[float, float, float], segments: Collection[str] | None) -> None:
    """All segments in one colour; only those of these names are shown."""
    display, segmentation = node.GetDisplayNode(), node.GetSegmentation()
    wasModifying = display.StartModify()
    for segmentId, name in segmentNames(segmentation).items():
        display.SetSegmentOverrideColor(segmentId, *color)
        display.SetSegmentVisibility(segmentId, segments is None or name in segments)
    display.EndModify(wasModifying)


def _state(segmentation: Any) -> list[tuple[Any, ...]]:
    """Something that differs after an edit."""
    kind, state = segmentation.GetSourceRepresentationName(), []
    for segmentId in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segmentId)
        data = segment.GetRepresentation(kind)
        state.append((segmentId, segment.GetName(), segment.GetLabelValue(), data and (data, data.GetMTime())))
    return state


def _putUnder(view: OpenView, source: Any, transform: Any) -> None:
    """Let the view's node stand where ``source`` does, and then under the registration."""
    node = view.nodes["warped"]
    parent = source.GetParentTransformNode()
    if parent is not None and (parent is transform or parent.IsTransformNodeMyParent(transform)):
        node.SetAndObserveTransformNodeID(source.GetTransformNodeID())  # it stands under it already
        return
    above = worldTransform(source)
    if above is None:
        node.SetAndObserveTransformNodeID(transform.GetID())
        return
    start = startTransformNode(source, above)
    view.add("before registration", start)
    start.SetAndObserveTransformNodeID(transform.GetID())
    node.SetAndObserveTransformNodeID(start.GetID())


def _surfaceSteps(
    view: OpenView, outputs: RegistrationOutputs, live: bool, segments: Collection[str] | None
) -> Generator[None, None, None]:
    """One model for each side; the warped one's vertices are on the fixed side already."""
    grid, leftOut = outputs.result.fixed_grid, outputs.nodes.transform
    for kind, color in (("fixed", FIXED_COLOR), ("warped", WARPED_COLOR)):
        if kind not in view.nodes:
            continue
        moved = live and kind == "warped"
        lattice = outputs.result.moving_grid if moved else grid
        source: Any = outputs.inputs.movingSegmentation if moved else view.nodes[kind]
        masks = yield from segmentMaskSteps(source, lattice, leftOut if moved else None)
        chosen = [mask for name, mask in masks.items() if segments is None or name in segments]
        model = newNode("vtkMRMLModelNode", f"{source.GetName()} ({kind} surfaces)")
        surface = yield from surfaceSteps(chosen, lattice)
        model.SetAndObservePolyData(surface)
        display = view.giveDisplay(model, "vtkMRMLModelDisplayNode")
        display.SetColor(*color)
        display.SetOpacity(_OPACITY_3D[kind])
        display.SetVisibility2D(False)
        view.add(f"{kind} surfaces", model)
        if moved and leftOut is not None:
            model.SetAndObserveTransformNodeID(leftOut.GetID())
        yield


#: Finer voxels than this are joined first: a surface's triangles grow with the square of their number.
_COARSEST_MM = 0.8
_SMOOTHING_STEPS = 15
_PASS_BAND = 0.05


def surfaceSteps(masks: Iterable[SegmentMask], grid: Grid) -> Generator[None, None, Any]:
    """The smoothed boundaries of masks as one ``vtkPolyData``, RAS mm, with pauses in which a window stays alive.

    Args:
        masks: on ``grid``; empty ones are left out.
        grid: the lattice.
    """
    append = vtk.vtkAppendPolyData()
    append.AddInputData(vtk.vtkPolyData())
    for mask in masks:
        if not mask.isEmpty:
            append.AddInputData((yield from _partSteps(mask, grid)))
    append.Update()
    return append.GetOutput()


def _partSteps(mask: SegmentMask, grid: Grid) -> Generator[None, None, Any]:
    steps = [max(1, int(_COARSEST_MM / spacing)) for spacing in grid.spacing_mm[::-1]]
    voxels = np.pad(mask.voxels, [(1, step) for step in steps])
    size = [n - n % step for n, step in zip(voxels.shape, steps, strict=True)]
    blocks = voxels[: size[0], : size[1], : size[2]].reshape(
        size[0] // steps[0], steps[0], size[1] // steps[1], steps[1], size[2] // steps[2], steps[2]
    )
    share = np.pad(blocks.mean(axis=(1, 3, 5), dtype=np.float32), 1)
    yield
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputData(vtkImage(share))
    contour.SetValue(0, 0.5)
    contour.ComputeNormalsOff()
    contour.ComputeGradientsOff()
    contour.ComputeScalarsOff()
    smooth = vtk.vtkWindowedSincPolyDataFilter()
    smooth.SetNumberOfIterations(_SMOOTHING_STEPS)
    smooth.SetPassBand(_PASS_BAND)
    smooth.NormalizeCoordinatesOn()
    place = vtk.vtkTransformPolyDataFilter()
    place.SetTransform(_toRas(mask, grid, np.array(steps[::-1])))
    normals = vtk.vtkPolyDataNormals()
    normals.SplittingOff()
    normals.AutoOrientNormalsOn()  # left-handed lattices turn triangles over
    contour.Update()
    surface = contour.GetOutput()
    for step in (smooth, place, normals):
        yield
        step.SetInputData(surface)
        step.Update()
        surface = step.GetOutput()
    yield
    return surface


def _toRas(mask: SegmentMask, grid: Grid, steps: Any) -> Any:
    """From the joined voxels' indices to RAS: a rim of one of them, one padding voxel, and half a step more."""
    toIjk = np.diag([*steps.astype(float), 1.0])
    toIjk[:3, 3] = np.array(mask.start[::-1]) - 1 + (steps - 1) / 2 - steps
    transform = vtk.vtkTransform()
    transform.SetMatrix(vtkMatrix(grid.ijk_to_ras @ toIjk))
    return transform
