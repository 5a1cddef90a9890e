"""Mouse and keyboard through the X server; only where a control is on the screen is asked in the application.

A click that another window or widget would get is refused: a person could not make it either.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any

import qt
import slicer

from .pump import Doing

#: Variables by which the application finds its own libraries; xdotool needs the system's.
_APPLICATIONS_OWN = ("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONHOME", "PYTHONPATH")


class Hands:
    """One mouse and one keyboard."""

    def __init__(self) -> None:
        self._environment = {k: v for k, v in os.environ.items() if k not in _APPLICATIONS_OWN}

    def click(self, widget: Any, at: Any = None, button: int = 1) -> Doing:
        """Click a control, in its middle or ``at`` a point of it."""
        yield from self.show(widget)
        yield lambda: widget.enabled
        point = self.onScreen(widget, at)
        if not isWithin(slicer.app.widgetAt(point), widget):
            yield lambda: isWithin(slicer.app.widgetAt(self.onScreen(widget, at)), widget)
            point = self.onScreen(widget, at)
        yield from self.clickAt(point.x(), point.y(), button)

    def clickAt(self, x: int, y: int, button: int = 1) -> Doing:
        """Click a point of the screen."""
        yield from self._do("mousemove", x, y)
        yield from pause(50)
        yield from self._do("click", button)
        yield from pause(50)

    def moveTo(self, widget: Any, at: Any = None) -> Doing:
        """Move the mouse there."""
        point = self.onScreen(widget, at)
        yield from self._do("mousemove", point.x(), point.y())

    def keys(self, *names: str) -> Doing:
        """Press keys by their X names, for example ``"ctrl+f"``."""
        yield from self._do("key", "--clearmodifiers", *names)
        yield from pause(50)

    def type(self, text: str) -> Doing:
        """Type a text."""
        yield from self._do("type", "--clearmodifiers", "--delay", "15", text)
        yield from pause(50)

    def show(self, widget: Any) -> Doing:
        """Scroll the control into view, where it lies in something that scrolls."""
        yield lambda: widget.visible
        area = widget.parentWidget()
        while area is not None and not area.inherits("QScrollArea"):
            area = area.parentWidget()
        if area is not None:
            area.ensureWidgetVisible(widget)
            yield from pause(50)

    def onScreen(self, widget: Any, at: Any = None) -> Any:
        """A point of a control, in pixels of the screen."""
        point = qt.QPoint(*(at or _spot(widget)))
        return widget.mapToGlobal(point)

    def run(self, *words: Any) -> Doing:
        """Run a program of the system, and wait for it."""
        process = subprocess.Popen([*map(str, words)], env=self._environment, stderr=subprocess.PIPE)
        yield lambda: process.poll() is not None
        if process.returncode:
            raise RuntimeError(f"{' '.join(map(str, words))}: {process.stderr.read().decode()}")

    def _do(self, *words: Any) -> Doing:
        yield from self.run("xdotool", *words)


def pause(milliseconds: int) -> Doing:
    """Let the application go on for a while."""
    over: list[bool] = []
    qt.QTimer.singleShot(milliseconds, lambda: over.append(True))
    yield lambda: over


def isWithin(found: Any, widget: Any) -> bool:
    """Whether a widget is ``widget``, or lies in it."""
    return found is not None and (found == widget or widget.isAncestorOf(found))


def _spot(widget: Any) -> tuple[int, int]:
    """Where a person would click: check boxes at their box, sections at their title."""
    if widget.inherits("QCheckBox"):
        return 8, widget.height // 2
    if widget.inherits("ctkCollapsibleButton"):
        return widget.width // 3, 10
    return widget.width // 2, widget.height // 2
