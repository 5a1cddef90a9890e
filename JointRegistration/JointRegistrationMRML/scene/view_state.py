"""What the views show, recorded so that it can be put back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from JointRegistrationLib.core.progress import finished

from ..mrml import Node, Scene
from ..nodes.arrays import ownedList


def centreViews(scene: Scene, ras: Sequence[float]) -> None:
    """Centre every slice view on a point (world RAS mm), zoom unchanged, and put the crosshair there."""
    for node in ownedList(scene.GetNodesByClass("vtkMRMLSliceNode")):
        node.JumpSliceByCentering(*ras)
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*ras)


@dataclass
class _Change:
    """One value that was set: how to read and write it, what it was and what it became."""

    node: Node
    get: Callable[[], Any]
    set: Callable[[Any], None]
    before: Any
    after: Any
    always: bool = False


@dataclass
class ViewRecord:
    """What was changed, for :func:`restoreViews`."""

    changes: list[_Change] = field(default_factory=list)

    def change(
        self, node: Node, get: Callable[[], Any], setter: Callable[[Any], None], value: Any, always: bool = False
    ) -> None:
        """Set a value of ``node`` and note what it was; ``always``: to be restored even if it is changed since."""
        before = get()
        if before != value:
            setter(value)
            self.changes.append(_Change(node, get, setter, before, get(), always))

    def keep(self, node: Node, get: Callable[[], Any], setter: Callable[[Any], None]) -> None:
        """Note a value of ``node`` that somebody else is going to change: it is to be restored in any case."""
        self.changes.append(_Change(node, get, setter, get(), None, always=True))


def restoreViews(scene: Scene, record: ViewRecord) -> None:
    """Set back what was set, except where it was changed or deleted since."""
    finished(restoreSteps(scene, record))


def restoreSteps(scene: Scene, record: ViewRecord) -> Generator[None, None, None]:
    """:func:`restoreViews` with a pause after each node."""
    changes, record.changes = record.changes[::-1], []
    for index, change in enumerate(changes):
        if change.node.GetScene() is scene and (change.get() == change.after or change.always):
            gone = isinstance(change.before, str) and scene.GetNodeByID(change.before) is None
            change.set(None if gone else change.before)
            if index + 1 < len(changes) and changes[index + 1].node is not change.node:
                yield
    if changes:
        refreshLegends(scene)


def refreshLegends(scene: Scene) -> None:
    """Let colour legends look which layers the slice views show; by themselves they do so only after a click."""
    for legend in ownedList(scene.GetNodesByClass("vtkMRMLColorLegendDisplayNode")):
        legend.Modified()


def slicesOf(scene: Scene) -> list[Any]:
    """The nodes that say which layers each slice view shows."""
    return ownedList(scene.GetNodesByClass("vtkMRMLSliceCompositeNode"))
