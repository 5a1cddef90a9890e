"""QUiLoader for forms with CTK and qMRML widgets.

Qt's own loader cannot connect signals that carry MRML objects, nor resolve enums of classes made in
Python; both are taken out of the form before Qt reads it, and done here.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from .connections import connect
from .pythonqt import hasProperty, loadingForm

#: Dynamic properties that mean something to Slicer.
_DYNAMIC = {"SlicerParameterName", "SlicerPackParameterName", "buddy"}
_held: dict[int, list[Any]] = {}


def makeUiLoader(customWidgets: dict[str, type]) -> type:
    """A QUiLoader class that knows ``customWidgets`` by name."""

    class QUiLoader(QtUiTools.QUiLoader):
        """Makes the widgets of a form; what neither Qt nor the host knows is an error."""

        def createWidget(self, className: str, parent: Any = None, name: str = "") -> Any:
            if className not in customWidgets:
                return super().createWidget(className, parent, name)
            widget = customWidgets[className](parent)
            widget.setObjectName(name)
            self._made.append(widget)
            return widget

        def load(self, device: QtCore.QIODevice, parent: Any = None) -> Any:
            form = ET.fromstring(bytes(device.readAll().data()))
            self._made = []
            _check(form, customWidgets)
            enums = _takeEnums(form, customWidgets)
            connections = _takeConnections(form)
            buffer = QtCore.QBuffer()
            buffer.setData(ET.tostring(form))
            buffer.open(QtCore.QIODevice.ReadOnly)
            with loadingForm():
                root = super().load(buffer, parent)
            if root is None:
                return None
            _apply(root, enums, connections)
            _hold(root, self._made)
            return root

    QUiLoader.__module__ = __name__
    return QUiLoader


def _check(form: ET.Element, customWidgets: dict[str, type]) -> None:
    """Refuse classes and properties that would silently be replaced or ignored."""
    known = set(QtUiTools.QUiLoader().availableWidgets()) | {"Line"}
    for element in form.iter("widget"):
        name = element.get("class", "")
        kind = customWidgets.get(name) or (getattr(QtWidgets, name, None) if name in known else None)
        if kind is None and name != "Line":
            raise RuntimeError(f"the form uses {name} for {element.get('name')}, which the host does not have")
        if kind is None:
            continue
        for prop in element.findall("property"):
            key = prop.get("name", "")
            if key in _DYNAMIC or prop.get("stdset") == "0" or hasProperty(kind, key):
                continue
            raise RuntimeError(f"{element.get('name')}: {name} has no property {key} in the host")


def _takeEnums(form: ET.Element, customWidgets: dict[str, type]) -> list[tuple[str, str, int]]:
    taken = []
    for element in form.iter("widget"):
        kind = customWidgets.get(element.get("class", ""))
        for prop in element.findall("property") if kind is not None else ():
            value = prop.find("set") if prop.find("set") is not None else prop.find("enum")
            number = None if value is None else _number(kind, value.text or "")
            if number is not None:
                taken.append((element.get("name", ""), prop.get("name", ""), number))
                element.remove(prop)
    return taken


def _number(kind: type | None, text: str) -> int | None:
    """The value of ``Class::Name|Class::Other`` of a widget class made in Python, or of one of Qt's that it hands on;
    None if Qt's loader knows it itself."""
    parts = [part.split("::") for part in text.split("|")]
    owners = [kind if hasattr(kind, names[-1]) else getattr(QtWidgets, names[0], None) for names in parts]
    if any(owner is None or not hasattr(owner, names[-1]) for owner, names in zip(owners, parts, strict=True)):
        return None
    values = [getattr(owner, names[-1]) for owner, names in zip(owners, parts, strict=True)]
    return sum({int(getattr(value, "value", value)) for value in values})


def _takeConnections(form: ET.Element) -> list[tuple[str, str, str, str]]:
    section = form.find("connections")
    if section is None:
        return []
    form.remove(section)
    parts = ("sender", "signal", "receiver", "slot")
    return [tuple(c.findtext(part, "") for part in parts) for c in section.findall("connection")]  # type: ignore[misc]


def _apply(root: QtWidgets.QWidget, enums: list[Any], connections: list[tuple[str, str, str, str]]) -> None:
    def named(name: str) -> QtCore.QObject:
        return root if root.objectName == name else root.findChild(QtCore.QObject, name)

    for name, prop, number in enums:
        named(name).setProperty(prop, number)
    for sender, signal, receiver, slot in connections:
        target = getattr(named(receiver), slot.partition("(")[0], None)
        if target is None:
            raise RuntimeError(f"the form connects to {receiver}.{slot}, which does not exist")
        if isinstance(named(receiver), QtWidgets.QWidget) and not callable(target):
            target = getattr(named(receiver), "set" + slot[0].upper() + slot.partition("(")[0][1:])
        if not connect(named(sender), signal, target):
            raise RuntimeError(f"the form connects {sender}.{signal}, which does not exist")


def _hold(root: QtWidgets.QWidget, made: list[Any]) -> None:
    """The Python halves of the form's widgets live as long as the form."""
    key = id(root)
    _held[key] = made
    root.destroyed.connect(lambda *_: _held.pop(key, None))
