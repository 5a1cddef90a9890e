"""``slicer.app.layoutManager()``: three slice views as logics and nodes in the scene; nothing is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

_LEGEND = "vtkMRMLColorLegendDisplayNode"
_VIEWS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}


class qMRMLSliceWidget(QtWidgets.QWidget):
    """One slice view: its logic and nodes, and the colour legends that it would show."""

    def __init__(self, logic: Any, printError: Callable[[str], None]) -> None:
        super().__init__()
        self._logic, self._printError = logic, printError
        self._renderer, self._window = vtk.vtkRenderer(), vtk.vtkGenericOpenGLRenderWindow()  # never drawn
        self._window.AddRenderer(self._renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()  # asked for sizes
        self._interactor.SetRenderWindow(self._window)
        self._legends = slicer.vtkMRMLColorLegendDisplayableManager()
        self._managers = slicer.vtkMRMLDisplayableManagerGroup()
        self._legends.SetMRMLApplicationLogic(logic.GetMRMLApplicationLogic())
        self._managers.SetRenderer(self._renderer)
        self._managers.AddDisplayableManager(self._legends)
        self._managers.SetMRMLDisplayableNode(logic.GetSliceNode())
        self._pauses = 0  # of drawing; it draws while there is none

    def _legendsShown(self) -> list[Any]:
        """Display nodes of the legends that are seen: Slicer's own manager of them decides, as in the application."""
        scene = self._logic.GetMRMLScene()
        nodes = [scene.GetNthNodeByClass(n, _LEGEND) for n in range(scene.GetNumberOfNodesByClass(_LEGEND))]
        actors = ((node, self._legends.GetColorLegendActor(node)) for node in nodes)
        return [node for node, actor in actors if actor is not None and self._seen(actor)]

    def _seen(self, actor: Any) -> bool:
        layers = self._window.GetRenderers()
        renderers = [layers.GetItemAsObject(n) for n in range(layers.GetNumberOfItems())]
        return bool(actor.GetVisibility()) and any(renderer.HasViewProp(actor) for renderer in renderers)

    def _tearDown(self) -> None:
        self._managers.SetMRMLDisplayableNode(None)
        self._managers.SetRenderer(None)

    def sliceLogic(self) -> Any:
        return self._logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def setRenderPaused(self, pause: bool) -> None:
        if not pause and self._pauses == 0:
            self._printError("Cannot resume rendering, pause render count is already 0!")
        self._pauses = max(0, self._pauses + (1 if pause else -1))

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class qSlicerLayoutManager(QtCore.QObject):
    """Red, Yellow and Green; remade after the scene was closed, as the application does."""

    layoutChanged = QtCore.Signal(int)

    def __init__(self, scene: Any, applicationLogic: Any, printError: Callable[[str], None] = print) -> None:
        super().__init__()
        self._printError = printError
        self._scene, self._layout = scene, 3
        self._applicationLogic = applicationLogic
        self._logics = vtk.vtkCollection()
        self._widgets: dict[str, qMRMLSliceWidget] = {}
        for name, orientation in _VIEWS.items():
            self._addView(name, orientation)

    def _addView(self, name: str, orientation: str) -> None:
        logic = slicer.vtkMRMLSliceLogic()
        logic.SetMRMLApplicationLogic(self._applicationLogic)
        logic.SetMRMLScene(self._scene)
        node = logic.AddSliceNode(name)
        node.SetOrientation(orientation)
        self._logics.AddItem(logic)
        self._applicationLogic.SetSliceLogics(self._logics)
        self._widgets[name] = qMRMLSliceWidget(logic, self._printError)

    def _tearDown(self) -> None:
        for widget in self._widgets.values():
            widget._tearDown()
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
