"""What opening a view of a run changed and added, so that closing it leaves the scene as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .nodes import freeName
from .show import ViewRecord, restoreViews, slicesOf

_ALPHA_BLENDING = 0


@dataclass
class OpenView:
    """One view that is open, for :func:`closeView`.

    ``record`` holds values that were set on nodes of the scene. ``nodes`` are nodes that only exist for the
    view, by what they are; they are not saved with the scene. ``text`` says how to read the view.
    """

    scene: Any
    name: str
    text: str = ""
    record: ViewRecord = field(default_factory=ViewRecord)
    nodes: dict[str, Any] = field(default_factory=dict)
    subject: Any = None

    def add(self, kind: str, node: Any) -> Any:
        """Bring a node made outside the scene into it, for as long as the view is open."""
        node.SetSaveWithScene(False)
        node.SetName(freeName(self.scene, node.GetName()))
        self.nodes[kind] = self.scene.AddNode(node)
        return node

    def addDisplay(self, node: Any, className: str) -> Any:
        """A display node for a node that :meth:`add` brought in; goes with it."""
        display = self.scene.AddNewNodeByClass(className)
        display.SetSaveWithScene(False)
        node.SetAndObserveDisplayNodeID(display.GetID())
        return display

    def setVisible(self, node: Any, visible: bool) -> None:
        """Show or hide a node of the scene that has a display node; noted for closing."""
        display = None if node is None else node.GetDisplayNode()
        if display is not None:
            self.record.change(display, display.GetVisibility, display.SetVisibility, int(visible))

    def setLayers(self, background: Any, foreground: Any = None, opacity: float = 0.5, label: Any = None) -> None:
        """Show these volumes in every slice view; None for none. Label maps are shown opaque."""
        for composite in slicesOf(self.scene):
            self.setLayersOf(composite, background, foreground, opacity, label)

    def setLayersOf(
        self, composite: Any, background: Any, foreground: Any = None, opacity: float = 0.5, label: Any = None
    ) -> None:
        """:meth:`setLayers` in one slice view."""
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
        """How much the foreground covers the background, 0 to 1, in every slice view."""
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
def opening(scene: Any, name: str, text: str = "") -> Iterator[OpenView]:
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
    restoreViews(view.scene, view.record)
    for node in reversed(list(view.nodes.values())):
        if node.GetScene() is view.scene:
            _removeWithHelpers(view.scene, node)
    view.nodes.clear()


def _removeWithHelpers(scene: Any, node: Any) -> None:
    helpers = []
    if node.IsA("vtkMRMLDisplayableNode"):
        helpers += [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        helpers += [node.GetNthStorageNode(index) for index in range(node.GetNumberOfStorageNodes())]
    for other in [node, *helpers]:
        if other is not None and other.GetScene() is scene:
            scene.RemoveNode(other)


def _idOf(node: Any) -> str | None:
    return None if node is None else node.GetID()
