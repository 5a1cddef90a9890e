"""Changes to a scene that happen as a whole or not at all, and can be taken back later."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import slicer
import vtk

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.progress import finished

from ..mrml import DisplayableNode, Node, Scene, TransformNode
from ..nodes.arrays import freeName, giveDisplay, newNode, ownedList
from ..translation import _
from .content import contentState
from .view_state import ViewRecord, restoreSteps, restoreViews

#: Nodes that only serve another node: they go when nothing that stays needs them.
_COLORS = "vtkMRMLColorNode"
_SEGMENTATION = "vtkMRMLSegmentationNode"
_HELPERS = ("vtkMRMLDisplayNode", "vtkMRMLStorageNode", _COLORS)


@dataclass(frozen=True)
class _Step:
    """How to undo one change of ``node``. ``now`` reads what was changed; ``content``: whether that is its content."""

    node: Node
    undo: Callable[[], None]
    now: Callable[[], Any]
    content: bool = False


class SceneTransaction:
    """Collects what is added to and changed in a scene, and takes all of it back if its block fails.

    Inside the block the scene is in a batch, so that views follow once, at the end::

        with SceneTransaction(scene) as transaction:
            volume = transaction.put(newVolume, None)
            transaction.setParentTransform(moving, transform)

    A block in steps lets the window live in between: ``yield from transaction.pause()``. What others add to the scene
    meanwhile is not the transaction's. If the generator is closed there, the block has failed. Such a block is not in a
    batch: at the end of each the application looks through the whole scene, in every view.

    After a block that succeeded, :meth:`takeBack` does the same at any later time, but spares what was
    changed since.
    """

    def __init__(self, scene: Scene, *, batch: bool = True) -> None:
        self._scene, self._batch = scene, batch
        self._steps: list[_Step] = []
        self._folders: list[tuple[Any, int]] = []
        self._idsBefore: set[str] = set()
        self._new: list[Any] = []
        self._left: list[Any] = []
        self._added: dict[Any, Any] = {}

    def __enter__(self) -> SceneTransaction:
        self._idsBefore = self._ids()
        if self._batch:
            self._scene.StartState(self._scene.BatchProcessState)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._rollBack()
        finally:
            if self._batch:
                self._scene.EndState(self._scene.BatchProcessState)
        if error is None:
            self._left = [step.now() for step in self._steps]
            self._added = {node: contentState(node) for node in self._newNodes()}

    def pause(self) -> Generator[None, None, None]:
        """A step ends here, within a block without a batch: others may use the scene before the next one.

        Raises:
            InputError: if what the block has added was removed meanwhile.
        """
        self._new = self._newNodes()
        try:
            yield
        finally:
            self._idsBefore = self._ids()
        gone = next((node for node in self._new if node.GetScene() is not self._scene), None)
        if gone is not None:
            text = _("{name} was removed from the scene before all was added; nothing of it was kept")
            raise InputError(text.format(name=gone.GetName()))

    def put(self, built: Any, target: Any) -> Any:
        """Bring a node made outside the scene into it; returns the node that now holds its content.

        Args:
            built: node in no scene.
            target: a node of the scene to be given ``built``'s content instead; it keeps its name,
                loses its parent transform (results lie in the world), and is restored on failure.
                None to add ``built`` itself.
        """
        if target is None:
            if built.IsA(_SEGMENTATION):
                giveDisplay(self._scene, built)
            built.SetName(freeName(self._scene, built.GetName()))
            return self._scene.AddNode(built)
        backup = newNode(target.GetClassName(), "backup")
        backup.CopyContent(target, False)  # shares the old voxels or transform: they are replaced, not changed
        self._steps.append(
            _Step(target, lambda: target.CopyContent(backup, False), lambda: contentState(target), content=True)
        )
        if target.IsA("vtkMRMLTransformableNode"):  # a table is not
            self.setParentTransform(target, None)
        target.CopyContent(built, False)
        return target

    def setReference(self, node: Node, role: str, referenced: Node | None) -> None:
        """Let ``node`` refer to ``referenced`` (None: to nothing) under ``role``."""
        before = node.GetNodeReferenceID(role)
        self._steps.append(
            _Step(node, lambda: node.SetNodeReferenceID(role, before), lambda: node.GetNodeReferenceID(role))
        )
        node.SetNodeReferenceID(role, None if referenced is None else referenced.GetID())

    def setAttribute(self, node: Node, name: str, value: str) -> None:
        """Note something on ``node``."""
        before = node.GetAttribute(name)
        self._steps.append(_Step(node, lambda: node.SetAttribute(name, before), lambda: node.GetAttribute(name)))
        node.SetAttribute(name, value)

    def setParentTransform(self, node: DisplayableNode, transform: TransformNode | None) -> None:
        """Put ``node`` under ``transform`` (None: under nothing)."""
        before = node.GetTransformNodeID()
        self._steps.append(_Step(node, lambda: node.SetAndObserveTransformNodeID(before), node.GetTransformNodeID))
        node.SetAndObserveTransformNodeID(None if transform is None else transform.GetID())

    def changing(self, node: Node) -> Any:
        """``node``, after noting all of it (name and references too) for restoring; for display nodes."""
        backup = newNode(node.GetClassName(), "")
        backup.Copy(node)
        self._steps.append(_Step(node, lambda: node.Copy(backup), lambda: None))
        return node

    def noteFolder(self, hierarchy: Any, item: int) -> None:
        """A subject-hierarchy folder was made: it goes, after the new nodes, unless something else is in it."""
        self._folders.append((hierarchy, item))

    def isNew(self, node: Node) -> bool:
        """Return whether the node came into the scene within this block."""
        return node in self._new or node.GetID() not in self._idsBefore

    def takeBack(self) -> list[str]:
        """Take back what a block that succeeded did: once, at any later time.

        New nodes go and changed ones become what they were. A node whose content (voxels, transform,
        segments) was edited after the block stays as it is, with all it needs; a value that is no longer
        what the block set is left alone, and what was deleted since stays deleted.

        Returns:
            The names of the nodes that stay because they were edited.
        """
        self._scene.StartState(self._scene.BatchProcessState)
        try:
            return finished(self.takeBackSteps())
        finally:
            self._scene.EndState(self._scene.BatchProcessState)

    def takeBackSteps(self) -> Generator[None, None, list[str]]:
        """:meth:`takeBack` with a pause after each change, and not in a batch."""
        steps, left, added = self._steps, self._left, self._added
        self._steps, self._left, self._added = [], [], {}
        added = {node: state for node, state in added.items() if node.GetScene() is self._scene}
        edited = {node for node, state in added.items() if contentState(node) != state}
        pairs = [(step, value) for step, value in zip(steps, left, strict=True) if step.node.GetScene() is self._scene]
        edited |= {step.node for step, value in pairs if step.content and step.now() != value}
        for step, value in reversed(pairs):
            there = step.node.GetScene() is self._scene  # it may have been removed in a pause
            if there and step.node not in edited and step.node not in added and step.now() == value:
                step.undo()
                yield
        yield from _removeSteps(self._scene, set(added) - edited)
        self._removeFolders()
        return sorted(node.GetName() for node in edited)

    def _ids(self) -> set[str]:
        return {node.GetID() for node in nodesOf(self._scene)}

    def _rollBack(self) -> None:
        self._scene.StartState(self._scene.BatchProcessState)
        try:
            for step in reversed(self._steps):
                if step.node.GetScene() is self._scene:  # it may have been removed, or the scene closed, in a pause
                    step.undo()
            finished(_removeSteps(self._scene, set(self._newNodes())))
            self._removeFolders()
        finally:
            self._scene.EndState(self._scene.BatchProcessState)

    def _newNodes(self) -> list[Any]:
        new = [node for node in nodesOf(self._scene) if self.isNew(node)]
        return [node for node in new if not node.IsA("vtkMRMLSubjectHierarchyNode")]

    def _removeFolders(self) -> None:
        for hierarchy, item in self._folders:
            if hierarchy.GetScene() is self._scene and _isEmptyFolder(hierarchy, item):
                hierarchy.RemoveItem(item, False, False)
        self._folders = []


def nodesOf(scene: Scene) -> list[Any]:
    """All nodes of a scene, in its order."""
    nodes = scene.GetNodes()
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]


def _removeSteps(scene: Scene, nodes: set[Any]) -> Generator[None, None, None]:
    """Remove nodes, with a pause after each, and of display, storage and colour nodes those that nothing else needs."""
    main = {node for node in nodes if not _isHelper(node)}
    helpers = nodes - main
    for node in main:  # a storage node comes with the first saving, after the run
        helpers |= {other for other in _referenced(scene, node) if _isHelper(other) and not other.IsA(_COLORS)}
    staying = [node for node in nodesOf(scene) if node not in main and node not in helpers]
    while staying:
        needed = {other for node in staying for other in _referenced(scene, node)} & helpers
        helpers -= needed
        staying = list(needed)
    yield from _removeNodeSteps(scene, [*main, *helpers])


def _removeNodeSteps(scene: Scene, nodes: list[Any]) -> Generator[None, None, None]:
    """Remove nodes and their items: within a batch the subject hierarchy does not follow by itself."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node)
        if item != hierarchy.GetInvalidItemID():
            _freeChildren(hierarchy, item, nodes)
            if node.IsA(_SEGMENTATION):  # else the application takes its segments out one by one, voxel by voxel
                node.SetAndObserveSegmentation(slicer.vtkSegmentation())
            hierarchy.RemoveItem(item, False, True)
        if node.GetScene() is scene:  # not gone with another one
            scene.RemoveNode(node)
            yield


