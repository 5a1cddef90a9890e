"""The panel's latest notice, and the ways out that problems and failures offer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from JointRegistrationLib.core.errors import CheckpointError, JointRegistrationError, OutOfMemory
from JointRegistrationMRML.checks.problems import Problem
from JointRegistrationMRML.checks.remedies import applyRemedy
from JointRegistrationMRML.scene.transaction import RunRecord, discardSteps

from ..inputs.parameters import inputNodes, parametersFromConfig
from ..messages import Message
from ..text import _, sentence
from ..window import alive

_COARSEST_MILLIONS = 0.05


class Remedies:
    """Applies remedies to the parameters of ``getParameters`` and to ``scene``; ``changed`` is called after each."""

    def __init__(self, scene: Any, getParameters: Callable[[], Any], changed: Callable[[], None]) -> None:
        self._scene, self._getParameters, self._changed = scene, getParameters, changed
        self.notice: Message | None = None

    def failure(self, error: JointRegistrationError) -> None:
        """Say why a run failed, and offer what may help."""
        text = sentence(_inPanelWords(str(error)))
        if isinstance(error, OutOfMemory):
            self.notice = Message("error", text, _("Reduce the resolution"), self._reduceResolution)
        elif isinstance(error, CheckpointError):
            self.notice = Message("error", text, _("Use optimisation"), lambda: self._set("method", "vsvf-opt"))
        elif "check_side" in str(error):
            self.notice = Message("error", text, _("Register all the same"), lambda: self._set("checkSide", False))
        else:
            self.failed(str(error))

    def failed(self, text: str) -> None:
        """Say why something failed for which there is no way out here."""
        self.notice = Message("error", sentence(_inPanelWords(text)))

    def done(self, text: str, *records: RunRecord) -> None:
        """Say what was done to the scene, and offer to take it back."""
        self.notice = Message("info", text, _("Undo"), lambda: self._undo(records))

    def solve(self, problem: Problem) -> None:
        """Take the way out that a problem offers."""
        done = applyRemedy(self._scene, problem, inputNodes(self._getParameters()))
        self.notice = None
        if done.config is not None:
            self._set("workingMillions", parametersFromConfig(done.config)["workingMillions"])
        if done.record is not None:
            self.done(_("The moving volume was put onto the middle of the fixed one."), done.record)
        self._changed()

    def _reduceResolution(self) -> None:
        millions = self._getParameters().workingMillions
        self._set("workingMillions", max(_COARSEST_MILLIONS, round(millions / 4, 2)))

    def _set(self, name: str, value: Any) -> None:
        self.notice = None
        setattr(self._getParameters(), name, value)
        self._changed()

    def _undo(self, records: Sequence[RunRecord]) -> None:
        self.notice = None  # its button is gone before the window reacts again
        self._changed()
        kept = [name for record in reversed(records) for name in alive(discardSteps(self._scene, record))]
        if kept:
            text = _("These stay, because they were edited: {names}.").format(names=", ".join(kept))
            self.notice = Message("info", text)
        self._changed()


#: Settings that messages name, in the panel's words.
_SETTINGS = {
    "preprocess.max_working_voxels": _("the working resolution (Advanced)"),
    "affine.initialization": _("the initial transform (More inputs)"),
    "network.side": _("the knee (Advanced)"),
}


def _inPanelWords(text: str) -> str:
    """``text`` without the brackets that name options of the command line, and with the panel's names of settings."""
    text = re.sub(r" \([^()]*--[^()]*\)", "", text)
    for name, words in _SETTINGS.items():
        text = text.replace(name, words)
    return text
