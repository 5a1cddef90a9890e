"""What the panel shows after a run: the figures, the layers in the slice views, and Discard."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from JointRegistrationLib.core.errors import InputError
from JointRegistrationMRML.inspection.comparison import comparisonSteps
from JointRegistrationMRML.run.registration_nodes import RegistrationOutputs
from JointRegistrationMRML.scene.transaction import discardSteps
from JointRegistrationMRML.scene.view_state import ViewRecord, slicesOf

from ..text import _
from ..window import fitSteps
from .summary import meaningsHtml, summaryHtml


class ResultsView:
    """The section "Results" of one scene's latest run, and of those that it refined."""

    def __init__(self, ui: Any) -> None:
        self._section, self._summary = ui.resultsButton, ui.summaryLabel
        self._runs: list[tuple[RegistrationOutputs, ViewRecord]] = []  # each one refines the one before
        self.clear()

    @property
    def outputs(self) -> RegistrationOutputs | None:
        """The latest run's, while it can be discarded."""
        return self._runs[-1][0] if self._runs else None

    def showSteps(self, scene: Any, outputs: RegistrationOutputs, further: bool = False) -> Generator[None, None, None]:
        """Show a run's figures, and its result over the fixed volume in the slice views, one after the other.

        Args:
            scene: the run's.
            outputs: the run.
            further: it refined the one shown so far, which Discard then brings back.
        """
        if not further:
            self._runs = []
        self._describe(outputs)
        self._section.collapsed = False
        wasEmpty = all(composite.GetBackgroundVolumeID() is None for composite in slicesOf(scene))
        views = ViewRecord()
        self._runs.append((outputs, views))
        yield
        mode = _modeOf(outputs)
        if mode is None:
            return
        try:
            yield from comparisonSteps(scene, outputs, views, mode)
        except InputError:  # a volume was removed while the results were added: there is nothing to show
            return
        if wasEmpty:
            yield from fitSteps()

    def discardSteps(self, scene: Any) -> Generator[None, None, list[str]]:
        """Take away what the run added, and bring back what it changed; names of edited results that stay.

        A run that refined another one gives way to that.
        """
        if not self._runs:
            return []
        outputs, views = self._runs[-1]
        kept = yield from discardSteps(scene, outputs.record, views)
        runs = self._runs[:-1]
        self.clear()
        if runs:
            self._runs = runs
            self._describe(runs[-1][0])
        return kept

    def clear(self) -> None:
        """Forget the run; the scene stays as it is."""
        self._runs = []
        self._summary.setText("")
        self._section.setVisible(False)

    def _describe(self, outputs: RegistrationOutputs) -> None:
        inputs = outputs.inputs
        name = _("{moving} to {fixed}").format(moving=inputs.moving.GetName(), fixed=inputs.fixed.GetName())
        self._summary.setText(summaryHtml(name, outputs.result, outputs.overlaps))
        self._summary.setToolTip(meaningsHtml(outputs.result, outputs.overlaps))
        self._section.setVisible(True)


def _modeOf(outputs: RegistrationOutputs) -> str | None:
    """The warped volume is laid over the fixed one, else the moving volume if it is under the transform."""
    if outputs.nodes.warpedVolume is not None:
        return "warped"
    return None if outputs.nodes.transform is None else "moving"
