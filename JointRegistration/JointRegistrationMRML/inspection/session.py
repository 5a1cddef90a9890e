"""Inspecting one run: views by name, opened and closed in any order, each leaving the scene as it was.

Example::

    inspection = Inspection(scene, outputs)
    view = inspection.open("jacobian", halfRange=0.5)
    inspection.open("contours", surfaces=True)  # another group: both are shown
    inspection.open("checkerboard")  # the same group as the Jacobian, which is closed
    inspection.closeAll()
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.progress import finished

from ..measure.folds import Fold, foldsOf
from ..mrml import Scene
from ..run.registration_nodes import RegistrationOutputs
from ..scene.view_state import ViewRecord, centreViews, restoreSteps, restoreViews
from ..translation import _
from .agreement import agreementSteps
from .deformation import arrowSteps, gridSteps
from .images import checkerboardSteps, differenceSteps, edgeSteps, flickerSteps, sideBySideSteps
from .outlines import contourSteps
from .read_out import ReadOut, readOut
from .view import OpenView, closeSteps
from .volume_change import foldSteps, jacobianSteps


@dataclass(frozen=True)
class ViewKind:
    """A view that can be opened. Of one group only one is open: views of a group change the same things.

    ``steps`` opens it, with pauses in which a window stays alive.
    """

    title: str
    group: str
    steps: Callable[..., Generator[None, None, OpenView]]


#: By the names that :meth:`Inspection.open` takes.
VIEWS = {
    "jacobian": ViewKind(_("Volume change"), "layers", jacobianSteps),
    "checkerboard": ViewKind(_("Checkerboard"), "layers", checkerboardSteps),
    "difference": ViewKind(_("Difference"), "layers", differenceSteps),
    "edges": ViewKind(_("Edges"), "layers", edgeSteps),
    "flicker": ViewKind(_("Flicker"), "layers", flickerSteps),
    "sideBySide": ViewKind(_("Side by side"), "layers", sideBySideSteps),
    "contours": ViewKind(_("Outlines"), "segments", contourSteps),
    "agreement": ViewKind(_("Agreement"), "segments", agreementSteps),
    "folds": ViewKind(_("Folds"), "folds", foldSteps),
    "grid": ViewKind(_("Grid lines"), "deformation", gridSteps),
    "arrows": ViewKind(_("Arrows"), "deformation", arrowSteps),
}


class Inspection:
    """What is being looked at of one run.

    Args:
        scene: the outputs' scene.
        outputs: of the run.
    """

    def __init__(self, scene: Scene, outputs: RegistrationOutputs) -> None:
        self._scene, self._outputs = scene, outputs
        self._open: dict[str, OpenView] = {}
        self._opening: Generator[None, None, OpenView] | None = None
        self._folds: list[Fold] | None = None
        self._fold = -1
        self._covers = ViewRecord()

    def open(self, name: str, **options: Any) -> OpenView:
        """Open one of :data:`VIEWS`, with its function's options; a view of its group that is open is closed.

        Raises:
            InputError: if there is no such view, or the run has not what it shows; its group is closed then.
        """
        view = finished(self.openSteps(name, **options))
        assert view is not None  # nothing can close it meanwhile
        return view

    def openSteps(self, name: str, **options: Any) -> Generator[None, None, OpenView | None]:
        """:meth:`open` with pauses in which a window stays alive; None if all views were closed meanwhile."""
        if name not in VIEWS:
            raise InputError(f"view {name!r} is unknown; choose one of {', '.join(VIEWS)}")
        for other in [other for other in self._open if VIEWS[other].group == VIEWS[name].group]:
            yield from self._closeSteps(other)
        self._opening, view = VIEWS[name].steps(self._scene, self._outputs, **options), None
        try:
            view = yield from self._opening  # None if it is closed
        finally:
            self._opening = None
            if view is None and not self._open:
                restoreViews(self._scene, self._covers)
        if view is None:
            return None
        self._open[name] = view
        yield from self._uncover()
        return self._open.get(name)

    def view(self, name: str) -> OpenView | None:
        """The view of that name while it is open."""
        return self._open.get(name)

    @property
    def names(self) -> list[str]:
        """Of the views that are open."""
        return list(self._open)

    def close(self, name: str) -> None:
        """Close a view; harmless if it is not open."""
        finished(self.closeSteps(name))

    def closeSteps(self, *names: str) -> Generator[None, None, None]:
        """:meth:`close` views one by one, with pauses in which a window stays alive."""
        for name in names:
            yield from self._closeSteps(name)
        if not self._open:
            yield from restoreSteps(self._scene, self._covers)

    def _closeSteps(self, name: str) -> Generator[None, None, None]:
        view = self._open.pop(name, None)
        if view is not None:
            yield from closeSteps(view)

    def _uncover(self) -> Generator[None, None, None]:
        """While a view is open, the run's own segmentations are not drawn in the slices: they would cover it."""
        inputs, nodes = self._outputs.inputs, self._outputs.nodes
        for node in (inputs.fixedSegmentation, inputs.movingSegmentation, nodes.warpedSegmentation):
            display = None if node is None or node.GetScene() is not self._scene else node.GetDisplayNode()
            if display is not None and display.GetVisibility2D():
                self._covers.change(display, display.GetVisibility2D, display.SetVisibility2D, 0)
                yield

    def closeAll(self) -> None:
        """Close every view, also one that is being opened."""
        if self._opening is not None:
            self._opening.close()
        finished(self.closeSteps(*reversed(self.names)))

    @property
    def broken(self) -> list[str]:
        """Views that are open and of which somebody deleted a part, as in the Data module."""
        return [name for name, view in self._open.items() if not view.isWhole]

    @property
    def folds(self) -> Sequence[Fold]:
        """The run's folds, the largest first."""
        if self._folds is None:
            result = self._outputs.result
            self._folds = foldsOf(result.jacobian_determinant, result.fixed_grid)
        return self._folds

    def goToFold(self, index: int) -> Fold | None:
        """Centre the slice views on a fold; None if there is none. The views stay there after closing."""
        if not self.folds:
            return None
        self._fold = index % len(self.folds)
        centreViews(self._scene, self.folds[self._fold].position_ras)
        return self.folds[self._fold]

    def nextFold(self) -> Fold | None:
        """Go to the next fold, and after the last one to the first."""
        return self.goToFold(self._fold + 1)

    def readOut(self, ras: Sequence[float]) -> ReadOut | None:
        """See :func:`.read_out.readOut`."""
        return readOut(ras, self._outputs)
