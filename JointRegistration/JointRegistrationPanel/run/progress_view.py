"""The progress bar, its line of words, and the log."""

from __future__ import annotations

from typing import Any

from JointRegistrationLib.worker.client import NOT_ANSWERING

from ..text import _, breakable, duration

#: Names of the library's stages as a person reads them.
_STAGES = {
    "preparing": _("Preparing the images"),
    "starting the registration process": _("Starting the registration process"),
    "affine": _("Affine transform"),
    "deformable": _("Deformation"),
    "network": _("Networks"),
    "refining": _("Refinement"),
    "finishing": _("Transforms on the images' own voxels"),
    "segmenting fixed": _("Bones and cartilage of the fixed volume"),
    "segmenting moving": _("Bones and cartilage of the moving volume"),
    "segments": _("Segments on the fixed volume's voxels"),
    "adding the results": _("Adding the results to the scene"),
    "cancelling": _("Cancelling"),
    NOT_ANSWERING: _("No answer from the registration process; wait, or cancel and close other programs"),
    "sample": _("Making two knees; this takes about 20 s, once"),
}


def stageText(stage: str) -> str:
    """A stage's name; one that is new to the panel shows itself."""
    return _STAGES.get(stage, stage[:1].upper() + stage[1:])


class ProgressView:
    """Shows how far a run is."""

    def __init__(self, ui: Any) -> None:
        self._bar, self._label, self._log = ui.progressBar, ui.stageLabel, ui.logText
        self.idle()

    def idle(self, text: str = "") -> None:
        """No run: the bar goes, ``text`` stays."""
        self._bar.setVisible(False)
        self._bar.setRange(0, 1000)
        self._bar.setValue(0)
        self._label.setText(breakable(text))
        self._label.setVisible(bool(text))

    def show(self, stage: str, fraction: float | None = None, secondsLeft: float | None = None) -> None:
        """A stage, and the share of the whole run that is done, if it is known."""
        parts = [stageText(stage)]
        if fraction is None:
            self._bar.setRange(0, 0)  # moving: how long it takes is unknown
        else:
            self._bar.setRange(0, 1000)
            self._bar.setValue(round(1000 * fraction))
            parts.append(_("{percent} %").format(percent=round(100 * fraction)))
        if secondsLeft is not None:
            parts.append(_("about {time} left").format(time=duration(secondsLeft)))
        self._bar.setVisible(True)
        self._label.setVisible(True)
        self._label.setText(", ".join(parts))

    def log(self, text: str) -> None:
        """A line for the log."""
        self._log.appendPlainText(text)
