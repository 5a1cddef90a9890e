"""Views that compare the fixed with the warped image: checkerboard, difference, edges, flicker, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer

from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.image import Image

from ..measure.images import brightnessRange, checkerboard, differencePercent, edges
from ..mrml import Scene, SliceNode, VolumeNode
from ..nodes.arrays import numpyMatrix, numpyView, ownedList, vtkMatrix
from ..nodes.colors import DIFFERENCE_COLORS, WARPED_COLOR
from ..nodes.volumes import imageSteps, volumeFromImage
from ..nodes.world import ownGrid, toWorld
from ..pauses import inThread
from ..run.registration_nodes import RegistrationOutputs
from ..scene.view_state import refreshLegends, slicesOf
from ..translation import _
from .view import OpenView, addColors, addViewLegend, addVolume, fixedVolume, opening, warpedVolume

CHECKERBOARD_TEXT = _(
    "Squares show the fixed and the warped image in turn. Edges should run on from square to square; where they "
    "break, the images do not meet."
)
DIFFERENCE_TEXT = _(
    "Fixed minus warped, in percent of the brightness range. Black: equally bright; orange: the fixed image is "
    "brighter; blue: the warped one. An orange and a blue band side by side mean an edge that is off."
)
EDGES_TEXT = _("Blue: edges of the warped image, over the fixed image. They should lie on the fixed image's edges.")
FLICKER_TEXT = _("Fixed and warped image in turn, equally bright. What jumps is not aligned.")
SIDE_BY_SIDE_TEXT = _("Left: the fixed image. Right: the warped image at the same place. Both views move together.")

SQUARE_MM = 18.0
#: Half the displayed range of a difference, in percent of the brightness range.
DIFFERENCE_LIMIT_PERCENT = 60.0
DIFFERENCE_LEGEND = _("Fixed - warped\n(% of range)")
_LEFT, _RIGHT = "Red", "Yellow"


def checkerboardSteps(
    scene: Scene, outputs: RegistrationOutputs, *, squareMm: float = SQUARE_MM
) -> Generator[None, None, OpenView]:
    """Show fixed and warped image in squares of about ``squareMm``.

    Raises:
        InputError: if the fixed volume is gone; so do all functions here.
    """
    with opening(scene, "checkerboard", CHECKERBOARD_TEXT) as view:
        fixed, warped, movingRange = yield from _imageSteps(view, outputs)
        board = yield from inThread(lambda: checkerboard(fixed, warped, movingRange, squareMm))
        node = addVolume(view, "checkerboard", volumeFromImage(board, f"Checkerboard {board.name}", share=True))
        node.GetDisplayNode().SetWindowLevel(1.0, 0.5)
        yield
        yield from view.layerSteps(node)
    return view


def differenceSteps(scene: Scene, outputs: RegistrationOutputs) -> Generator[None, None, OpenView]:
    """Show fixed minus warped in signed colours, with a legend."""
    with opening(scene, "difference", DIFFERENCE_TEXT) as view:
        fixed, warped, movingRange = yield from _imageSteps(view, outputs)
        difference = yield from inThread(lambda: differencePercent(fixed, warped, movingRange))
        colors = addColors(view, "Fixed brighter / warped brighter", DIFFERENCE_COLORS)
        built = volumeFromImage(difference, f"Difference {difference.name}", share=True)
        node = addVolume(view, "difference", built, colors.GetID())
        node.GetDisplayNode().SetWindowLevel(2 * DIFFERENCE_LIMIT_PERCENT, 0.0)
        addViewLegend(view, node, DIFFERENCE_LEGEND, "%+.0f")
        yield
        yield from view.layerSteps(node)
    return view


def edgeSteps(scene: Scene, outputs: RegistrationOutputs) -> Generator[None, None, OpenView]:
    """Draw the warped image's edges over the fixed image."""
    with opening(scene, "edges", EDGES_TEXT) as view:
        fixed = fixedVolume(view, outputs)
        _, warped, _ = yield from _imageSteps(view, outputs)
        found = yield from inThread(lambda: edges(warped))
        colors = addColors(view, "Edges", ((0.0, 0.0, 0.0), WARPED_COLOR), count=2, transparentFirst=True)
        node = volumeFromImage(found, found.name, labels=True, share=True)
        view.giveDisplay(node, "vtkMRMLLabelMapVolumeDisplayNode").SetAndObserveColorNodeID(colors.GetID())
        view.add("edges", node)
        yield
        yield from view.layerSteps(fixed, label=node)
    return view


def flickerSteps(scene: Scene, outputs: RegistrationOutputs) -> Generator[None, None, OpenView]:
    """Lay the warped image over the fixed one, hidden at first; see :func:`flick`."""
    with opening(scene, "flicker", FLICKER_TEXT) as view:
        fixed, warped = fixedVolume(view, outputs), warpedVolume(view, outputs)
        yield from _windowSteps(view, outputs, fixed, warped)
        yield from view.layerSteps(fixed, warped, 0.0)
    return view


def flick(view: OpenView) -> str:
    """Switch an open flicker view to its other image; returns which is shown now, ``"fixed"`` or ``"warped"``."""
    composites = slicesOf(view.scene)
    showWarped = bool(composites) and composites[0].GetForegroundOpacity() < 0.5
    view.setOpacity(1.0 if showWarped else 0.0)
    return "warped" if showWarped else "fixed"


