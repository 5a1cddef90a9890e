"""qMRMLNodeComboBox: chooses a node of the scene, and creates, renames or deletes one."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from .scene_nodes import NodeFilter, SceneObserver, nodesOf

_CREATE, _RENAME, _DELETE, _EDIT = "create", "rename", "delete", "edit"


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
        self._observer = SceneObserver(self._refresh, self._onNodeModified)
        self._noneEnabled, self._addEnabled, self._removeEnabled = False, True, True
        self._renameEnabled, self._editEnabled, self._selectUponCreation = False, False, True
        self._baseName, self._noneDisplay, self._singletonTag = "", "None", ""
        self._labels: dict[str, str] = {}
        self._nodes: list[Any] = []
        self._current: str | None = None
        self._currentName = ""
        self._combo = QtWidgets.QComboBox(self)
        self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self._combo.setMinimumContentsLength(12)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self.setFocusProxy(self._combo)
        self._combo.activated.connect(self._onActivated)
        self.destroyed.connect(lambda *_, observer=self._observer: observer.observe(None))
        self._fill()

    # -- the scene ---------------------------------------------------------------------------------

    def mrmlScene(self) -> Any:
        return self._observer.scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._observer.scene:
            self._observer.observe(scene)
            self._refresh()

    def _refresh(self) -> None:
        before = {node.GetID() for node in self._nodes}
        self._nodes = nodesOf(self._observer.scene, self._filter)
        watched = nodesOf(self._observer.scene, NodeFilter(self._filter.types, showHidden=True))
        self._observer.watchNodes(watched)
        present = [node.GetID() for node in self._nodes]
        for node in self._nodes:
            if node.GetID() not in before:
                self.nodeAdded.emit(node)
        current = self._current if self._current in present else None
        if current is None and present and not self._noneEnabled:
            current = present[0]
        self._select(current)

    def _onNodeModified(self, node: Any) -> None:
        offered = any(known.GetID() == node.GetID() for known in self._nodes)
        if offered != self._filter.accepts(node):
            self._refresh()
        elif offered:
            self._fill()
            if node.GetID() == self._current and node.GetName() != self._currentName:
                self._currentName = node.GetName()
                self.currentNodeRenamed.emit(self._currentName)

    def _fill(self) -> None:
        blocked = self._combo.blockSignals(True)
        self._combo.clear()
        if self._noneEnabled or not self._nodes:
            self._combo.addItem(self._noneDisplay, None)
        for node in self._nodes:
            self._combo.addItem(node.GetName() or "", node.GetID())
        self._addActions()
        self._combo.setCurrentIndex(max(0, self._combo.findData(self._current)) if self._current else 0)
        if self._current is None and self._nodes and not self._noneEnabled:
            self._combo.setCurrentIndex(-1)
        self._combo.blockSignals(blocked)

    def _addActions(self) -> None:
        kind = self._filter.types[0] if self._filter.types else ""
        label = self._labels.get(kind) or self._tagOf(kind)
        actions = [(self._addEnabled and kind, f"Create new {label}", _CREATE)]
        chosen = self._current is not None
        actions += [
            (self._renameEnabled and chosen, f"Rename current {label}", _RENAME),
            (self._editEnabled and chosen, f"Edit current {label}", _EDIT),
            (self._removeEnabled and chosen, f"Delete current {label}", _DELETE),
        ]
        shown = [(text, key) for offered, text, key in actions if offered]
        if shown:
            self._combo.insertSeparator(self._combo.count)
        for text, key in shown:
            self._combo.addItem(text, ("action", key))

    def _tagOf(self, kind: str) -> str:
        scene = self._observer.scene
        tag = scene.GetTagByClassName(kind) if scene is not None and kind else None
        return tag or kind.replace("vtkMRML", "").replace("Node", "")

    def _onActivated(self, index: int) -> None:
        data = self._combo.itemData(index)
        if isinstance(data, (tuple, list)):
            self._fill()
            {_CREATE: self.addNode, _RENAME: self.renameCurrentNode}.get(
                data[1], self.removeCurrentNode if data[1] == _DELETE else self.editCurrentNode
            )()
            return
        self._select(data)
        self.nodeActivated.emit(self.currentNode())

    def _select(self, identifier: str | None) -> None:
        changed = identifier != self._current
        self._current = identifier
        node = self.currentNode()
        self._currentName = node.GetName() if node is not None else ""
        self._fill()
        if changed:
            self.currentNodeChanged.emit(node)
            self._currentNodeChangedBool.emit(node is not None)
            self.currentNodeIDChanged.emit(identifier or "")

    # -- what scripts call -------------------------------------------------------------------------

    def currentNode(self) -> Any:
        return next((node for node in self._nodes if node.GetID() == self._current), None)

    def setCurrentNode(self, node: Any) -> None:
        identifier = node.GetID() if hasattr(node, "GetID") else node
        self.setCurrentNodeID(identifier)

    def setCurrentNodeID(self, identifier: str | None) -> None:
        self._select(identifier if any(node.GetID() == identifier for node in self._nodes) else None)

    def setCurrentNodeIndex(self, index: int) -> None:
        self._select(self._nodes[index].GetID() if 0 <= index < len(self._nodes) else None)

    def nodeCount(self) -> int:
        return len(self._nodes)

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    def addNode(self, kind: str | None = None) -> Any:
        scene = self._observer.scene
        kind = kind or self._filter.types[0]
        node = scene.CreateNodeByClass(kind)
        node.UnRegister(None)
        for (owner, name), value in self._filter.attributes.items():
            if node.IsA(owner):
                node.SetAttribute(name, value or "")
        node.SetName(scene.GetUniqueNameByString(self._baseName or self._tagOf(kind)))
        node = scene.AddNode(node)
        if self._selectUponCreation:
            self._select(node.GetID())
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        node = self.currentNode()
        if node is not None:
            self.nodeAboutToBeRemoved.emit(node)
            self._observer.scene.RemoveNode(node)

    def renameCurrentNode(self) -> None:
        node = self.currentNode()
        if node is None:
            return
        name, accepted = QtWidgets.QInputDialog.getText(self, "Rename", "New name:", text=node.GetName())
        if accepted and name:
            node.SetName(name)

    def editCurrentNode(self) -> None:
        if self.currentNode() is not None:
            self.nodeAboutToBeEdited.emit(self.currentNode())

    def addAttribute(self, kind: str, name: str, value: Any = None) -> None:
        self._filter.attributes[(kind, name)] = None if value is None else str(value)
        self._refresh()

    def removeAttribute(self, kind: str, name: str) -> None:
        self._filter.attributes.pop((kind, name), None)
        self._refresh()

    def setNodeTypeLabel(self, label: str, kind: str) -> None:
        self._labels[kind] = label
        self._fill()

    def nodeTypeLabel(self, kind: str) -> str:
        return self._labels.get(kind) or self._tagOf(kind)

    def _setTypes(self, types: list[str]) -> None:
        self._filter.types = list(types)
        self._refresh()

    def _setFilter(self, name: str, value: Any) -> None:
        setattr(self._filter, name, value)
        self._refresh()

    def _setOwn(self, name: str, value: Any) -> None:
        setattr(self, name, value)
        self._fill()

    def _setNone(self, enabled: bool) -> None:
        self._noneEnabled = enabled
        self._refresh()

    nodeTypes = QtCore.Property("QStringList", lambda self: tuple(self._filter.types), _setTypes)
    showHidden = QtCore.Property(
        bool, lambda self: self._filter.showHidden, lambda self, v: self._setFilter("showHidden", v)
    )
    showChildNodeTypes = QtCore.Property(
        bool, lambda self: self._filter.showChildTypes, lambda self, v: self._setFilter("showChildTypes", v)
    )
    hideChildNodeTypes = QtCore.Property(
        "QStringList",
        lambda self: tuple(self._filter.hiddenChildTypes),
        lambda self, v: self._setFilter("hiddenChildTypes", list(v)),
    )
    noneEnabled = QtCore.Property(bool, lambda self: self._noneEnabled, _setNone)
    addEnabled = QtCore.Property(bool, lambda self: self._addEnabled, lambda self, v: self._setOwn("_addEnabled", v))
    removeEnabled = QtCore.Property(
        bool, lambda self: self._removeEnabled, lambda self, v: self._setOwn("_removeEnabled", v)
    )
    renameEnabled = QtCore.Property(
        bool, lambda self: self._renameEnabled, lambda self, v: self._setOwn("_renameEnabled", v)
    )
    editEnabled = QtCore.Property(bool, lambda self: self._editEnabled, lambda self, v: self._setOwn("_editEnabled", v))
    selectNodeUponCreation = QtCore.Property(
        bool, lambda self: self._selectUponCreation, lambda self, v: self._setOwn("_selectUponCreation", v)
    )
    baseName = QtCore.Property(str, lambda self: self._baseName, lambda self, v: self._setOwn("_baseName", v))
    AdjustToMinimumContentsLengthWithIcon = QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon.value
    sizeAdjustPolicy = QtCore.Property(
        int,
        lambda self: self._combo.sizeAdjustPolicy().value,
        lambda self, v: self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.SizeAdjustPolicy(v)),
    )
    noneDisplay = QtCore.Property(str, lambda self: self._noneDisplay, lambda self, v: self._setOwn("_noneDisplay", v))
    currentNodeID = QtCore.Property(str, lambda self: self._current or "", setCurrentNodeID)
