"""What differs between two snapshots of a scene, and whether a step may do that."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from .snapshot import NodeState

_MISSING = "nothing"

#: What the window itself keeps: where slices and cameras are, which module and layout is shown, the mouse's mode.
WINDOW = (
    "vtkMRMLSliceNode", "vtkMRMLCameraNode", "vtkMRMLViewNode", "vtkMRMLLayoutNode", "vtkMRMLInteractionNode",
    "vtkMRMLSelectionNode", "vtkMRMLCrosshairNode", "vtkMRMLSliceDisplayNode", "vtkMRMLTableViewNode",
    "vtkMRMLPlotViewNode", "vtkMRMLClipModelsNode", "vtkMRMLScriptedModuleNode", "vtkMRMLFolderDisplayNode",
)  # fmt: skip

#: In the name of a run's record, which is a scripted module's node too, but not the window's.
RECORD = "(record)"

#: Fields that the application fills when somebody first asks, whoever that is.
LAZY = ("vtkMRML*Color*:*:Names array initialised",)


@dataclasses.dataclass(frozen=True)
class Change:
    """One difference: a node that came, one that went, or a field with another value."""

    kind: str
    node: str
    nodeClass: str
    field: str = ""
    before: Any = _MISSING
    after: Any = _MISSING

    @property
    def key(self) -> str:
        """What the patterns of a step are compared with: ``class:name`` or ``class:name:field``."""
        return ":".join(filter(None, (self.nodeClass, self.node, self.field)))

    def __str__(self) -> str:
        if self.kind != "changed":
            return f"{self.kind}: {self.node} ({self.nodeClass})"
        return f"changed: {self.node} ({self.nodeClass}), {self.field}: {_short(self.before)} -> {_short(self.after)}"


@dataclasses.dataclass(frozen=True)
class May:
    """What a step may do, as patterns of ``fnmatch`` for :attr:`Change.key`."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    change: tuple[str, ...] = ()

    def allows(self, change: Change) -> bool:
        """Whether a pattern covers it, or it is the window's own."""
        windows = change.nodeClass in WINDOW and RECORD not in change.node
        if windows or change.node.endswith(" Volume Slice"):  # a slice in 3D is a model
            return True
        patterns = {"added": self.add, "removed": self.remove, "changed": (*self.change, *LAZY)}[change.kind]
        return any(fnmatchcase(change.key, pattern) for pattern in patterns)


def differences(before: dict[str, NodeState], after: dict[str, NodeState]) -> Iterator[Change]:
    """Every difference, node by node."""
    for nodeId in sorted(before.keys() | after.keys()):
        old, new = before.get(nodeId), after.get(nodeId)
        state = new or old or {}
        node, nodeClass = state["name"] or nodeId, state["class"]
        if old is None:
            yield Change("added", node, nodeClass)
        elif new is None:
            yield Change("removed", node, nodeClass)
        else:
            for field in sorted(old.keys() | new.keys()):
                values = old.get(field, _MISSING), new.get(field, _MISSING)
                if values[0] != values[1]:
                    yield Change("changed", old["name"] or nodeId, nodeClass, field, *values)


def unexpected(before: dict[str, NodeState], after: dict[str, NodeState], may: May) -> list[str]:
    """What a step did that it may not do, in words."""
    return [str(change) for change in differences(before, after) if not may.allows(change)]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
