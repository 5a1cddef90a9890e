"""The module ``qt``: QtCore, QtGui, QtWidgets and QUiLoader under one name, as PythonQt offers them."""

from __future__ import annotations

import types

from .pythonqt import applyPythonQtManners

from PySide6 import QtCore, QtGui, QtWidgets  # isort: skip

from .ui_loader import makeUiLoader  # isort: skip

#: Not wrapped by PythonQt.
_ABSENT = {"QThread", "QThreadPool", "QRunnable"}


def makeQtModule(customWidgets: dict[str, type]) -> types.ModuleType:
    """The module, whose QUiLoader knows ``customWidgets`` by their class names in .ui files."""
    applyPythonQtManners()
    module = types.ModuleType("qt")
    for source in (QtCore, QtGui, QtWidgets):
        for name in dir(source):  # not vars(): PySide6 makes its classes when they are first asked for
            value = getattr(source, name)
            if name == "Qt" or (name.startswith("Q") and isinstance(value, type) and name not in _ABSENT):
                setattr(module, name, value)
    module.QUiLoader = makeUiLoader(customWidgets)
    return module
