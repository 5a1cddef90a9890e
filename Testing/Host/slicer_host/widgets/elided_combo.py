"""The box inside a node selector: a ctkComboBox, which measures its entries once and elides what comes later."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets


class ElidedComboBox(QtWidgets.QComboBox):
    """As wide as its widest entry was when it was first asked, and not narrower, unless its policy leaves them out."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._hints: dict[str, QtCore.QSize] = {}
        self._defaultText = ""

    def minimumSizeHint(self) -> QtCore.QSize:
        return self._hint("minimum")

    def sizeHint(self) -> QtCore.QSize:
        return self._hint("natural")

    def _hint(self, which: str) -> QtCore.QSize:
        if which not in self._hints:
            self._hints[which] = self._measure(which)
        return self._hints[which]

    def _measure(self, which: str) -> QtCore.QSize:
        letters, width = self.fontMetrics(), 0
        byContents = self.sizeAdjustPolicy != QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon
        if byContents and (which == "natural" or self.minimumContentsLength == 0):
            texts = [self.itemText(row) for row in range(self.count)] or [self._defaultText or 7 * "x"]
            width = max(letters.boundingRect(text).width() for text in texts)
        width = max(width, self.minimumContentsLength * letters.horizontalAdvance("x"))
        option = QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        size = QtCore.QSize(width, max(letters.height(), 14) + 2)
        return self.style().sizeFromContents(QtWidgets.QStyle.CT_ComboBox, option, size, self)

    def changeEvent(self, event: QtCore.QEvent) -> None:
        if event.type() in (QtCore.QEvent.StyleChange, QtCore.QEvent.FontChange):
            self._hints.clear()
        super().changeEvent(event)