def placeUnder(hierarchy: Any, parent: int, node: Node) -> None:
    """Give ``node`` an item of the subject hierarchy under the item ``parent``, or move the one that it has."""
    item = hierarchy.GetItemByDataNode(node)
    if item == hierarchy.GetInvalidItemID():
        hierarchy.CreateItem(parent, node)
    else:
        hierarchy.SetItemParent(item, parent)


def _freeChildren(hierarchy: Any, item: int, going: list[Any]) -> None:
    """Move up what a user put below an item that goes."""
    for child in _children(hierarchy, item):
        node = hierarchy.GetItemDataNode(child)
        if node is not None and node not in going:
            hierarchy.SetItemParent(child, hierarchy.GetItemParent(item))


def _children(hierarchy: Any, item: int, recursive: bool = False) -> list[int]:
    found = vtk.vtkIdList()
    hierarchy.GetItemChildren(item, found, recursive)
    return [found.GetId(index) for index in range(found.GetNumberOfIds())]


def _isHelper(node: Node) -> bool:
    return any(node.IsA(kind) for kind in _HELPERS)


def _referenced(scene: Scene, node: Node) -> set[Any]:
    """The nodes of the scene that ``node`` refers to; the subject hierarchy, which refers to all, to none."""
    if node.IsA("vtkMRMLSubjectHierarchyNode"):
        return set()
    return set(ownedList(scene.GetReferencedNodes(node, False))) - {node}


