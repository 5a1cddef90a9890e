"""``slicer.app.layoutManager()``: three slice views as logics and nodes in the scene; nothing is drawn."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

_VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


class qMRMLSliceWidget(QtWidgets.QWidget):
    """One slice view: its logic and nodes."""

    def __init__(self, logic: Any) -> None:
        super().__init__()
        self._logic = logic

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class qSlicerLayoutManager(QtCore.QObject):
    """Red, Yellow and Green; remade after the scene was closed, as the application does."""

    layoutChanged = QtCore.Signal(int)

    def __init__(self, scene: Any, applicationLogic: Any) -> None:
        super().__init__()
        self._scene, self._layout = scene, 3
        self._applicationLogic = applicationLogic
        self._logics = vtk.vtkCollection()
        self._widgets: dict[str, qMRMLSliceWidget] = {}
        for name, orientation in _VIEWS.items():
            self._addView(name, orientation)
        applicationLogic.SetSliceLogics(self._logics)

    def _addView(self, name: str, orientation: str) -> None:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self._applicationLogic)
        logic.SetMRMLScene(self._scene)
        node = logic.AddSliceNode(name)
        node.SetOrientation(orientation)
        self._logics.AddItem(logic)
        self._widgets[name] = qMRMLSliceWidget(logic)

    def _tearDown(self) -> None:
        self._applicationLogic.SetSliceLogics(None)
        for index in range(self._logics.GetNumberOfItems()):
            self._logics.GetItemAsObject(index).SetMRMLScene(None)
        self._logics.RemoveAllItems()
        self._widgets.clear()

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(self._widgets)

    def sliceWidget(self, name: str) -> Any:
        return self._widgets.get(name)

    def mrmlSliceLogics(self) -> Any:
        return self._logics

    def resetSliceViews(self) -> None:
        for widget in self._widgets.values():
            widget.fitSliceToBackground()

    def setLayout(self, layout: int) -> None:
        if layout != self._layout:
            self._layout = layout
            self.layoutChanged.emit(layout)

    def mrmlScene(self) -> Any:
        return self._scene

    layout = QtCore.Property(int, lambda self: self._layout, setLayout)
    threeDViewCount = QtCore.Property(int, lambda self: 0)
