"""The two point lists of landmark pairs: made, and filled by clicks in the slice views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk
from slicer.util import VTKObservationMixin

from JointRegistrationMRML.inspection import placing
from JointRegistrationMRML.scene.view_state import ViewRecord

from ..messages import markOpen
from ..text import _
from ..window import still

#: Name of a new list, by the image it belongs to.
NAMES = {"fixed": "Fixed landmarks", "moving": "Moving landmarks"}


#: What is not shown while points are placed.
_OVER_THE_IMAGES = ("fixedSegmentation", "movingSegmentation", "warpedSegmentationNode", "foldsNode")


class LandmarkLists(VTKObservationMixin):
    """The buttons *Place* beside the two selectors, and what the panel has to know of points.

    Args:
        ui: the form.
        scene: the application's scene.
        choose: called with a parameter and its new value.
        changed: called when points were placed, moved to another list or taken away.
    """

    def __init__(self, ui: Any, scene: Any, choose: Callable[[str, Any], None], changed: Callable[[], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._scene, self._choose, self._changed = scene, choose, changed
        self._buttons = {"fixed": ui.placeFixedButton, "moving": ui.placeMovingButton}
        self._parameters: Any = None
        self._followed: list[Any] = []
        self._placing, self._views = "", ViewRecord()
        for which, button in self._buttons.items():
            button.clicked.connect(lambda checked=False, which=which: self._onButton(which))
            selector = getattr(ui, f"{which}LandmarksSelector")
            selector.connect("nodeAddedByUser(vtkMRMLNode*)", lambda node, which=which: self._onAdded(which, node))

    def show(self, parameters: Any, running: bool = False) -> None:
        """Bring the buttons up to date; None for no parameters. A run, or another mouse mode, ends the placing."""
        self._parameters = parameters
        self._follow()
        placed = None if not self._placing else self._list(self._placing)
        if self._placing and (running or not placing.isPlacing(self._scene, placed)):
            self._stop()
        for which, button in self._buttons.items():
            button.setEnabled(self._volume(which) is not None)
            button.setText(_("Done") if which == self._placing else _("Place"))
            markOpen(button, which == self._placing)

    def _list(self, which: str) -> Any:
        return getattr(self._parameters, f"{which}Landmarks", None)

    def _volume(self, which: str) -> Any:
        return getattr(self._parameters, f"{which}Volume", None)

    # -- placing --------------------------------------------------------------------------------------------

    def _onButton(self, which: str) -> None:
        still(lambda: self._change(which))
        self.show(self._parameters)

    def _change(self, which: str) -> None:
        again = which == self._placing
        self._stop()
        if not again and self._volume(which) is not None:
            self._start(which)

    def _start(self, which: str) -> None:
        volume = self._volume(which)
        if self._list(which) is None:
            self._choose(f"{which}Landmarks", placing.newLandmarks(self._scene, NAMES[which], which, volume))
        over = [getattr(self._parameters, name) for name in _OVER_THE_IMAGES]
        self._views = placing.startPlacing(self._scene, self._list(which), volume, over)
        self._placing = which

    def _stop(self) -> None:
        if self._placing:
            self._placing = ""
            placing.stopPlacing(self._scene, self._views)

    def _onAdded(self, which: str, node: Any) -> None:
        """A person made a list by the selector's own menu."""
        placing.attachLandmarks(node, which, self._volume(which))

    # -- what changes meanwhile -------------------------------------------------------------------------------

    def _follow(self) -> None:
        lists = [] if self._parameters is None else [node for which in NAMES if (node := self._list(which)) is not None]
        followed = lists if self._parameters is None else [*lists, placing.modeNode(self._scene)]
        if followed == self._followed:
            return
        self.removeObservers()
        self._followed = followed
        for node in {node.GetID(): node for node in lists}.values():
            for event in (node.PointPositionDefinedEvent, node.PointPositionUndefinedEvent, node.PointRemovedEvent):
                self.addObserver(node, event, self._onChanged)
        if self._parameters is not None:
            self.addObserver(placing.modeNode(self._scene), vtk.vtkCommand.ModifiedEvent, self._onChanged)

    def _onChanged(self, caller: Any = None, event: Any = None) -> None:
        self._changed()