def _isEmptyFolder(hierarchy: Any, item: int) -> bool:
    there = item in _children(hierarchy, hierarchy.GetSceneItemID(), recursive=True)
    return there and not _children(hierarchy, item)


def isEmpty(node: Any) -> bool:
    """Return whether a node that a result could go to holds nothing: no voxels, segments or rows, or the identity."""
    if node.IsA("vtkMRMLVolumeNode"):
        return node.GetImageData() is None or node.GetImageData().GetNumberOfPoints() == 0
    if node.IsA("vtkMRMLSegmentationNode"):
        return bool(node.GetSegmentation().GetNumberOfSegments() == 0)
    if node.IsA("vtkMRMLTableNode"):
        return bool(node.GetNumberOfRows() == 0)
    matrix = vtk.vtkMatrix4x4()
    return bool(node.IsLinear()) and node.GetMatrixTransformToParent(matrix) and matrix.IsIdentity()


def checkTarget(target: Node | None, className: str, scene: Scene, what: str) -> None:
    """Make sure that an output node given by the caller can take the result.

    Raises:
        InputError: if it is of another kind or in another scene.
    """
    if target is None:
        return
    if not target.IsA(className):
        raise InputError(f"{what}: a {className} is needed for it, but {target.GetName()} is a {target.GetClassName()}")
    if target.GetScene() is not scene:
        raise InputError(f"{what}: {target.GetName()} is not in the scene that the result goes to")


@dataclass(frozen=True)
class RunRecord:
    """What a run did to its scene, for :func:`discard`."""

    transaction: SceneTransaction


def discard(scene: Scene, record: RunRecord, views: ViewRecord | None = None) -> list[str]:
    """Bring the scene back to what it was before the run, but for what was made or edited since.

    A second run into the same nodes is taken back to the first run's results. Once is enough: a second
    call changes nothing, nor does one after the scene was closed.

    Args:
        scene: the run's scene.
        record: ``RegistrationOutputs.record``.
        views: what :func:`.comparisonSteps` noted after the run, to restore the slice views too.

    Returns:
        Names of result nodes that stay because their voxels, transform or segments were edited since.
    """
    if views is not None:
        restoreViews(scene, views)
    return record.transaction.takeBack()


def discardSteps(scene: Scene, record: RunRecord, views: ViewRecord | None = None) -> Generator[None, None, list[str]]:
    """:func:`discard` with pauses in which a window stays alive: to be taken to the end."""
    if views is not None:
        yield from restoreSteps(scene, views)
    return (yield from record.transaction.takeBackSteps())
