"""Install the stand-ins around a scene, open a module's panel, and use it as a person would."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .qt.pythonqt import applyPythonQtManners  # isort: skip

from PySide6 import QtCore, QtGui, QtTest, QtWidgets

from Testing.Support.patience import patient

from .application import slicer_additions
from .application.application import application
from .application.layout import qSlicerLayoutManager
from .application.main_window import qSlicerMainWindow
from .application.modules import qSlicerModuleManager
from .application.subject_hierarchy import SubjectHierarchy
from .qt import connections, dialogs
from .qt.gap_monitor import GapMonitor

ROOT = Path(__file__).resolve().parents[3]
MODULES = ROOT / "JointRegistration"
_intercepted: list[bool] = []


class Host:
    """An embedded Slicer; what a test does with it."""

    def __init__(self, headless: Any, window: bool = True) -> None:
        applyPythonQtManners()
        if not _intercepted:
            dialogs.interceptDialogs()
            _intercepted.append(True)
        self.headless, self.scene = headless, headless.scene
        self._folder = tempfile.TemporaryDirectory(prefix="slicer-host-")
        self.dialogs = dialogs.Dialogs()
        #: Packages that pip_install was asked for; nothing is installed.
        self.installed: list[str] = []
        #: Lines that the application would print as errors: its console has to stay empty.
        self.console: list[str] = []
        #: Exceptions raised in slots and observers: printed in the application, failures in a test.
        self.errors: list[str] = []
        self.app = application()
        self.moduleManager = qSlicerModuleManager()
        self.layoutManager = None
        if window:
            self.layoutManager = qSlicerLayoutManager(self.scene, headless.applicationLogic, self.console.append)
        self.app._setUp(headless, Path(self._folder.name), self.layoutManager, self.moduleManager)
        self.mainWindow = qSlicerMainWindow(self.moduleManager) if window else None
        dialogs.use(self.dialogs)
        connections.refused.clear()
        self._excepthook, sys.excepthook = sys.excepthook, self._onException
        self._undo = slicer_additions.install(self)
        self._hierarchy = SubjectHierarchy(self.scene, self.console.append)

    @property
    def answers(self) -> Any:
        """Answers to the dialogs to come, first in first out; see ``dialogs.Dialogs``."""
        return self.dialogs.answers

    def answerByPerson(self) -> None:
        """Let dialogs open and wait for somebody; for the application, not for tests."""
        dialogs.use(None)

    def _onException(self, kind: type, value: BaseException, trace: Any) -> None:
        self.errors.append("".join(traceback.format_exception(kind, value, trace)))
        self._excepthook(kind, value, trace)

    def uninstall(self, check: bool = True) -> None:
        """Unload the modules, give Python back as it was, and report what went unnoticed.

        Raises:
            AssertionError: a dialog came without an answer, an answer was not used, a slot raised, or the application
                would have printed an error.
        """
        self.moduleManager._unloadAll()
        self.processEvents()
        self._hierarchy.close()
        if self.layoutManager is not None and self.mainWindow is not None:
            self.layoutManager._tearDown()
            self.mainWindow.close()
            self.mainWindow.setObjectName("")  # mainWindow() must not find it while Python still holds it
        self.app.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
        dialogs.use(None)
        connections.disconnectAll(self.app)  # the application object outlives the host
        sys.excepthook = self._excepthook
        self._undo()
        self._folder.cleanup()
        if check:
            assert not self.dialogs.unexpected, f"dialogs that nobody answered: {self.dialogs.unexpected}"
            assert not self.dialogs.answers, f"answers to dialogs that never came: {list(self.dialogs.answers)}"
            assert not connections.refused, f"connections that do not exist: {connections.refused}"
            assert not self.console, "errors in the application's console:\n" + "\n".join(self.console)
            assert not self.errors, "errors in slots:\n" + "\n".join(self.errors)

    # -- modules -----------------------------------------------------------------------------------

    def loadModule(self, nameOrPath: str | Path) -> types.ModuleType:
        """Import a module's file, as the application does when it starts."""
        path = Path(nameOrPath) if str(nameOrPath).endswith(".py") else MODULES / f"{nameOrPath}.py"
        return self.moduleManager._load(path)._source

    def openModule(self, nameOrPath: str | Path, width: int = 420) -> Any:
        """Load the module if need be, make its panel, show and enter it; returns the Python widget."""
        name = Path(nameOrPath).stem
        if self.moduleManager.module(name) is None:
            self.loadModule(nameOrPath)
        if self.mainWindow is not None:
            self.mainWindow.moduleSelector().selectModule(name)
        page = self.moduleManager.module(name).widgetRepresentation()
        page.resize(width, page.sizeHint.height())
        page.show()
        self.processEvents()
        return page.self()

    def finishStartup(self) -> None:
        """Tell the modules loaded so far that the application has started (they register sample data then)."""
        self.app.startupCompleted.emit()
        self.processEvents()

    # -- what a person does ------------------------------------------------------------------------

    def processEvents(self) -> None:
        """Let everything happen that is due now."""
        for _ in range(3):
            self.app.processEvents()

    def click(self, button: Any) -> None:
        """Click with the mouse; fails where a person could not."""
        self._usable(button)
        QtTest.QTest.mouseClick(_inner(button), QtCore.Qt.LeftButton, pos=_clickSpot(button))
        self.processEvents()

    def type(self, widget: Any, text: str) -> None:
        """Replace the content by typing ``text`` and Return."""
        self._usable(widget)
        target = _inner(widget)
        target.setFocus()
        if hasattr(target, "selectAll"):
            target.selectAll()
        QtTest.QTest.keyClicks(target, text)
        if not isinstance(target, QtWidgets.QPlainTextEdit | QtWidgets.QTextEdit):
            QtTest.QTest.keyClick(target, QtCore.Qt.Key_Return)
        self.processEvents()

    def choose(self, combo: Any, choice: Any) -> None:
        """Pick an entry: a node, None, an entry's text, or its row."""
        self._usable(combo)
        box = _inner(combo)
        row = choice if isinstance(choice, int) else _row(box, choice)
        if row < 0:
            offered = [box.itemText(i) for i in range(box.count)]
            raise AssertionError(f"{combo.objectName} offers no {choice!r}, only {offered}")
        index = box.model().index(row, box.modelColumn)
        if index.flags() & QtCore.Qt.ItemIsSelectable:
            box.view().setCurrentIndex(index)
            box.setCurrentIndex(row)
            box.activated.emit(row)
        else:  # "Create new ..." and the like
            box.view().clicked.emit(index)
        self.processEvents()

    def _usable(self, widget: Any) -> None:
        assert widget.visible, f"{widget.objectName} is not visible"
        assert widget.enabled, f"{widget.objectName} is not enabled; its tooltip: {widget.toolTip}"

    def wait(self, predicate: Callable[[], Any], seconds: float = 20.0) -> Any:
        """Run the event loop until ``predicate()`` is true, and return it.

        AssertionError after ``patient(seconds)``: a guard against hanging, no measure of speed.
        """
        seconds = patient(seconds)
        end = time.monotonic() + seconds
        while True:
            self.app.processEvents(QtCore.QEventLoop.AllEvents, 10)
            value = predicate()
            if value:
                return value
            if time.monotonic() > end:
                raise AssertionError(f"nothing happened within {seconds:g} s")
            time.sleep(0.001)

    def gaps(self) -> GapMonitor:
        """Measures how long the event loop is held up: ``with host.gaps() as gaps: ...; gaps.largest``."""
        return GapMonitor()

    def legendsShown(self, view: str = "Red") -> list[Any]:
        """Display nodes of the colour legends that are seen in a slice view."""
        return list(self.layoutManager.sliceWidget(view)._legendsShown())

    def screenshot(self, widget: Any, path: str | Path) -> Path:
        """Write what ``widget`` (a widget, or a module's Python widget) shows as PNG."""
        shown = widget if isinstance(widget, QtWidgets.QWidget) else widget.parent
        self.processEvents()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        picture: QtGui.QPixmap = shown.grab()
        assert picture.save(str(path)), f"{path} could not be written"
        return Path(path)


