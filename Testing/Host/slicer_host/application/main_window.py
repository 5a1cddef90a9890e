"""The application's main window: only what slicer.util asks of it."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtWidgets


class qSlicerModuleSelectorToolBar(QtWidgets.QToolBar):
    """Which module's panel is shown."""

    moduleSelected = QtCore.Signal(str)

    def __init__(self, manager: Any, window: Any) -> None:
        super().__init__(window)
        self._manager, self._selected = manager, ""

    def selectModule(self, name: str) -> None:
        module = self._manager.module(name)
        if module is None or name == self._selected:
            return
        previous = self._manager.module(self._selected)
        if previous is not None and previous.widgetRepresentation() is not None:
            previous.widgetRepresentation().exit()
        self._selected = name
        page = module.widgetRepresentation()
        if page is not None:
            page.enter()
        self.moduleSelected.emit(name)

    selectedModule = QtCore.Property(str, lambda self: self._selected)


class qSlicerMainWindow(QtWidgets.QMainWindow):
    """Found by slicer.util.mainWindow() through its object name."""

    def __init__(self, manager: Any) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = qSlicerModuleSelectorToolBar(manager, self)
        self.addToolBar(self._selector)
        self._selector.setVisible(False)

    def moduleSelector(self) -> qSlicerModuleSelectorToolBar:
        return self._selector
