"""``@parameterNodeWrapper``: typed parameters in a scene node, bound to widgets."""

from __future__ import annotations

import typing
from typing import Any

import vtk
from PySide6 import QtWidgets

from ..qt.observers import observe, weakly
from ..qt.version import emulatedVersion
from . import left_behind
from .annotations import Default, Validator, findFirstAnnotation, splitAnnotations
from .connectors import Connector, createConnector
from .serializers import Stored, createSerializer

SlicerParameterNamePropertyName = "SlicerParameterName"


def parameterNodeWrapper(kind: type | None = None) -> Any:
    """Class decorator: each annotated name becomes a property kept in the parameter node."""
    return _process if kind is None else _process(kind)


def isParameterNodeWrapper(kindOrObject: Any) -> bool:
    return bool(getattr(kindOrObject, "_isParameterNodeWrapper", False))


class _Parameter:
    def __init__(self, name: str, hint: Any, owner: type) -> None:
        bare, annotations = splitAnnotations(hint)
        self.name, self.hint = name, hint
        self.stored: Stored = createSerializer(bare, [a for a in annotations if isinstance(a, Validator)])
        given = findFirstAnnotation(annotations, Default)
        self.default = Default(getattr(owner, name, self.stored.defaultValue if given is None else given.value))


class _WrapperMethods:
    """What every wrapped class offers."""

    allParameters: dict[str, _Parameter]

    def _start(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._prefix = prefix or ""
        self._parameterGUIs: dict[int, dict[str, Connector]] = {}
        self._guiVtkObserverTags: dict[int, int] = {}
        self._nextParameterGUIsTag, self._updatingGui = 0, False
        self._valuesTag: int | None = None
        self._values: dict[str, Any] = {}
        self._writing: set[str] = set()
        for name in self.allParameters:
            self._writeDefault(name)
            self._readAnew(name)
        self._valuesTag = observe(parameterNode, vtk.vtkCommand.ModifiedEvent, weakly(self._onModified))

    def _end(self) -> None:
        if self._valuesTag is not None:
            self.parameterNode.RemoveObserver(self._valuesTag)

    def _writeDefault(self, name: str) -> None:
        """Where the node has no value: a new node, and one that closing the scene has emptied."""
        parameter = self.allParameters[name]
        if not parameter.stored.isIn(self.parameterNode, self._prefix + name):
            parameter.stored.write(self.parameterNode, self._prefix + name, parameter.default.value)

    def _readAnew(self, name: str) -> None:
        """Values are kept between the node's events: while it is being modified, only what was written here is new."""
        self._writeDefault(name)
        self._values[name] = self.allParameters[name].stored.read(self.parameterNode, self._prefix + name)

    def _onModified(self, *_: Any) -> None:
        for name in self.allParameters:
            if name not in self._writing:
                self._readAnew(name)

    def _read(self, name: str) -> Any:
        return self._values[name]

    def _write(self, name: str, value: Any) -> None:
        changing = self.parameterNode.StartModify()
        self._writing.add(name)
        try:
            self.allParameters[name].stored.write(self.parameterNode, self._prefix + name, value)
            self._readAnew(name)
        finally:
            self.parameterNode.EndModify(changing)
            self._writing.discard(name)

    def _split(self, name: str) -> tuple[str, str | None]:
        top, _, rest = name.partition(".")
        if top not in self.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {top}; there are {list(self.allParameters)}")
        return top, rest or None

    def default(self, name: str) -> Default:
        return self.allParameters[self._split(name)[0]].default

    def isCached(self, name: str) -> bool:
        self._split(name)
        return True

    def dataType(self, name: str) -> Any:
        top, rest = self._split(name)
        hint = self.allParameters[top].hint
        return hint if rest is None else splitAnnotations(hint)[0].dataType(rest)

    def getValue(self, name: str) -> Any:
        top, rest = self._split(name)
        return self._read(top) if rest is None else self._read(top).getValue(rest)

    def setValue(self, name: str, value: Any) -> None:
        top, rest = self._split(name)
        if rest is None:
            self._write(top, value)
        else:
            self._read(top).setValue(rest, value)

    def connectGui(self, gui: Any) -> int | None:
        """Bind the widgets with the property SlicerParameterName; from 5.10 on returns a tag for disconnectGui."""
        widgets = gui.findChildren(QtWidgets.QWidget) if hasattr(gui, "findChildren") else vars(gui).values()
        named = {w.property(SlicerParameterNamePropertyName): w for w in widgets if hasattr(w, "property")}
        tag = self.connectParametersToGui({name: widget for name, widget in named.items() if name})
        return tag if emulatedVersion() >= (5, 10) else None

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        connectors = {
            name: target if isinstance(target, Connector) else createConnector(target, self.dataType(name))
            for name, target in mapping.items()
        }
        tag, self._nextParameterGUIsTag = self._nextParameterGUIsTag, self._nextParameterGUIsTag + 1
        self._parameterGUIs[tag] = connectors
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._fromGui(name, connector))
        observer = observe(self.parameterNode, vtk.vtkCommand.ModifiedEvent, left_behind.alive(self._toGui))
        self._guiVtkObserverTags[tag] = observer
        return tag

    def disconnectGui(self, tag: int) -> None:
        for connector in self._parameterGUIs.pop(tag, {}).values():
            connector.onChanged(None)
        observer = self._guiVtkObserverTags.pop(tag, None)
        if observer is not None and emulatedVersion() >= (5, 12):  # before, it stayed
            self.parameterNode.RemoveObserver(observer)

    def _fromGui(self, name: str, connector: Connector) -> Any:
        def changed() -> None:
            if not self._updatingGui:
                self.setValue(name, connector.read())

        return changed

    def _toGui(self) -> None:
        if self._updatingGui:
            return
        self._updatingGui = True
        changing = self.parameterNode.StartModify()
        try:
            for connectors in self._parameterGUIs.values():
                for name, connector in connectors.items():
                    connector.write(self.getValue(name))
        finally:
            self._updatingGui = False
            self.parameterNode.EndModify(changing)

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModifying: int) -> int:
        return self.parameterNode.EndModify(wasModifying)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        self.parameterNode.Modified()


def _process(kind: type) -> type:
    hints = typing.get_type_hints(kind, include_extras=True)
    offered = {name: method for name, method in vars(_WrapperMethods).items() if not name.startswith("__")}
    for name in hints:
        if name in offered or name in ("parameterNode", "allParameters"):
            raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
    kind.allParameters = {name: _Parameter(name, hint, kind) for name, hint in hints.items()}
    for name, method in offered.items():
        setattr(kind, name, method)
    kind.__init__ = _WrapperMethods._start
    kind.__del__ = _WrapperMethods._end
    kind._isParameterNodeWrapper = True
    for name in hints:
        setattr(kind, name, _property(name))
    return kind


def _property(name: str) -> property:
    return property(lambda self: self._read(name), lambda self, value: self._write(name, value))