def _inner(widget: Any) -> Any:
    """The plain Qt widget that takes the mouse and the keys."""
    for name in ("_header", "_combo", "_box", "_edit"):
        inner = getattr(widget, name, None)
        if isinstance(inner, QtWidgets.QWidget):
            return inner.lineEdit() if name == "_edit" else inner
    return widget


def _clickSpot(button: Any) -> QtCore.QPoint:
    target = _inner(button)
    centre = target.rect.center()
    if isinstance(target, QtWidgets.QCheckBox | QtWidgets.QRadioButton):
        return QtCore.QPoint(8, centre.y())  # only the indicator and the text take clicks
    return centre


def _row(box: Any, choice: Any) -> int:
    if choice is None:
        return next((row for row in range(box.count) if box.itemData(row) is None and box.itemText(row)), -1)
    return box.findData(choice.GetID()) if hasattr(choice, "GetID") else box.findText(choice)


def install(scene: Any = None, window: bool = True) -> Host:
    """Put qt, ctk and the application's part of slicer into Python, around ``scene``.

    Args:
        scene: a ``HeadlessScene``; a new one if None.
        window: whether there are a main window and slice views; without, as after ``Slicer --no-main-window``.
    """
    if scene is None:
        if str(MODULES) not in sys.path:
            sys.path.insert(0, str(MODULES))
        from JointRegistrationMRML.scene.headless import createHeadlessScene

        scene = createHeadlessScene()
    return Host(scene, window)
