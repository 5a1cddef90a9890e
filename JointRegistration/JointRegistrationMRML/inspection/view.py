"""What opening a view of a run changed and added, so that closing it leaves the scene as it was.

In the application each change of what a slice view shows takes 0.1 to 0.3 s: opening and closing pause after it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import slicer

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.progress import finished

from ..mrml import DisplayableNode, Node, Scene, SegmentationNode
from ..nodes.arrays import freeName, giveDisplay, numpyView, ownedList
from ..nodes.colors import Color, addLegend, divergingColors, scaleNode, tableNode
from ..nodes.jacobian import jacobianSteps, showJacobian
from ..nodes.volumes import volumeFromImage
from ..run.registration_nodes import RegistrationOutputs
from ..scene.view_state import ViewRecord, refreshLegends, restoreSteps, slicesOf
from ..translation import _

_ALPHA_BLENDING = 0
_COLORS = "vtkMRMLColorNode"


@dataclass
class OpenView:
    """One view that is open, for :func:`closeView`.

    ``record`` holds values that were set on nodes of the scene. ``nodes`` are nodes that only exist for the
    view, by what they are; they are not saved with the scene. ``text`` says how to read the view.
    """

    scene: Scene
    name: str
    text: str = ""
    record: ViewRecord = field(default_factory=ViewRecord)
    nodes: dict[str, Any] = field(default_factory=dict)
    displays: list[Any] = field(default_factory=list)
    observers: list[tuple[Any, int]] = field(default_factory=list)
    subject: Any = None

    def add(self, kind: str, node: Node) -> Any:
        """Bring a node made outside the scene into it, for as long as the view is open.

        What draws it asks for its display node as soon as it comes: see :meth:`giveDisplay`, before. It must not hold
        data of another node: the application empties a segmentation node that goes, or that a user deletes.
        """
        node.SetSaveWithScene(False)
        node.SetName(freeName(self.scene, node.GetName()))
        self.nodes[kind] = self.scene.AddNode(node)
        return node

    def giveDisplay(self, node: DisplayableNode, className: str) -> Any:
        """A display node for a node that is about to be brought in by :meth:`add`; goes with it."""
        display = giveDisplay(self.scene, node, className)
        display.SetSaveWithScene(False)
        self.displays.append(display)
        return display

    def follow(self, observed: Any, events: Iterable[int], changed: Callable[[], None]) -> None:
        """Call ``changed`` at each of these events, for as long as the view is open."""
        for event in events:
            self.observers.append((observed, observed.AddObserver(event, lambda caller, name: changed())))

    @property
    def isWhole(self) -> bool:
        """Return whether everything that the view added is there still; a user may delete it by hand."""
        return all(node.GetScene() is self.scene for node in (*self.nodes.values(), *self.displays))

    def setVisible(self, node: DisplayableNode | None, visible: bool) -> None:
        """Show or hide a node of the scene that has a display node; noted for closing."""
        display = None if node is None else node.GetDisplayNode()
        if display is not None:
            self.record.change(display, display.GetVisibility, display.SetVisibility, int(visible))

    def layerSteps(
        self, background: Any, foreground: Any = None, opacity: float = 0.5, label: Any = None
    ) -> Generator[None, None, None]:
        """Show these volumes in every slice view; None for none. Label maps are shown opaque."""
        for composite in slicesOf(self.scene):
            self.setLayersOf(composite, background, foreground, opacity, label)
            yield
        refreshLegends(self.scene)

    def setLayersOf(
        self, composite: Any, background: Any, foreground: Any = None, opacity: float = 0.5, label: Any = None
    ) -> None:
        """:meth:`layerSteps` in one slice view."""
        for get, setter, value in (
            (composite.GetCompositing, composite.SetCompositing, _ALPHA_BLENDING),
            (composite.GetBackgroundVolumeID, composite.SetBackgroundVolumeID, _idOf(background)),
            (composite.GetForegroundVolumeID, composite.SetForegroundVolumeID, _idOf(foreground)),
            (composite.GetForegroundOpacity, composite.SetForegroundOpacity, opacity if foreground else 0.0),
            (composite.GetLabelVolumeID, composite.SetLabelVolumeID, _idOf(label)),
            (composite.GetLabelOpacity, composite.SetLabelOpacity, 1.0),
        ):
            self.record.change(composite, get, setter, value)

    def setOpacity(self, opacity: float) -> None:
        """Set how much the foreground covers the background, 0 to 1, in every slice view."""
        for composite in slicesOf(self.scene):
            self.record.change(composite, composite.GetForegroundOpacity, composite.SetForegroundOpacity, opacity)

    def setWindow(self, display: Any, window: float, level: float) -> None:
        """Give a volume's display node this window and level."""
        self.record.change(display, display.GetAutoWindowLevel, display.SetAutoWindowLevel, 0)
        self.record.change(
            display,
            lambda: (display.GetWindow(), display.GetLevel()),
            lambda values: display.SetWindowLevel(*values),
            (window, level),
        )


@contextmanager
def opening(scene: Scene, name: str, text: str = "") -> Iterator[OpenView]:
    """A view to be filled in the block; if that fails, what was done so far is taken back."""
    view = OpenView(scene, name, text)
    try:
        yield view
    except BaseException:
        closeView(view)
        raise


def closeView(view: OpenView) -> None:
    """Take the view's nodes away and set back what it set, except where that was changed or deleted since.

    Harmless after the view was closed, and after the scene was.
    """
    finished(closeSteps(view))


