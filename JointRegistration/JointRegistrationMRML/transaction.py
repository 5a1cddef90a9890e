"""Changes to a scene that happen as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from JointRegistrationLib.errors import InputError

from .nodes import newNode


class SceneTransaction:
    """Collects what is added to and changed in a scene, and takes all of it back if its block fails.

    Inside the block the scene is in a batch, so that views follow once, at the end::

        with SceneTransaction(scene) as transaction:
            volume = transaction.put(newVolume, None)
            transaction.setParentTransform(moving, transform)
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._undo: list[Callable[[], None]] = []
        self._idsBefore: set[str] = set()

    def __enter__(self) -> SceneTransaction:
        self._idsBefore = self._nodeIds()
        self._scene.StartState(self._scene.BatchProcessState)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is not None:
                self._rollBack()
        finally:
            self._scene.EndState(self._scene.BatchProcessState)

    def put(self, built: Any, target: Any) -> Any:
        """Bring a node made outside the scene into it; returns the node that now holds its content.

        Args:
            built: node in no scene.
            target: a node of the scene to be given ``built``'s content instead; it keeps its name,
                loses its parent transform (results lie in the world), and is restored on failure.
                None to add ``built`` itself.
        """
        if target is None:
            built.SetName(self._scene.GenerateUniqueName(built.GetName()))
            return self._scene.AddNode(built)
        backup = newNode(target.GetClassName(), "backup")
        backup.CopyContent(target, False)  # shares the old voxels or transform: they are replaced, not changed
        self._undo.append(lambda: target.CopyContent(backup, False))
        self.setParentTransform(target, None)
        target.CopyContent(built, False)
        return target

    def setReference(self, node: Any, role: str, referenced: Any) -> None:
        """Let ``node`` refer to ``referenced`` under ``role``."""
        before = node.GetNodeReferenceID(role)
        self._undo.append(lambda: node.SetNodeReferenceID(role, before))
        node.SetNodeReferenceID(role, referenced.GetID())

    def setParentTransform(self, node: Any, transform: Any) -> None:
        """Put ``node`` under ``transform`` (None: under nothing)."""
        before = node.GetTransformNodeID()
        self._undo.append(lambda: node.SetAndObserveTransformNodeID(before))
        node.SetAndObserveTransformNodeID(None if transform is None else transform.GetID())

    def changing(self, node: Any) -> Any:
        """``node``, after noting all of it (name and references too) for restoring; for display nodes."""
        backup = newNode(node.GetClassName(), "")
        backup.Copy(node)
        self._undo.append(lambda: node.Copy(backup))
        return node

    def onFailure(self, undo: Callable[[], None]) -> None:
        """Call ``undo`` if the block fails; the last one noted is called first."""
        self._undo.append(undo)

    def isNew(self, node: Any) -> bool:
        """Whether the node came into the scene within this block."""
        return node.GetID() not in self._idsBefore

    def _rollBack(self) -> None:
        for undo in reversed(self._undo):
            undo()
        for nodeId in self._nodeIds() - self._idsBefore:
            node = self._scene.GetNodeByID(nodeId)
            if node is not None and not node.IsA("vtkMRMLSubjectHierarchyNode"):
                self._scene.RemoveNode(node)

    def _nodeIds(self) -> set[str]:
        nodes = self._scene.GetNodes()
        return {nodes.GetItemAsObject(index).GetID() for index in range(nodes.GetNumberOfItems())}


def checkTarget(target: Any, className: str, scene: Any, what: str) -> None:
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