def sideBySideSteps(scene: Scene, outputs: RegistrationOutputs) -> Generator[None, None, OpenView]:
    """Show fixed and warped image next to each other in two views that move together.

    The layout becomes Slicer's *Side by side*; both views show the whole image, the right one where the left one is.
    """
    with opening(scene, "sideBySide", SIDE_BY_SIDE_TEXT) as view:
        fixed, warped = fixedVolume(view, outputs), warpedVolume(view, outputs)
        yield from _windowSteps(view, outputs, fixed, warped)
        layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
        if layout is not None:
            wanted = slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView
            view.record.change(layout, layout.GetViewArrangement, layout.SetViewArrangement, wanted)
        yield  # the window gives the views their new size meanwhile
        for composite in slicesOf(scene):
            name = composite.GetLayoutName()
            if name in (_LEFT, _RIGHT):
                view.setLayersOf(composite, fixed if name == _LEFT else warped)
                view.record.change(composite, composite.GetLinkedControl, composite.SetLinkedControl, 1)
                view.record.change(composite, composite.GetHotLinkedControl, composite.SetHotLinkedControl, 1)
                yield
        showWhole(view, fixed, _LEFT, _RIGHT)
        refreshLegends(scene)
    return view


def _imageSteps(
    view: OpenView, outputs: RegistrationOutputs
) -> Generator[None, None, tuple[Image, Image, tuple[float, float]]]:
    """Fixed and warped on the fixed lattice, and the moving image's brightness range."""
    fixed = yield from imageSteps(fixedVolume(view, outputs), outputs.nodes.transform)
    warped = Image(outputs.result.warped, outputs.result.fixed_grid, f"{outputs.inputs.moving.GetName()} warped")
    return fixed, warped, _movingRange(view, outputs)


def _movingRange(view: OpenView, outputs: RegistrationOutputs) -> tuple[float, float]:
    moving = outputs.inputs.moving
    if moving.GetScene() is view.scene and moving.GetImageData() is not None:
        return brightnessRange(Image(numpyView(moving.GetImageData()), outputs.result.moving_grid, moving.GetName()))
    return brightnessRange(Image(outputs.result.warped, outputs.result.fixed_grid, "warped"))


def _windowSteps(
    view: OpenView, outputs: RegistrationOutputs, fixed: VolumeNode, warped: VolumeNode
) -> Generator[None, None, None]:
    """Show the warped volume as bright as the fixed one: the same part of its own range."""
    image, _, (low, high) = yield from _imageSteps(view, outputs)
    darkest, brightest = brightnessRange(image)
    display = fixed.GetDisplayNode()
    if display is None or brightest <= darkest or high <= low:
        return
    scale = (high - low) / (brightest - darkest)
    view.setWindow(warped.GetDisplayNode(), display.GetWindow() * scale, low + (display.GetLevel() - darkest) * scale)
    yield


def showWhole(view: OpenView, volume: VolumeNode, *names: str) -> None:
    """Let slice views show all of a volume, in the plane and the scale of the first; noted for closing.

    Closing sets them back whatever is scrolled meanwhile.

    Args:
        view: that is being opened.
        volume: volume node.
        names: layout names of slice views; nothing happens if one is missing, or has no window yet.
    """
    found = {node.GetLayoutName(): node for node in ownedList(view.scene.GetNodesByClass("vtkMRMLSliceNode"))}
    nodes = [found[name] for name in names if name in found]
    sizes = [np.asarray(node.GetDimensions()[:2], float) for node in nodes]
    if len(nodes) < len(names) or min(size.min() for size in sizes) < 1:
        return
    plane = numpyMatrix(nodes[0].GetSliceToRAS())
    seen = transform_points(np.linalg.inv(plane), _corners(volume))
    low, high = seen.min(axis=0), seen.max(axis=0)
    plane[:3, 3] = transform_points(plane, np.array([*(low + high)[:2] / 2, 0.0]))
    mmPerPixel = max(float(((high - low)[:2] / size).max()) for size in sizes)
    for node, (width, height) in zip(nodes, sizes, strict=True):
        fieldOfView = (mmPerPixel * width, mmPerPixel * height, nodes[0].GetFieldOfView()[2])
        place = (tuple(plane.ravel()), fieldOfView, (0.0, 0.0, 0.0))
        view.record.change(node, partial(_place, node), partial(_setPlace, node), place, True)


def _corners(volume: VolumeNode) -> npt.NDArray[np.float64]:
    """The outer corners of the voxels, (8, 3) world RAS mm."""
    grid = ownGrid(volume)
    indices = np.array(list(itertools.product(*((-0.5, size - 0.5) for size in grid.size_ijk))))
    return toWorld(volume, transform_points(grid.ijk_to_ras, indices), None)


def _place(node: SliceNode) -> tuple[Any, ...]:
    """Position and direction (16 numbers), field of view (mm) and its shift."""
    return tuple(numpyMatrix(node.GetSliceToRAS()).ravel()), node.GetFieldOfView(), node.GetXYZOrigin()


def _setPlace(node: SliceNode, place: tuple[Any, ...]) -> None:
    matrix, fieldOfView, origin = place
    wasModifying = node.StartModify()
    node.GetSliceToRAS().DeepCopy(vtkMatrix([matrix[row : row + 4] for row in (0, 4, 8, 12)]))
    node.SetFieldOfView(*fieldOfView)
    node.SetXYZOrigin(*origin)
    node.UpdateMatrices()
    node.EndModify(wasModifying)
