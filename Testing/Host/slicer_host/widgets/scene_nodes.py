"""Which nodes of a scene a selector offers, kept up to date by the scene's events."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import vtk

from ..observers import observe


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
    """Calls ``changed`` after nodes came, went or were modified; during a batch only at its end."""

    def __init__(self, changed: Callable[[], None], modified: Callable[[Any], None]) -> None:
        self._changed, self._modified = _weak(changed), _weak(modified)
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
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent, scene.EndCloseEvent):
            self._tags.append((scene, observe(scene, event, self._onSceneEvent)))

    def _onSceneEvent(self, scene: Any, _event: str) -> None:
        if not scene.IsBatchProcessing():
            self._changed()

    def watchNodes(self, nodes: list[Any]) -> None:
        """Report when one of ``nodes`` is modified (renamed, hidden, given attributes)."""
        wanted = {node.GetID(): node for node in nodes}
        for identifier in set(self._nodeTags) - set(wanted):
            node, tag = self._nodeTags.pop(identifier)
            node.RemoveObserver(tag)
        for identifier in set(wanted) - set(self._nodeTags):
            node = wanted[identifier]
            self._nodeTags[identifier] = (
                node,
                observe(node, vtk.vtkCommand.ModifiedEvent, lambda n, _e: self._modified(n)),
            )


def _weak(method: Callable[..., None]) -> Callable[..., None]:
    """A bound method that does not keep its widget alive."""
    reference = weakref.WeakMethod(method)

    def call(*arguments: Any) -> None:
        alive = reference()
        if alive is not None:
            alive(*arguments)

    return call


def nodesOf(scene: Any, accepted: NodeFilter) -> list[Any]:
    """The scene's nodes that ``accepted`` lets through, in the scene's order."""
    if scene is None:
        return []
    nodes = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
    return [node for node in nodes if accepted.accepts(node)]
