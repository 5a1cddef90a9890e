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
        self._setNone(True)

    def _fill(self) -> None:
        super()._fill()
        blocked = self._combo.blockSignals(True)
        for node in self._nodes:
            row = self._combo.findData(node.GetID())
            ticked = QtCore.Qt.Checked if node.GetID() in self._checked else QtCore.Qt.Unchecked
            self._combo.setItemData(row, ticked, QtCore.Qt.CheckStateRole)
        self._combo.blockSignals(blocked)

    def _refresh(self) -> None:
        super()._refresh()
        self._setChecked(self._checked & {node.GetID() for node in self._nodes})

    def _onActivated(self, index: int) -> None:
        data = self._combo.itemData(index)
        if isinstance(data, str):
            self._setChecked(self._checked ^ {data})
        else:
            super()._onActivated(index)

    def _setChecked(self, checked: set[str]) -> None:
        if checked != self._checked:
            self._checked = checked
            self._fill()
            self.checkedNodesChanged.emit()

    def checkedNodes(self) -> list[Any]:
        return [node for node in self._nodes if node.GetID() in self._checked]

    def uncheckedNodes(self) -> list[Any]:
        return [node for node in self._nodes if node.GetID() not in self._checked]

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
