"""Which nodes of a scene a selector offers, kept up to date by the scene's events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import vtk

from ..qt.observers import observe, weakly


@dataclass
class NodeFilter:
    """What a selector lets through."""

    types: list[str] = field(default_factory=list)
    showHidden: bool = False
    showChildTypes: bool = True
    hiddenChildTypes: list[str] = field(default_factory=list)
    attributes: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def accepts(self, node: Any) -> bool:
        """Whether ``node`` is offered."""
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        kind = next((t for t in self.types if (node.IsA(t) if self.showChildTypes else node.GetClassName() == t)), None)
        if kind is None or any(node.IsA(t) for t in self.hiddenChildTypes if t not in self.types):
            return False
        wanted = {name: value for (owner, name), value in self.attributes.items() if node.IsA(owner)}
        return all(
            node.GetAttribute(name) is not None if value is None else node.GetAttribute(name) == value
            for name, value in wanted.items()
        )


class SceneObserver:
    """Tells of nodes that come, go or are modified, when the application's scene model hears of it.

    Args:
        added: called with a new node. While a scene is imported nothing is told, and ``refilled`` at its end.
        leaving: called with a node that is about to be removed, after the scene's other observers; not while it closes.
        modified: called with a node that ``watchNodes`` names.
        refilled: called once a scene was closed or imported.
    """

    def __init__(
        self,
        added: Callable[[Any], None],
        leaving: Callable[[Any], None],
        modified: Callable[[Any], None],
        refilled: Callable[[], None],
    ) -> None:
        self._added, self._leaving = weakly(added), weakly(leaving)
        self._modified, self._refilled = weakly(modified), weakly(refilled)
        self._tags: list[tuple[Any, int]] = []
        self._nodeTags: dict[str, tuple[Any, int]] = {}
        self.scene: Any = None

    def observe(self, scene: Any) -> None:
        """Follow ``scene`` instead of the one before; None for no scene."""
        for owner, tag in self._tags:
            owner.RemoveObserver(tag)
        self._tags = []
        self.watchNodes([])
        self.scene = scene
        if scene is None:
            return
        followed = (
            (scene.NodeAddedEvent, self._onAdded, 10.0),
            (scene.NodeAboutToBeRemovedEvent, self._onLeaving, -10.0),
            (scene.EndCloseEvent, lambda *_: self._refilled(), 0.0),
            (scene.EndImportEvent, lambda *_: self._refilled(), 0.0),
        )
        for event, slot, priority in followed:
            self._tags.append((scene, observe(scene, event, slot, priority)))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onAdded(self, scene: Any, _event: str, node: Any) -> None:
        if not scene.IsImporting():
            self._added(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onLeaving(self, scene: Any, _event: str, node: Any) -> None:
        if not scene.IsClosing():
            self._leaving(node)

    def watchNodes(self, nodes: list[Any]) -> None:
        """Report when one of ``nodes`` is modified (renamed, hidden, given attributes)."""
        wanted = {node.GetID(): node for node in nodes}
        for identifier in set(self._nodeTags) - set(wanted):
            node, tag = self._nodeTags.pop(identifier)
            node.RemoveObserver(tag)
        for identifier in set(wanted) - set(self._nodeTags):
            node = wanted[identifier]
            tag = observe(node, vtk.vtkCommand.ModifiedEvent, self._onModified)
            self._nodeTags[identifier] = (node, tag)

    def _onModified(self, node: Any, _event: str) -> None:
        scene = self.scene
        if scene is not None and not (scene.IsClosing() or scene.IsImporting()) and node.GetScene() is not None:
            self._modified(node)


def nodesOf(scene: Any, accepted: NodeFilter) -> list[Any]:
    """The scene's nodes that ``accepted`` lets through, in the scene's order."""
    if scene is None:
        return []
    nodes = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
    return [node for node in nodes if accepted.accepts(node)]
