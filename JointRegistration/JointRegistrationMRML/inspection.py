"""Inspecting one run: views by name, opened and closed in any order, each leaving the scene as it was.

Example::

    inspection = Inspection(scene, outputs)
    view = inspection.open("jacobian", halfRange=0.5)
    inspection.open("contours", surfaces=True)  # another group: both are shown
    inspection.open("checkerboard")  # the same group as the Jacobian, which is closed
    inspection.closeAll()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from JointRegistrationLib.errors import InputError

from .agreement import openAgreement
from .folds import Fold, foldsOf, openFolds
from .inspect_deformation import openArrows, openGrid
from .inspect_images import openCheckerboard, openDifference, openEdges, openFlicker, openSideBySide
from .inspect_jacobian import openJacobian
from .inspect_segments import openContours
from .navigation import centreViews
from .open_view import OpenView, closeView
from .read_out import ReadOut, readOut
from .show import ViewRecord, restoreViews
from .translation import _

if TYPE_CHECKING:
    from .publish import RegistrationOutputs


@dataclass(frozen=True)
class ViewKind:
    """A view that can be opened. Of one group only one is open: views of a group change the same things."""

    title: str
    group: str
    open: Callable[..., OpenView]


VIEWS = {
    "jacobian": ViewKind(_("Volume change"), "layers", openJacobian),
    "checkerboard": ViewKind(_("Checkerboard"), "layers", openCheckerboard),
    "difference": ViewKind(_("Difference"), "layers", openDifference),
    "edges": ViewKind(_("Edges"), "layers", openEdges),
    "flicker": ViewKind(_("Flicker"), "layers", openFlicker),
    "sideBySide": ViewKind(_("Side by side"), "layers", openSideBySide),
    "contours": ViewKind(_("Outlines"), "segments", openContours),
    "agreement": ViewKind(_("Agreement"), "segments", openAgreement),
    "folds": ViewKind(_("Folds"), "folds", openFolds),
    "grid": ViewKind(_("Grid lines"), "deformation", openGrid),
    "arrows": ViewKind(_("Arrows"), "deformation", openArrows),
}


class Inspection:
    """What is being looked at of one run.

    Args:
        scene: the outputs' scene.
        outputs: of the run.
    """

    def __init__(self, scene: Any, outputs: RegistrationOutputs) -> None:
        self._scene, self._outputs = scene, outputs
        self._open: dict[str, OpenView] = {}
        self._folds: list[Fold] | None = None
        self._fold = -1
        self._covers = ViewRecord()

    def open(self, name: str, **options: Any) -> OpenView:
        """Open one of :data:`VIEWS`, with its function's options; a view of its group that is open is closed.

        Raises:
            InputError: if there is no such view, or the run has not what it shows; its group is closed then.
        """
        if name not in VIEWS:
            raise InputError(f"view {name!r} is unknown; choose one of {', '.join(VIEWS)}")
        for other in [other for other in self._open if VIEWS[other].group == VIEWS[name].group]:
            self.close(other)
        self._open[name] = VIEWS[name].open(self._scene, self._outputs, **options)
        self._uncover()
        return self._open[name]

    def view(self, name: str) -> OpenView | None:
        """The view of that name while it is open."""
        return self._open.get(name)

    @property
    def names(self) -> list[str]:
        """Of the views that are open."""
        return list(self._open)

    def close(self, name: str) -> None:
        """Close a view; harmless if it is not open."""
        view = self._open.pop(name, None)
        if view is not None:
            closeView(view)
        if not self._open:
            restoreViews(self._scene, self._covers)

    def _uncover(self) -> None:
        """While a view is open, the run's own segmentations are not drawn in the slices: they would cover it."""
        inputs, nodes = self._outputs.inputs, self._outputs.nodes
        for node in (inputs.fixedSegmentation, inputs.movingSegmentation, nodes.warpedSegmentation):
            display = None if node is None or node.GetScene() is not self._scene else node.GetDisplayNode()
            if display is not None:
                self._covers.change(display, display.GetVisibility2D, display.SetVisibility2D, 0)

    def closeAll(self) -> None:
        """Close every view."""
        for name in reversed(self.names):
            self.close(name)

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
