"""ctkCollapsibleButton, ctkMenuButton."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from .properties import kept


class ctkCollapsibleButton(QtWidgets.QWidget):
    """A titled header above contents; a click on the header folds them away."""

    contentsCollapsed = QtCore.Signal(bool)
    clicked = QtCore.Signal(bool)
    toggled = QtCore.Signal(bool)
    pressed = QtCore.Signal()
    released = QtCore.Signal()
    _pythonQtSignals = {"clicked()": "clicked"}

    def __init__(self, textOrParent: Any = None, parent: Any = None) -> None:
        text = textOrParent if isinstance(textOrParent, str) else ""
        super().__init__(parent if isinstance(textOrParent, str) else textOrParent)
        self._collapsed, self._flat = False, False
        self._shownBefore: dict[QtWidgets.QWidget, bool] = {}
        self._header = QtWidgets.QToolButton(self)
        self._header.setObjectName("_collapsibleHeader")
        self._header.setToolButtonStyle(QtCore.Qt.ToolButtonTextBesideIcon)
        self._header.setSizePolicy(QtWidgets.QSizePolicy.Expanding, QtWidgets.QSizePolicy.Fixed)
        self._header.setCheckable(True)
        self._header.setFocusPolicy(QtCore.Qt.StrongFocus)
        self._header.clicked.connect(self._onHeaderClicked)
        self._header.setText(text)
        self.setSizePolicy(QtWidgets.QSizePolicy.Minimum, QtWidgets.QSizePolicy.Preferred)
        self._refresh()

    def _headerHeight(self) -> int:
        return self._header.sizeHint.height()

    def _refresh(self) -> None:
        self._header.setArrowType(QtCore.Qt.RightArrow if self._collapsed else QtCore.Qt.DownArrow)
        self._header.setChecked(not self._collapsed)
        self.setContentsMargins(0, self._headerHeight() + 2, 0, 0)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        self._header.setGeometry(0, 0, self.width, self._headerHeight())
        super().resizeEvent(event)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        if not self._collapsed and not self._flat:
            painter = QtGui.QPainter(self)
            painter.setPen(self.palette.color(QtGui.QPalette.Mid))
            painter.drawRect(0, self._headerHeight() // 2, self.width - 1, self.height - self._headerHeight() // 2 - 1)
            painter.end()

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() == QtCore.QEvent.ChildAdded and self.__dict__.get("_collapsed"):
            QtCore.QTimer.singleShot(0, self._hideContents)
        return super().event(event)

    def _contents(self) -> list[QtWidgets.QWidget]:
        return [c for c in self.children() if isinstance(c, QtWidgets.QWidget) and c is not self._header]

    def _hideContents(self) -> None:
        if not self._collapsed:
            return
        for child in self._contents():
            self._shownBefore.setdefault(child, not child.isHidden())
            child.setVisible(False)
        self.setMaximumHeight(self._headerHeight() + 2)

    def _setCollapsed(self, collapsed: bool) -> None:
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        if collapsed:
            self._hideContents()
        else:
            self.setMaximumHeight(16777215)
            for child, shown in self._shownBefore.items():
                child.setVisible(shown)
            self._shownBefore.clear()
        self._refresh()
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)
        self.toggled.emit(not collapsed)

    def _onHeaderClicked(self) -> None:
        self._setCollapsed(not self._collapsed)
        self.clicked.emit(not self._collapsed)

    def sizeHint(self) -> QtCore.QSize:
        """With the policy Minimum this is the least size as well: the widest content is the panel's least width."""
        least = self.minimumSizeHint()
        return least if self._collapsed else QtWidgets.QWidget.sizeHint(self).expandedTo(least)

    def minimumSizeHint(self) -> QtCore.QSize:
        hint = self.layout().minimumSize() if self.layout() and not self._collapsed else QtCore.QSize(0, 0)
        return hint.expandedTo(QtCore.QSize(self._header.sizeHint.width(), self._headerHeight() + 2))

    def setText(self, text: str) -> None:
        self._header.setText(text)

    def click(self) -> None:
        self._header.click()

    def setChecked(self, checked: bool) -> None:
        self._setCollapsed(not checked)

    def isChecked(self) -> bool:
        return not self._collapsed

    collapsed = QtCore.Property(bool, lambda self: self._collapsed, _setCollapsed)
    checked = QtCore.Property(bool, lambda self: not self._collapsed, setChecked)
    text = QtCore.Property(str, lambda self: self._header.text, setText)
    flat = kept(bool, "_flat", "update")


class ctkMenuButton(QtWidgets.QPushButton):
    """A push button whose right edge opens its menu."""
