"""Which widget shows a parameter of which type, in both directions."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6 import QtCore, QtWidgets

from ..widgets.combos import ctkPathLineEdit
from ..widgets.node_combo_box import qMRMLNodeComboBox
from ..widgets.sliders import ctkSliderWidget, qMRMLSliderWidget
from .annotations import (
    Choice,
    Decimals,
    Maximum,
    Minimum,
    SingleStep,
    WithinRange,
    findFirstAnnotation,
    splitAnnotations,
)
from .serializers import _PATHS, nodeClasses


@dataclass
class Connector:
    """A widget, how to read and write it, and the signal that tells of the person's change."""

    widget: Any
    signal: QtCore.SignalInstance
    read: Callable[[], Any]
    write: Callable[[Any], None]
    _slot: Callable[..., None] | None = None

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        """Call ``callback`` when the widget changes; None to stop."""
        if self._slot is not None:
            self.signal.disconnect(self._slot)
        self._slot = None if callback is None else (lambda *_: callback())
        if self._slot is not None:
            self.signal.connect(self._slot)


def createConnector(widget: Any, datatype: Any) -> Connector:
    """The connector between ``widget`` and a parameter of type ``datatype``.

    Raises:
        RuntimeError: Slicer has no connector for the two, or wants an annotation that is missing.
    """
    kind, annotations = splitAnnotations(datatype)
    made = None
    if nodeClasses(kind):
        made = _node(widget, kind)
    elif kind in _BY_TYPE:
        made = _BY_TYPE[kind](widget, annotations)
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        made = _enum(widget, kind)
    elif kind in _PATHS and type(widget) is ctkPathLineEdit:
        made = Connector(
            widget, widget.currentPathChanged, lambda: kind(widget.currentPath), lambda v: widget.setCurrentPath(str(v))
        )
    if made is None:
        raise RuntimeError(f"Unable to create GUI connector from datatype '{datatype}' to widget type '{type(widget)}'")
    return made


def _node(widget: Any, kind: Any) -> Connector | None:
    if type(widget) is not qMRMLNodeComboBox:
        return None
    widget.nodeTypes = [c.__name__ for c in nodeClasses(kind)]
    return Connector(widget, widget.currentNodeChanged, widget.currentNode, widget.setCurrentNode)


def _bool(widget: Any, annotations: list[Any]) -> Connector | None:
    if type(widget) is QtWidgets.QPushButton:
        widget.checkable = True
        return Connector(widget, widget.toggled, lambda: widget.checked, widget.setChecked)
    if type(widget) is QtWidgets.QCheckBox:
        return Connector(widget, widget.stateChanged, lambda: widget.checked, widget.setChecked)
    return _choice(widget, annotations)


def _number(widgets: tuple[type, ...], bounded: tuple[type, ...], lowest: float, highest: float) -> Callable[..., Any]:
    def connect(widget: Any, annotations: list[Any]) -> Connector | None:
        if type(widget) not in widgets:
            return _choice(widget, annotations)
        low, high = _bounds(annotations)
        if type(widget) in bounded and (low is None or high is None):
            raise RuntimeError(f"{type(widget).__name__} needs a parameter with a range")
        decimals, step = (findFirstAnnotation(annotations, a) for a in (Decimals, SingleStep))
        if decimals is not None:
            widget.decimals = decimals.value
        if step is not None:
            widget.singleStep = step.value
        widget.minimum = lowest if low is None else low
        widget.maximum = highest if high is None else high
        return Connector(widget, widget.valueChanged, lambda: widget.value, widget.setValue)

    return connect


def _bounds(annotations: list[Any]) -> tuple[Any, Any]:
    within, low, high = (findFirstAnnotation(annotations, a) for a in (WithinRange, Minimum, Maximum))
    if within is not None:
        return within.minimum, within.maximum
    return (None if low is None else low.minimum), (None if high is None else high.maximum)


def _text(widget: Any, annotations: list[Any]) -> Connector | None:
    if type(widget) is QtWidgets.QLineEdit:
        return Connector(widget, widget.textChanged, lambda: widget.text, widget.setText)
    if type(widget) is QtWidgets.QTextEdit:
        return Connector(widget, widget.textChanged, widget.toPlainText, widget.setPlainText)
    return _choice(widget, annotations)


def _choice(widget: Any, annotations: list[Any]) -> Connector | None:
    choice = findFirstAnnotation(annotations, Choice)
    if type(widget) is not QtWidgets.QComboBox:
        return None
    if choice is None:
        raise RuntimeError("A combo box needs a parameter with the Choice annotation")
    return _items(widget, [(str(value), value) for value in choice.choices])


def _enum(widget: Any, kind: type[enum.Enum]) -> Connector | None:
    if type(widget) is not QtWidgets.QComboBox:
        return None
    label = getattr(kind, "label", lambda member: member.name)
    return _items(widget, [(label(member), member) for member in kind])


def _items(widget: Any, items: list[tuple[str, Any]]) -> Connector:
    """The combo box is filled anew with ``items``; what the form had put there goes."""
    widget.clear()
    for text, _ in items:
        widget.addItem(text)
    values = [value for _, value in items]
    return Connector(
        widget,
        widget.currentIndexChanged,
        lambda: values[widget.currentIndex],
        lambda value: widget.setCurrentIndex(values.index(value)),
    )


_BY_TYPE: dict[type, Callable[[Any, list[Any]], Connector | None]] = {
    bool: _bool,
    int: _number((QtWidgets.QSlider, QtWidgets.QSpinBox), (QtWidgets.QSlider,), -(2**31), 2**31 - 1),
    float: _number(
        (QtWidgets.QDoubleSpinBox, ctkSliderWidget, qMRMLSliderWidget),
        (ctkSliderWidget, qMRMLSliderWidget),
        float("-inf"),
        float("inf"),
    ),
    str: _text,
}
