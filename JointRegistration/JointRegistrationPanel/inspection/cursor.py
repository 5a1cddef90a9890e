"""The line that says what lies under the mouse pointer, or else under the crosshair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

#: The pointer moves more often than a person reads, ms.
_EVERY_MS = 50


class CursorReadOut(VTKObservationMixin):
    """Follows the crosshair node of a scene.

    Args:
        scene: the application's scene.
        read: the text for a point, world RAS mm.
        show: shows a text.
    """

    def __init__(self, scene: Any, read: Callable[[Sequence[float]], str], show: Callable[[str], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._scene, self._read, self._show = scene, read, show
        self._crosshair: Any = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_EVERY_MS)
        self._timer.connect("timeout()", self.update)

    def follow(self, wanted: bool) -> None:
        """Begin or stop; also to be called when the scene has changed: Slicer may make the crosshair late."""
        crosshair = self._scene.GetFirstNodeByClass("vtkMRMLCrosshairNode") if wanted else None
        if crosshair is self._crosshair:
            return
        self.removeObservers()
        self._timer.stop()
        self._crosshair = crosshair
        if crosshair is not None:
            for event in (slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, vtk.vtkCommand.ModifiedEvent):
                self.addObserver(crosshair, event, self._onMoved)
            self.update()

    def _onMoved(self, caller: Any = None, event: Any = None) -> None:
        if not self._timer.active:
            self._timer.start()

    def update(self) -> None:
        """Read the place where pointer or crosshair are now."""
        if self._crosshair is None:
            return
        ras = [0.0, 0.0, 0.0]
        if not self._crosshair.GetCursorPositionRAS(ras):
            ras = list(self._crosshair.GetCrosshairRAS())
        self._show(self._read(ras))
