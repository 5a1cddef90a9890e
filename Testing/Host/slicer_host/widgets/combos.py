"""ctkComboBox, ctkCheckableComboBox, ctkPathLineEdit."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets

from .properties import kept


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text to show while nothing is chosen."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._forceDefault = False

    def _setCurrentData(self, text: str) -> None:
        self.setCurrentIndex(self.findData(text))

    defaultText = kept(str, "placeholderText")
    forceDefault = kept(bool, "_forceDefault")
    currentUserDataAsString = QtCore.Property(str, lambda self: str(self.currentData or ""), _setCurrentData)


class ctkCheckableComboBox(QtWidgets.QComboBox):
    """A combo box whose items are ticked."""

    checkedIndexesChanged = QtCore.Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.model().itemChanged.connect(lambda *_: self.checkedIndexesChanged.emit())
        self.model().rowsInserted.connect(self._makeCheckable)

    def _makeCheckable(self, _parent: Any, first: int, last: int) -> None:
        for row in range(first, last + 1):
            item = self.model().item(row)
            item.setFlags(QtCore.Qt.ItemIsUserCheckable | QtCore.Qt.ItemIsEnabled)
            item.setData(QtCore.Qt.Unchecked, QtCore.Qt.CheckStateRole)

    def checkState(self, index: QtCore.QModelIndex) -> int:
        return int(self.model().itemFromIndex(index).checkState().value)

    def setCheckState(self, index: QtCore.QModelIndex, state: int) -> None:
        self.model().itemFromIndex(index).setCheckState(QtCore.Qt.CheckState(state))

    def checkedIndexes(self) -> list[QtCore.QModelIndex]:
        rows = (self.model().index(row, 0) for row in range(self.count))
        return [index for index in rows if self.checkState(index) == QtCore.Qt.Checked]

    def allChecked(self) -> bool:
        return len(self.checkedIndexes()) == self.count

    def noneChecked(self) -> bool:
        return not self.checkedIndexes()


class ctkPathLineEdit(QtWidgets.QWidget):
    """A path typed or browsed for."""

    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)
    Dirs, Files, Drives, Readable, Writable, Executable = 0x1, 0x2, 0x4, 0x10, 0x20, 0x40

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._label, self._key, self._nameFilters, self._filters = "", "", [], 0
        self._path = ""
        self._edit = QtWidgets.QComboBox(self)
        self._edit.setEditable(True)
        self._browseButton = QtWidgets.QToolButton(self)
        self._browseButton.setText("...")
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit, 1)
        layout.addWidget(self._browseButton)
        self.setFocusProxy(self._edit)
        self._browseButton.clicked.connect(self.browse)
        self._edit.editTextChanged.connect(self._onText)

    def _onText(self, text: str) -> None:
        if text != self._path:
            self._path = text
            self.validInputChanged.emit(bool(text))
            self.currentPathChanged.emit(text)

    def setCurrentPath(self, path: str) -> None:
        self._edit.setEditText(path)

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._edit

    def addCurrentPathToHistory(self) -> None:
        if self._path and self._edit.findText(self._path) < 0:
            self._edit.insertItem(0, self._path)

    def browse(self) -> None:
        if self._filters & self.Dirs:
            path = QtWidgets.QFileDialog.getExistingDirectory(self, "Select a folder", self._path)
        else:
            path = QtWidgets.QFileDialog.getOpenFileName(self, "Open", self._path, ";;".join(self._nameFilters))
        if path:
            self.setCurrentPath(path)

    currentPath = QtCore.Property(str, lambda self: self._path, setCurrentPath)
    label = kept(str, "_label")
    settingKey = kept(str, "_key")
    nameFilters = kept("QStringList", "_nameFilters")
    filters = kept(int, "_filters")
    showBrowseButton = QtCore.Property(
        bool, lambda self: not self._browseButton.isHidden(), lambda self, v: self._browseButton.setVisible(v)
    )
