"""The button *Find bones and cartilage*: a segmentation for each volume that has none, found in the worker."""

from __future__ import annotations

from typing import Any

from JointRegistrationLib.core.errors import JointRegistrationError, RegistrationCancelled
from JointRegistrationLib.core.progress import Progress
from JointRegistrationLib.core.structures import SEGMENTER_WEIGHTS
from JointRegistrationMRML.run.finding import FindingJob
from JointRegistrationMRML.run.found import FoundStructures
from JointRegistrationMRML.scene.transaction import discard

from ..text import _, escaped, sentence
from .shown_run import ShownRun

_SIDES = ("fixed", "moving")


def sidesToFind(parameters: Any) -> list[str]:
    """Return the sides, "fixed" and "moving", whose volume is chosen and whose segmentation is not."""
    return [
        side
        for side in _SIDES
        if getattr(parameters, f"{side}Volume") is not None and getattr(parameters, f"{side}Segmentation") is None
    ]


class Findings(ShownRun[FoundStructures]):
    """Finds bones and cartilage on one side after the other; what is found is chosen. See the base for the arguments.

    A cancel takes back what was found on the first side too; after a failure on the second one it stays.
    """

    _waiting: tuple[tuple[str, Any], ...] = ()
    _made: tuple[FoundStructures, ...] = ()
    _side = ""

    def find(self) -> None:
        """Begin with the first of the sides that have no segmentation."""
        parameters = self._getParameters()
        self._sections.remedies.notice = None
        self._waiting = tuple((side, getattr(parameters, f"{side}Volume")) for side in sidesToFind(parameters))
        self._made = ()
        self._next()

    def show(self, parameters: Any, running: bool) -> None:
        """Bring the button up to date; while something runs, the section that it is in cannot be used."""
        chosen = [side for side in _SIDES if getattr(parameters, f"{side}Volume") is not None]
        self._ui.findRow.setVisible(bool(chosen))
        sides = sidesToFind(parameters)
        there = SEGMENTER_WEIGHTS.is_file()
        self._ui.findButton.setEnabled(there and bool(sides) and not running)
        if not there:
            text = _("The network that finds them is missing: {path}. Install the extension again.")
            text = text.format(path=SEGMENTER_WEIGHTS)
        elif not sides:
            text = _("The chosen volumes have a segmentation each (More inputs). Choose None there to have one found.")
        else:
            text = _("Find femur, tibia, patella and their cartilages in: {names}. The result can be edited.")
            text = text.format(names=", ".join(getattr(parameters, f"{side}Volume").GetName() for side in sides))
        self._ui.findButton.setToolTip(f"<p>{escaped(text)}</p>")

    def _next(self) -> None:
        """Go on with the next side whose volume is still chosen, or say what was found."""
        parameters = self._getParameters()
        while self._waiting and parameters is not None:
            (self._side, volume), *rest = self._waiting
            self._waiting = tuple(rest)
            if getattr(parameters, f"{self._side}Volume") is volume:
                self._search(volume, parameters.device)
                return
        self._sections.progress.idle()
        if self._made:
            self._sections.remedies.done(self._words(), *(made.record for made in self._made))
        self._refresh()

    def _search(self, volume: Any, device: str) -> None:
        self._begin(lambda *control: FindingJob(self._scene, volume, device, *control))

    def _words(self) -> str:
        """What there is to say of what was found."""
        parts = [_("What was found is a proposal: look at it, and edit it in the Segment Editor where it is wrong.")]
        for unsure in dict.fromkeys(made.unsure for made in self._made if made.unsure):
            names = [made.volume.GetName() for made in self._made if made.unsure == unsure]
            text = _("Unsure in {names}: {structures}.")
            parts.append(text.format(names=", ".join(names), structures=", ".join(unsure)))
        return " ".join(parts)

    # -- told of the search -------------------------------------------------------------------------------

    def onProgress(self, progress: Progress) -> None:
        """Show how far it is; with two sides, the second half belongs to the second one."""
        stage = f"segmenting {self._side}" if progress.stage == "segmenting" else progress.stage
        done, count = len(self._made), len(self._made) + 1 + len(self._waiting)
        left = None if self._waiting else progress.seconds_left
        self._sections.progress.show(stage, (done + progress.fraction) / count, left)

    def onDone(self, outcome: FoundStructures) -> None:
        """A segmentation is in the scene: it is chosen."""
        self._made += (outcome,)
        parameters = self._getParameters()
        if parameters is not None:
            setattr(parameters, f"{self._side}Segmentation", outcome.node)
        self._next()

    def onFailed(self, error: JointRegistrationError) -> None:
        """Take back what the same click has found already, if it was cancelled."""
        self._waiting = ()
        if isinstance(error, RegistrationCancelled) and self._getParameters() is not None:  # not if the scene closes
            for made in reversed(self._made):
                discard(self._scene, made.record)
            self._made = ()
        super().onFailed(error)

    def _explain(self, error: JointRegistrationError) -> None:
        self._sections.remedies.failed(" ".join([sentence(str(error)), *([self._words()] if self._made else [])]))
