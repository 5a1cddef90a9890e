"""The application's window: kept alive during work in steps, and its views fitted to what they show."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import qt
import slicer

from JointRegistrationMRML.inspection.comparison import pairSteps
from JointRegistrationMRML.pauses import finished

T = TypeVar("T")


def alive(steps: Generator[Any, None, T]) -> T:
    """Take all steps, and let the window draw and react after each; what they return.

    A person can press buttons meanwhile: whoever calls this guards against what must not happen then.
    """
    return finished(steps, after=slicer.app.processEvents)


class Turns:
    """Takes a step in each turn of the event loop, and then calls ``done``.

    Args:
        steps: what is to be done.
        done: called after the last step; not if :meth:`stop` was called before.
    """

    def __init__(self, steps: Generator[Any, None, Any], done: Callable[[], None]) -> None:
        self._steps, self._done = steps, done
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._step)
        self._timer.start()

    @property
    def active(self) -> bool:
        """Whether there is something left to do."""
        return bool(self._timer.active)

    def stop(self) -> None:
        """Leave the rest."""
        self._timer.stop()
        self._steps.close()

    def _step(self) -> None:
        try:
            next(self._steps)
        except StopIteration:
            self._timer.stop()
            self._done()


def showVolumes(fixed: Any, moving: Any) -> None:
    """Lay a moving volume over a fixed one in the slice views, and fit them, with the window alive."""
    alive(pairSteps(slicer.mrmlScene, fixed, moving))
    alive(fitSteps())


def fitSteps() -> Generator[None, None, None]:
    """Let the slice views show their volumes whole, with a pause after each view."""
    layoutManager = slicer.app.layoutManager()
    for name in () if layoutManager is None else layoutManager.sliceViewNames():
        layoutManager.sliceWidget(name).fitSliceToBackground()
        yield


def showAll3D() -> None:
    """Let the 3D views show everything in them, once a new layout has given them their size."""
    qt.QTimer.singleShot(0, _resetCameras)


def _resetCameras() -> None:
    layoutManager = slicer.app.layoutManager()
    for index in range(0 if layoutManager is None else layoutManager.threeDViewCount):
        view = layoutManager.threeDWidget(index).threeDView()
        view.resetFocalPoint()
        view.resetCamera(False, True, True)
