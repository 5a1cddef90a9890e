"""PythonQt's manners on PySide6: properties instead of getters, no new attributes on Qt objects, enums as ints.

PySide6's own classes are changed in place, once a process, so that objects made inside Qt (a table's
header, a loaded form's labels) behave like those made in Python. PySide6's ``true_property`` feature is
not used: it applies to each importing file on its own, drops ``setX`` and ``isX``, and so would differ
from PythonQt in the very files under test.
"""

from __future__ import annotations

import contextlib
import html
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

# Read by PySide6 when it is imported first: every enum is an IntEnum or IntFlag, as PythonQt's are ints.
_ENUMS_INHERIT_INT = 0x1 | 0x2
if "PySide6" not in sys.modules:
    sys.pyside6_option_python_enum = _ENUMS_INHERIT_INT
if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtWidgets

from .connections import ExitCodeSignal, connect, disconnect
from .recorded_api import namesOf

_MODULES = (QtCore, QtGui, QtWidgets)
#: Classes of Qt itself; a Python class derived from one may have attributes of its own, as with PythonQt.
_sealed: set[type] = set()
_properties: dict[type, set[str]] = {}
_loadingForms: list[bool] = []


@contextlib.contextmanager
def loadingForm() -> Iterator[None]:
    """While PySide6 loads a form it sets each child on its parent, which PythonQt does not: ignored."""
    _loadingForms.append(True)
    try:
        yield
    finally:
        _loadingForms.pop()


class Property:
    """A Qt property that hides the getter of the same name; on the class itself the function stays."""

    def __init__(self, name: str, getter: Any, setter: Any, onClass: Any = None) -> None:
        self.name, self.getter, self.setter = name, getter, setter
        self.onClass = getter if onClass is None else onClass

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        if owner is None:
            return self if self.onClass is None else self.onClass
        value = owner.property(self.name) if self.getter is None else self.getter(owner)
        if self.name == "toolTip":
            return _asRichText(value)
        return _asTuple(value)

    def __set__(self, owner: Any, value: Any) -> None:
        if self.setter is not None:
            self.setter(owner, value)
        elif not owner.setProperty(self.name, value):
            raise AttributeError(f"Property '{self.name}' of type '{type(owner).__name__}' object is not writable")


def _asRichText(text: str) -> str:
    """The application hands tool tips back as rich text, so that long ones wrap."""
    if not text or text.lstrip().startswith("<"):
        return text
    return f"<html><head/><body><p>{html.escape(text, quote=False)}</p></body></html>"


def _setAttribute(self: Any, name: str, value: Any) -> None:
    """Set a property or what a Python class has declared; nothing can be added to a Qt object."""
    kind = type(self)
    declared = next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)
    if isinstance(declared, QtCore.Property):
        if not self.setProperty(name, list(value) if isinstance(value, tuple) else value):
            raise TypeError(f"{kind.__name__}.{name} cannot be set to {value!r}")
    elif hasattr(type(declared), "__set__"):
        type(declared).__set__(declared, self, value)
    elif isinstance(value, QtCore.SignalInstance):
        self.__dict__[name] = value  # PySide6 itself, which keeps the signals it has bound
    elif kind in _sealed or (kind.__module__.startswith("slicer_host.") and not name.startswith("_")):
        if _loadingForms:
            return
        raise AttributeError(f"'{name}' does not exist on {kind.__name__} and a new attribute can't be added to it")
    else:
        self.__dict__[name] = value


def _qtClasses() -> list[type]:
    named = (getattr(module, name) for module in _MODULES for name in dir(module))
    classes = {c for c in named if isinstance(c, type) and issubclass(c, QtCore.QObject)}
    return sorted(classes, key=lambda c: len(c.__mro__))


def _capitalised(name: str) -> str:
    return name[0].upper() + name[1:]


def _addProperties(kind: type) -> None:
    meta = kind.staticMetaObject
    _properties[kind] = {meta.property(index).name() for index in range(meta.propertyCount())}
    for index in range(meta.propertyCount()):
        declared = meta.property(index)
        name = declared.name()
        if index < meta.propertyOffset() and name not in vars(kind):
            continue  # inherited; only a getter that the class overrides has to be hidden once more
        getter = vars(kind).get(name)
        if getter is not None and not callable(getter):
            continue
        setter = getattr(kind, "set" + _capitalised(name), None) if declared.isWritable() else None
        if name in _OVERLOADED_SETTERS or _isStatic(setter):
            setter = None
        getter = None if _isStatic(getter) else getter
        if name == "singleShot":  # a static function of the class, a property of its instances
            setattr(kind, name, Property(name, None, kind.setSingleShot, onClass=QtCore.QTimer.singleShot))
            continue
        setattr(kind, name, Property(name, getter, setter))


def _isStatic(function: Any) -> bool:
    """Static functions, such as those of QCoreApplication, take no object; its property does."""
    return isinstance(function, types.BuiltinFunctionType | staticmethod)


#: Setters with several signatures of which the property takes another than the method's first.
_OVERLOADED_SETTERS = {"geometry", "pos", "size"}


def _addPythonQtMethods() -> None:
    QtCore.QObject.name = Property("objectName", None, None)
    QtCore.QObject.className = lambda self: self.metaObject().className()
    QtCore.QObject.delete = _delete
    for kind in (QtCore.QEventLoop, QtWidgets.QDialog, QtWidgets.QMenu):
        kind.exec_ = kind.exec
    value = QtCore.QSettings.value
    QtCore.QSettings.value = lambda self, *arguments: _asTuple(value(self, *arguments))


def _asTuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _delete(self: QtCore.QObject) -> None:
    import shiboken6

    shiboken6.delete(self)


def _withStringConnections(kind: type) -> None:
    """PySide6 looks up ``connect`` before Python can override it, hence by ``__getattribute__``."""
    original = kind.__getattribute__
    allowed = namesOf(kind.__name__)

    def lookUp(self: Any, name: str) -> Any:
        if name == "connect":
            return lambda *arguments: connect(self, *arguments)
        if name == "disconnect":
            return lambda *arguments: disconnect(self, *arguments)
        if allowed is not None and name not in allowed and type(self) is kind and _isRefused(name):
            raise AttributeError(f"'{kind.__name__}' has no '{name}' in the application, though PySide6 has it")
        found = original(self, name)
        return ExitCodeSignal(found) if name == "finished" and isinstance(self, QtCore.QProcess) else found

    kind.__getattribute__ = lookUp


def _isRefused(name: str) -> bool:
    """Names are refused to the files under test; the host itself may use all of PySide6."""
    if name.startswith(("_", "qt_")) or name.endswith(("Notify", "Event")):
        return False  # Qt itself asks whether Python overrides these
    asking = sys._getframe(2).f_globals.get("__name__", "")
    return not asking.startswith(("slicer_host", "PySide6", "shiboken6"))


def hasProperty(kind: type, name: str) -> bool:
    """Whether objects of ``kind`` have the Qt property ``name``."""
    return any(
        isinstance(vars(base).get(name), QtCore.Property) or name in _properties.get(base, ()) for base in kind.__mro__
    )


def applyPythonQtManners() -> None:
    """Change PySide6's classes in place; a second call does nothing."""
    if _sealed:
        return
    classes = _qtClasses()
    for kind in classes:
        _addProperties(kind)
    _addPythonQtMethods()
    for kind in reversed(classes):  # derived classes first: each keeps its own look-up underneath
        _withStringConnections(kind)
    for kind in classes:
        kind.__setattr__ = _setAttribute
    _sealed.update(classes)
