"""Loading scripted modules, and what the application knows of them: slicer.modules, the module manager."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from ..widgets.scene_widgets import qMRMLWidget


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The page that a scripted module's widget fills."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._python: Any = None
        self._name = ""
        self._entered = False
        QtWidgets.QVBoxLayout(self)

    def self(self) -> Any:
        return self._python

    def reload(self) -> None:
        """Fill the page anew from the module's source as it is now, after slicer.util has emptied it."""
        self._python = getattr(sys.modules[self._name], self._name + "Widget")(self)
        setattr(slicer.modules, self._name + "Widget", self._python)
        self._python.setup()

    def enter(self) -> None:
        if not self._entered:
            self._entered = True
            getattr(self._python, "enter", lambda: None)()

    def exit(self) -> None:
        if self._entered:
            self._entered = False
            getattr(self._python, "exit", lambda: None)()


class qSlicerScriptedLoadableModule(QtCore.QObject):
    """A module as the module class describes it."""

    def __init__(self, name: str, path: str, source: types.ModuleType) -> None:
        super().__init__()
        self._values: dict[str, Any] = {"name": name, "path": path, "hidden": False, "icon": QtGui.QIcon()}
        self._source = source
        self._widget: qSlicerScriptedLoadableModuleWidget | None = None
        self._python = getattr(source, name)(self)

    def widgetRepresentation(self) -> Any:
        if self._widget is None and hasattr(self._source, self._values["name"] + "Widget"):
            self._widget = self.createNewWidgetRepresentation()
            setattr(slicer.modules, self._values["name"] + "Widget", self._widget.self())
        return self._widget

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        page = qSlicerScriptedLoadableModuleWidget()
        page._name = self._values["name"]
        page.setMRMLScene(slicer.mrmlScene)
        page.reload()
        return page


def _valueProperty(name: str, writable: bool = True) -> property:
    def assign(self: Any, value: Any) -> None:
        self._values[name] = value

    return property(lambda self: self._values.get(name), assign if writable else None)


for _name in (
    "title",
    "categories",
    "dependencies",
    "contributors",
    "helpText",
    "acknowledgementText",
    "hidden",
    "icon",
):
    setattr(qSlicerScriptedLoadableModule, _name, _valueProperty(_name))
for _name in ("name", "path"):
    setattr(qSlicerScriptedLoadableModule, _name, _valueProperty(_name, writable=False))


class qSlicerModuleManager(QtCore.QObject):
    """The modules loaded so far, by name."""

    moduleAboutToBeUnloaded = QtCore.Signal(str)
    moduleLoaded = QtCore.Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, qSlicerScriptedLoadableModule] = {}

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self._modules)

    def _load(self, path: Path) -> qSlicerScriptedLoadableModule:
        """Import a module's file as the application does, and list it in slicer.modules."""
        name = path.stem
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        spec = importlib.util.spec_from_file_location(name, path)
        source = importlib.util.module_from_spec(spec)
        sys.modules[name] = source
        spec.loader.exec_module(source)
        module = qSlicerScriptedLoadableModule(name, str(path), source)
        self._modules[name] = module
        setattr(slicer.modules, name.lower(), module)
        setattr(slicer.moduleNames, name, name)
        self.moduleLoaded.emit(name)
        return module

    def _unloadAll(self) -> None:
        for name, module in list(self._modules.items()):
            if module._widget is not None:
                module._widget.exit()
            self.moduleAboutToBeUnloaded.emit(name)
            if module._widget is not None:
                module._widget.close()
                module._widget.deleteLater()
            sys.modules.pop(name, None)
        self._modules.clear()