def closeSteps(view: OpenView) -> Generator[None, None, None]:
    """:func:`closeView` with pauses in which a window stays alive."""
    observers, view.observers = view.observers, []
    for observed, tag in observers:
        observed.RemoveObserver(tag)
    yield from restoreSteps(view.scene, view.record)
    nodes, displays = list(reversed(view.nodes.values())), view.displays
    view.nodes, view.displays = {}, []
    for node in sorted(nodes, key=lambda node: node.IsA(_COLORS)):
        if node.GetScene() is view.scene:
            _removeWithHelpers(view.scene, node)
            yield
    for display in displays:  # of nodes that were deleted by hand
        if display.GetScene() is view.scene:
            view.scene.RemoveNode(display)


def _removeWithHelpers(scene: Scene, node: SegmentationNode) -> None:
    """Remove a node of a view, and its storage and display nodes after it.

    Colours go after what is drawn in them (a visible transform without any makes a node of default ones, which stays).
    A segmentation is emptied first: else the application takes its segments out one by one, voxel by voxel.
    """
    helpers = []
    if node.IsA("vtkMRMLDisplayableNode"):
        helpers += [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        helpers += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    if node.IsA("vtkMRMLSegmentationNode"):
        node.SetAndObserveSegmentation(slicer.vtkSegmentation())
    for other in [node, *helpers]:
        if other is not None and other.GetScene() is scene:
            scene.RemoveNode(other)


def _idOf(node: Node | None) -> str | None:
    return None if node is None else node.GetID()


def keepCameras(view: OpenView) -> None:
    """Let the cameras of the 3D views stand again where they stand now, once the view is closed."""
    for camera in ownedList(view.scene.GetNodesByClass("vtkMRMLCameraNode")):
        view.record.keep(camera, partial(_cameraPlace, camera), partial(_putCamera, camera))


def _cameraPlace(camera: Any) -> tuple[Any, Any, Any]:
    return camera.GetPosition(), camera.GetFocalPoint(), camera.GetViewUp()


def _putCamera(camera: Any, place: tuple[Any, Any, Any]) -> None:
    position, focalPoint, up = place
    camera.SetPosition(*position)
    camera.SetFocalPoint(*focalPoint)
    camera.SetViewUp(*up)
    camera.ResetClippingRange()


def addColors(
    view: OpenView, name: str, colors: Sequence[Color], *, count: int = 256, transparentFirst: bool = False
) -> Any:
    """:func:`.tableNode` in the scene as long as the view is open."""
    return view.add(f"colors {name}", tableNode(name, colors, count, transparentFirst))


def addScale(view: OpenView, name: str, colors: Sequence[Color], upTo: float) -> Any:
    """:func:`.scaleNode` in the scene as long as the view is open."""
    return view.add(f"colors {name}", scaleNode(name, colors, upTo))


def fixedVolume(view: OpenView, outputs: RegistrationOutputs) -> Any:
    """The run's fixed volume.

    Raises:
        InputError: if it was removed from the scene.
    """
    node = outputs.inputs.fixed
    if node.GetScene() is not view.scene:
        text = _("fixed volume: {name} is no longer in the scene; load it and run the registration again")
        raise InputError(text.format(name=node.GetName()))
    return node


def warpedVolume(view: OpenView, outputs: RegistrationOutputs) -> Any:
    """The moving volume on the fixed grid: the run's node, or one of the view's own."""
    node = outputs.nodes.warpedVolume
    if isThere(view, node):
        return node
    name = f"{outputs.inputs.moving.GetName()} warped"
    built = volumeFromImage(Image(outputs.result.warped, outputs.result.fixed_grid, name), name)  # a copy
    return addVolume(view, "warped", built)


def log2JacobianVolume(view: OpenView, outputs: RegistrationOutputs) -> Any:
    """log2 J on the fixed grid: the run's node, or one of the view's own."""
    node = outputs.nodes.jacobian
    if isThere(view, node):
        return node
    name = f"{outputs.inputs.moving.GetName()} to {outputs.inputs.fixed.GetName()} (log2 Jacobian)"
    colors = view.add("colors", divergingColors())
    built = finished(jacobianSteps(outputs.result.jacobian_determinant, outputs.result.fixed_grid, name))
    node = addVolume(view, "jacobian", built, colors.GetID())
    showJacobian(node, colors, numpyView(node.GetImageData()))
    return node


def addVolume(view: OpenView, kind: str, built: Any, colorID: str = "vtkMRMLColorTableNodeGrey") -> Any:
    """Bring a scalar volume into the scene for as long as the view is open, with a display node."""
    display = view.giveDisplay(built, "vtkMRMLScalarVolumeDisplayNode")
    display.AutoWindowLevelOff()  # looking for a window takes a while on a knee; whoever adds it sets one
    display.SetAndObserveColorNodeID(colorID)
    return view.add(kind, built)


def isThere(view: OpenView, node: DisplayableNode | None) -> bool:
    """Return whether there is such a node, in the view's scene, with something to draw it by."""
    return node is not None and node.GetScene() is view.scene and node.GetDisplayNode() is not None


def addViewLegend(view: OpenView, node: Node, title: str, labelFormat: str) -> Any:
    """A colour legend for a node of the view, where the Jacobian's stands.

    Args:
        view: that is being opened.
        node: displayed node with colours.
        title: what the numbers are.
        labelFormat: of the numbers, as for ``printf``.
    """
    legend = addLegend(node)
    legend.SetSaveWithScene(False)
    legend.SetTitleText(title)
    legend.SetLabelFormat(labelFormat)
    view.nodes["legend"] = legend
    return legend
