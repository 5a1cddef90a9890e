"""qMRMLCheckableNodeComboBox: several nodes of the scene, ticked."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore

from .node_combo_box import qMRMLNodeComboBox


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """Its entries are ticked instead of chosen."""

    checkedNodesChanged = QtCore.Signal()

    def __init__(self, parent: Any = None) -> None:
        self._checked: set[str] = set()
        super().__init__(parent)
        self.addEnabled = self.removeEnabled = False

    def _insertNode(self, node: Any) -> None:
        super()._insertNode(node)
        self._showTick(node.GetID())

    def _remove(self, row: int) -> None:
        leaving = self._combo.itemData(row)
        super()._remove(row)
        self._checked.discard(leaving)  # the application says nothing of it

    def _onSceneRefilled(self) -> None:
        super()._onSceneRefilled()
        self._checked = {identifier for identifier in self._checked if self._rowOf(identifier) >= 0}

    def _emitNodeActivated(self, row: int) -> None:
        super()._emitNodeActivated(row)
        node = self._nodeAt(row)
        if node is not None:
            self._setChecked(self._checked ^ {node.GetID()})

    def _setChecked(self, checked: set[str]) -> None:
        changed = checked ^ self._checked
        self._checked = checked
        for identifier in changed:
            self._showTick(identifier)
        if changed:
            self.checkedNodesChanged.emit()

    def _showTick(self, identifier: str) -> None:
        row = self._rowOf(identifier)
        ticked = QtCore.Qt.Checked if identifier in self._checked else QtCore.Qt.Unchecked
        if row >= 0:
            self._combo.setItemData(row, ticked, QtCore.Qt.CheckStateRole)

    def _offered(self) -> list[Any]:
        return [self.nodeFromIndex(index) for index in range(self.nodeCount())]

    def checkedNodes(self) -> list[Any]:
        return [node for node in self._offered() if node.GetID() in self._checked]

    def uncheckedNodes(self) -> list[Any]:
        return [node for node in self._offered() if node.GetID() not in self._checked]

    def checkState(self, node: Any) -> int:
        return int(QtCore.Qt.Checked if node.GetID() in self._checked else QtCore.Qt.Unchecked)

    def setCheckState(self, node: Any, state: int) -> None:
        (self.check if state == QtCore.Qt.Checked else self.uncheck)(node)

    def check(self, node: Any) -> None:
        self._setChecked(self._checked | {node.GetID()})

    def uncheck(self, node: Any) -> None:
        self._setChecked(self._checked - {node.GetID()})

    def allChecked(self) -> bool:
        return not self.uncheckedNodes()

    def noneChecked(self) -> bool:
        return not self._checked
