"""What the panel shows after a run: the figures, the layers in the slice views, and Discard."""

from __future__ import annotations

from typing import Any

import slicer

from JointRegistrationLib.errors import InputError
from JointRegistrationMRML.publish import RegistrationOutputs
from JointRegistrationMRML.show import ViewRecord, showComparison, slicesOf
from JointRegistrationMRML.undo import discard

from .summary import summaryHtml
from .text import _


class ResultsView:
    """The section "Results" of one scene's latest run."""

    def __init__(self, ui: Any) -> None:
        self._section, self._summary = ui.resultsButton, ui.summaryLabel
        self._outputs: RegistrationOutputs | None = None
        self._views: ViewRecord | None = None
        self.clear()

    @property
    def outputs(self) -> RegistrationOutputs | None:
        """The latest run's, while it can be discarded."""
        return self._outputs

    def show(self, scene: Any, outputs: RegistrationOutputs) -> None:
        """Show a run's figures, and its result over the fixed volume in the slice views."""
        self._outputs, self._views = outputs, None
        inputs = outputs.inputs
        name = _("{moving} to {fixed}").format(moving=inputs.moving.GetName(), fixed=inputs.fixed.GetName())
        self._summary.setText(summaryHtml(name, outputs.result, outputs.overlaps))
        self._section.setVisible(True)
        self._section.collapsed = False
        wasEmpty = all(composite.GetBackgroundVolumeID() is None for composite in slicesOf(scene))
        self._views = _laidOver(scene, outputs)
        if wasEmpty and self._views is not None and slicer.app.layoutManager() is not None:
            slicer.util.resetSliceViews()

    def discard(self, scene: Any) -> list[str]:
        """Take away what the run added, and bring back what it changed; names of edited results that stay."""
        outputs, views = self._outputs, self._views
        self.clear()
        if outputs is None:
            return []
        return discard(scene, outputs.record, views)

    def clear(self) -> None:
        """Forget the run; the scene stays as it is."""
        self._outputs = self._views = None
        self._summary.setText("")
        self._section.setVisible(False)


def _laidOver(scene: Any, outputs: RegistrationOutputs) -> ViewRecord | None:
    """Show the warped volume over the fixed one, else the moving volume if it is under the transform."""
    if outputs.nodes.warpedVolume is not None:
        mode = "warped"
    elif outputs.nodes.transform is not None:
        mode = "moving"
    else:
        return None
    try:
        return showComparison(scene, outputs, mode)
    except InputError:  # a volume was removed while the results were added: there is nothing to show
        return None
