"""qMRMLNodeComboBox: chooses a node of the scene, and creates, renames or deletes one.

Its rows are those of the application's (none, the nodes in the scene's order, the actions), in a real QComboBox: what
is chosen when a row goes is Qt's own doing, there as here.
"""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .elided_combo import ElidedComboBox
from .node_actions import nodeActions
from .properties import kept
from .scene_nodes import NodeFilter, SceneObserver, nodesOf

_NODE, _KIND = QtCore.Qt.UserRole, QtCore.Qt.UserRole + 1
_NONE_ROW, _NODE_ROW, _ACTION_ROW = "none", "node", "action"


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """One node, or none where that is allowed; follows the scene."""

    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)
    nodeAboutToBeEdited = QtCore.Signal(object)
    currentNodeRenamed = QtCore.Signal(str)
    _currentNodeChangedBool = QtCore.Signal(bool)
    _pythonQtSignals = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "_currentNodeChangedBool",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "nodeAboutToBeRemoved",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "nodeAboutToBeEdited",
    }

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._filter = NodeFilter()
        self._observer = SceneObserver(self._onAdded, self._onLeaving, self._onNodeModified, self._onSceneRefilled)
        self._noneEnabled, self._addEnabled, self._removeEnabled = False, True, True
        self._renameEnabled, self._editEnabled, self._selectUponCreation = False, False, True
        self._baseName, self._noneDisplay = "", "None"
        self._labels: dict[str, str] = {}
        self._requested: str | None = None
        self._told: dict[str, tuple[Any, ...]] = {}
        self._combo = ElidedComboBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._combo.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Expanding)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Fixed)
        self.setFocusProxy(self._combo)
        self._combo.currentIndexChanged.connect(self._emitCurrentNodeChanged)
        self._combo.activated.connect(self._emitNodeActivated)
        self._combo.view().clicked.connect(self._activateAction)
        self.destroyed.connect(lambda *_, observer=self._observer: observer.observe(None))
        self.setEnabled(False)

    # -- rows --------------------------------------------------------------------------------------

    def _rows(self, kind: str) -> list[int]:
        return [row for row in range(self._combo.count) if self._combo.itemData(row, _KIND) == kind]

    def _rowOf(self, identifier: str | None) -> int:
        return self._combo.findData(identifier) if identifier else -1

    def _insert(self, row: int, text: str, kind: str, data: str | None = None, flags: Any = None) -> None:
        item = QtGui.QStandardItem(text)
        item.setData(kind, _KIND)
        item.setData(data, _NODE)
        item.setFlags(QtCore.Qt.ItemIsEnabled | QtCore.Qt.ItemIsSelectable if flags is None else flags)
        self._combo.model().insertRow(row, item)

    def _insertNode(self, node: Any) -> None:
        """Where it stands among the scene's nodes that are offered."""
        shown = {self._combo.itemData(row) for row in self._rows(_NODE_ROW)}
        before = 0
        for other in nodesOf(self._observer.scene, self._filter):
            if other is node:
                break
            before += other.GetID() in shown
        self._insert(int(self._noneEnabled) + before, node.GetName() or "", _NODE_ROW, node.GetID())
        self.nodeAdded.emit(node)

    def _remove(self, row: int) -> None:
        """Take a node's row out: if it was the current one, Qt makes the row below it current."""
        self.nodeAboutToBeRemoved.emit(self._nodeAt(row))
        self._combo.model().removeRow(row)
        self._refreshIfCurrentNodeHidden()

    def _nodeAt(self, row: int) -> Any:
        identifier = self._combo.itemData(row) if self._combo.itemData(row, _KIND) == _NODE_ROW else None
        return self._observer.scene.GetNodeByID(identifier) if identifier and self._observer.scene else None

    def _refilter(self) -> None:
        """After the filter has changed."""
        self._watch()
        offered = nodesOf(self._observer.scene, self._filter)
        wanted = {node.GetID() for node in offered}
        for row in reversed(self._rows(_NODE_ROW)):
            if self._combo.itemData(row) not in wanted:
                self._remove(row)
        for node in offered:
            if self._rowOf(node.GetID()) < 0:
                self._insertNode(node)

    def _updateNone(self) -> None:
        for row in self._rows(_NONE_ROW):
            self._combo.model().removeRow(row)
            self._refreshIfCurrentNodeHidden()
        if self._noneEnabled and self._observer.scene is not None:
            self._insert(0, self._noneDisplay, _NONE_ROW)

    def _updateActions(self) -> None:
        current = self._combo.currentIndex
        for row in reversed(self._rows(_ACTION_ROW)):
            self._combo.model().removeRow(row)
        if self._observer.scene is None:
            return
        for text, data in nodeActions(self):
            flags = QtCore.Qt.ItemIsEnabled if text else QtCore.Qt.NoItemFlags
            self._insert(self._combo.count, text, _ACTION_ROW, data, flags)
            if not text:
                self._combo.setItemData(self._combo.count - 1, "separator", QtCore.Qt.AccessibleDescriptionRole)
        self._combo.setCurrentIndex(current)

    # -- the scene ---------------------------------------------------------------------------------

    def mrmlScene(self) -> Any:
        return self._observer.scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._observer.scene:
            return
        wanted = self.currentNodeID or self._requested
        blocked = self._combo.blockSignals(True)
        self._combo.clear()
        self._observer.observe(scene)
        self._updateNone()
        self._watch()
        for node in nodesOf(scene, self._filter):
            self._insertNode(node)
        self._updateActions()
        first = self._nodeAt(0)
        self._combo.setCurrentIndex(-1)
        self._combo.view().setCurrentIndex(QtCore.QModelIndex())
        self._combo.blockSignals(blocked)
        self._requested = None
        self.setCurrentNodeID(wanted or (first.GetID() if first is not None else None))
        self.setEnabled(scene is not None)

    def _watch(self) -> None:
        watched = nodesOf(self._observer.scene, NodeFilter(self._filter.types, showHidden=True))
        self._told = {node.GetID(): self._toldBy(node) for node in watched}
        self._observer.watchNodes(watched)

    def _onAdded(self, node: Any) -> None:
        self._watch()
        if self._filter.accepts(node):
            self._insertNode(node)

    def _onLeaving(self, node: Any) -> None:
        row = self._rowOf(node.GetID())
        if row >= 0:
            self._remove(row)

    def _onNodeModified(self, node: Any) -> None:
        """A new name or attribute makes the application ask its filter again: hiding a node leaves it in the list."""
        told = self._toldBy(node)
        if self._told.get(node.GetID()) == told:
            return
        self._told[node.GetID()] = told
        row, accepted = self._rowOf(node.GetID()), self._filter.accepts(node)
        if row < 0 and accepted:
            self._insertNode(node)
        elif row >= 0 and not accepted:
            self._remove(row)
        elif row >= 0:
            self._combo.setItemText(row, node.GetName() or "")

    def _toldBy(self, node: Any) -> tuple[Any, ...]:
        return (node.GetName(), *(node.GetAttribute(name) for _, name in self._filter.attributes))

    def _onSceneRefilled(self) -> None:
        """Once a scene was closed or imported all rows are made anew, and nothing is chosen any more."""
        rows = self._rows(_NODE_ROW)
        if rows:
            self._combo.model().removeRows(rows[0], len(rows))
            self._refreshIfCurrentNodeHidden()
        self._refilter()

    def _refreshIfCurrentNodeHidden(self) -> None:
        if self.currentNode() is None:
            self.setCurrentNode(None)

    # -- what is chosen ----------------------------------------------------------------------------

    def _emitCurrentNodeChanged(self, *_: Any) -> None:
        row = self._combo.currentIndex
        node = self._nodeAt(row)
        if node is None and row != (0 if self._noneEnabled else -1):  # an action's row
            last = self.nodeFromIndex(self.nodeCount() - 1)
            if last is not None:
                self.setCurrentNode(last)
            return
        self.currentNodeChanged.emit(node)
        self._currentNodeChangedBool.emit(node is not None)
        self.currentNodeIDChanged.emit("" if node is None else node.GetID())

    def _emitNodeActivated(self, row: int) -> None:
        node = self._nodeAt(row)
        if node is not None or (self._noneEnabled and row == 0):
            self.nodeActivated.emit(node)

    def _activateAction(self, index: QtCore.QModelIndex) -> None:
        if index.data(_KIND) != _ACTION_ROW or not index.data(_NODE):
            return
        action, _, kind = index.data(_NODE).partition(" ")
        if action.startswith("create"):
            self.addNode(kind)
        if action in ("createAs", "rename"):
            self.renameCurrentNode()
        elif action == "edit":
            self.editCurrentNode()
        elif action == "delete":
            self.removeCurrentNode()

    # -- what scripts call -------------------------------------------------------------------------

    def currentNode(self) -> Any:
        return self._nodeAt(self._combo.currentIndex)

    def setCurrentNode(self, node: Any) -> None:
        self.setCurrentNodeID(node.GetID() if hasattr(node, "GetID") else node)

    def setCurrentNodeID(self, identifier: str | None) -> None:
        if self._observer.scene is None:
            self._requested = identifier
        row, view = self._rowOf(identifier), self._combo.view()
        if row < 0:
            none = 0 if self._noneEnabled and self._observer.scene is not None else -1
            view.setCurrentIndex(self._combo.model().index(none, 0))
            self._combo.setCurrentIndex(none)
            return
        index = self._combo.model().index(row, 0)
        if view.currentIndex() != index:  # chosen by a key in the view: nodeActivated tells of it like of a person
            view.setCurrentIndex(index)
            enter = QtGui.QKeyEvent(QtCore.QEvent.ShortcutOverride, QtCore.Qt.Key_Enter, QtCore.Qt.NoModifier)
            QtWidgets.QApplication.sendEvent(view, enter)

    def setCurrentNodeIndex(self, index: int) -> None:
        chosen = index if index < self.nodeCount() else -1
        self._combo.setCurrentIndex(chosen + int(self._noneEnabled))

    def nodeCount(self) -> int:
        return len(self._rows(_NODE_ROW))

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodeAt(index + int(self._noneEnabled))

    def addNode(self, kind: str | None = None) -> Any:
        scene = self._observer.scene
        kind = kind or self._filter.types[0]
        if kind not in self._filter.types:
            return None
        node = scene.CreateNodeByClass(kind)
        node.UnRegister(None)
        for (_, name), value in self._filter.attributes.items():
            node.SetAttribute(name, value or "")
        node.SetName(scene.GetUniqueNameByString(self._baseName or scene.GetTagByClassName(kind)))
        node = scene.AddNode(node)
        if self._selectUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._observer.scene.RemoveNode(self.currentNode())

    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        if node is None:
            return
        title = f"Rename {self.nodeTypeLabel(node.GetClassName())}"
        name, accepted = QtWidgets.QInputDialog.getText(self, title, "New name:", text=node.GetName())
        if accepted:
            node.SetName(name)
            self.currentNodeRenamed.emit(name)

    def editCurrentNode(self) -> None:
        self.nodeAboutToBeEdited.emit(self.currentNode())

    def addAttribute(self, kind: str, name: str, value: Any = None) -> None:
        self._filter.attributes[(kind, name)] = None if value is None else str(value)
        self._refilter()

    def removeAttribute(self, kind: str, name: str) -> None:
        self._filter.attributes.pop((kind, name), None)
        self._refilter()

    def setNodeTypeLabel(self, label: str, kind: str) -> None:
        self._labels[kind] = label
        self._updateActions()

    def nodeTypeLabel(self, kind: str) -> str:
        named = self._observer.scene.GetTypeDisplayNameByClassName(kind) if self._observer.scene and kind else ""
        return self._labels.get(kind) or named or "node"

    def _setTypes(self, types: list[str]) -> None:
        self._filter.types = [kind for kind in types if kind]
        self._refilter()
        self._updateActions()

    def _setNone(self, enabled: bool) -> None:
        if enabled != self._noneEnabled:
            self._noneEnabled = enabled
            self._updateNone()

    nodeTypes = QtCore.Property("QStringList", lambda self: tuple(self._filter.types), _setTypes)
    showHidden = kept(bool, "_filter.showHidden", "_refilter")
    showChildNodeTypes = kept(bool, "_filter.showChildTypes", "_refilter")
    hideChildNodeTypes = kept("QStringList", "_filter.hiddenChildTypes", "_refilter")
    noneEnabled = QtCore.Property(bool, lambda self: self._noneEnabled, _setNone)
    addEnabled = kept(bool, "_addEnabled", "_updateActions")
    removeEnabled = kept(bool, "_removeEnabled", "_updateActions")
    renameEnabled = kept(bool, "_renameEnabled", "_updateActions")
    editEnabled = kept(bool, "_editEnabled", "_updateActions")
    selectNodeUponCreation = kept(bool, "_selectUponCreation")
    baseName = kept(str, "_baseName")
    sizeAdjustPolicy = QtCore.Property(
        int,
        lambda self: self._combo.sizeAdjustPolicy.value,
        lambda self, v: self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy(v)),
    )
    noneDisplay = kept(str, "_noneDisplay", "_updateNone")
    currentNodeID = QtCore.Property(
        str, lambda self: node.GetID() if (node := self.currentNode()) is not None else "", setCurrentNodeID
    )
