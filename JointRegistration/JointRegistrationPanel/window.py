"""The application's window: kept alive during work in steps, and its views fitted to what they show."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import qt
import slicer

from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML.inspection.comparison import pairSteps

T = TypeVar("T")


def drawnApart(steps: Generator[Any, None, T]) -> Generator[None, None, T]:
    """The same steps, within which no view draws: the views draw after each, one in each turn of the event loop.

    By itself a view of the application draws in the middle of a call that changes what it shows, several times in a
    step that has several such calls, and after the step all views draw in one turn.
    """
    result, ended = None, False
    while not ended:
        paused = _pausedViews()
        try:
            try:
                next(steps)
            except StopIteration as end:
                result, ended = end.value, True
            yield from _drawSteps(paused)
        except GeneratorExit:
            steps.close()
            raise
        finally:  # of a step that failed, or was the last to be wanted
            finished(_drawSteps(paused))
    return result  # type: ignore[return-value]


def _pausedViews() -> list[Any]:
    """Slice and 3D views, none of which draws until :func:`_drawSteps`."""
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:
        return []
    views = [layoutManager.sliceWidget(name) for name in layoutManager.sliceViewNames()]
    views += [layoutManager.threeDWidget(index) for index in range(layoutManager.threeDViewCount)]
    for view in views:
        view.setRenderPaused(True)
    return views


def _drawSteps(paused: list[Any]) -> Generator[None, None, None]:
    """Let paused views draw what they have to, one in each step; the list is emptied."""
    while paused:
        yield
        paused.pop(0).setRenderPaused(False)
    yield


def still(work: Callable[[], Any]) -> None:
    """Do at once what changes views; they draw afterwards, as with :func:`drawnApart`."""
    paused = _pausedViews()
    try:
        work()
    finally:
        turns = Turns(_drawSteps(paused), lambda: _drawing.discard(turns), apart=False)
        _drawing.add(turns)


def alive(steps: Generator[Any, None, T]) -> T:
    """Take all steps, and let the window draw and react after each; what they return.

    A person can press buttons meanwhile: whoever calls this guards against what must not happen then.
    """
    return finished(drawnApart(steps), after=slicer.app.processEvents)


class Turns:
    """Takes a step in each turn of the event loop, and then calls ``done``.

    Args:
        steps: what is to be done; see :func:`drawnApart`.
        done: called after the last step; not if :meth:`stop` was called before.
        apart: let views draw between the steps, see :func:`drawnApart`.
    """

    def __init__(
        self, steps: Generator[Any, None, Any], done: Callable[[], Any] = lambda: None, apart: bool = True
    ) -> None:
        self._steps, self._done = drawnApart(steps) if apart else steps, done
        self._timer = qt.QTimer()
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._step)
        self._timer.start()

    @property
    def active(self) -> bool:
        """Return whether there is something left to do."""
        return bool(self._timer.active)

    def finish(self) -> None:
        """Do the rest at once, but for ``done``."""
        self._timer.stop()
        finished(self._steps)

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


#: What is still to be drawn after :func:`still`: nobody else holds it.
_drawing: set[Turns] = set()


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
