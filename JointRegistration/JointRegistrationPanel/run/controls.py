"""What the panel's controls show, and which of them can be used when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from JointRegistrationMRML.run.register import REFINING_METHODS
from JointRegistrationMRML.run.registration_nodes import RegistrationOutputs

from ..inputs.choices import makeChoices, methodExplanation
from ..inputs.landmark_lists import LandmarkLists
from ..inputs.mask_segments import MaskSegments
from ..inputs.outputs import showWhatIsWanted
from ..messages import Message, MessageRows
from ..text import _, escaped
from .estimate import Judgement, missingInputs


@dataclass(frozen=True)
class PanelState:
    """What the controls follow.

    Args:
        parameters: the panel's.
        judgement: of the inputs.
        running: whether a registration, or a search for bones, is under way.
        made: the latest run's results, while they can be discarded.
        notice: the latest news of a run or remedy; None for none.
        device: what would be computed on, in words.
        hasVolumes: whether the scene holds volumes.
    """

    parameters: Any
    judgement: Judgement
    running: bool
    made: RegistrationOutputs | None
    notice: Message | None
    device: str
    hasVolumes: bool


class Controls:
    """The form's controls, but for those of a section that has a class of its own.

    Args:
        ui: the form.
        scene: the application's scene.
        choose: called with a parameter and its new value when a person picked one from a list.
        changed: called when segments or points that are inputs have changed.
    """

    def __init__(self, ui: Any, scene: Any, choose: Callable[[str, Any], None], changed: Callable[[], None]) -> None:
        self._ui = ui
        self._choices = makeChoices(ui, choose)
        self._maskSegments = MaskSegments(ui, choose, changed)
        self._landmarks = LandmarkLists(ui, scene, choose, changed)
        self._messages = MessageRows(ui)

    def show(self, state: PanelState) -> None:
        """Bring every control up to date."""
        ui, parameters = self._ui, state.parameters
        for name, choice in self._choices.items():
            choice.show(getattr(parameters, name))
        self._maskSegments.show(parameters)
        self._landmarks.show(parameters, state.running)
        for section in (ui.inputsButton, ui.registrationButton, ui.outputsButton):
            section.setEnabled(not state.running)
        ui.methodExplanation.setText(methodExplanation(parameters.method))
        ui.refineSpinBox.setEnabled(parameters.method == "avsm")
        ui.deviceFound.setText(state.device)
        ui.estimateLabel.setText(state.judgement.estimate)
        ui.sampleRow.setVisible(not state.hasVolumes)
        if state.hasVolumes:
            ui.sampleProblemFrame.setVisible(False)
        ui.introductionLabel.setVisible(parameters.fixedVolume is None or parameters.movingVolume is None)
        showWhatIsWanted(ui, parameters)
        notices = [] if state.notice is None else [state.notice]
        self._messages.show([] if state.running else notices + list(state.judgement.messages))
        self._showButtons(state)

    def release(self) -> None:
        """The parameters go: what follows their nodes stops doing so."""
        self._maskSegments.show(None)
        self._landmarks.show(None)

    def _showButtons(self, state: PanelState) -> None:
        ui, made, parameters = self._ui, state.made, state.parameters
        missing = [] if state.running else missingInputs(parameters)
        chosen = parameters.fixedVolume is not None and parameters.movingVolume is not None
        ui.reasonLabel.setText(" ".join(missing))
        ui.reasonLabel.setVisible(bool(missing) and chosen)  # an empty selector says itself that it is empty
        reasons = missing or _reasonsAgainst(state)
        ui.registerButton.setEnabled(not reasons)
        tip = "<p>{}</p>".format("<br>".join(escaped(reason) for reason in reasons))
        ui.registerButton.setToolTip(tip if reasons else _("Register the moving volume to the fixed one."))
        ui.cancelButton.setEnabled(state.running)
        ui.discardButton.setEnabled(not state.running)
        transform = None if made is None else made.nodes.transform
        there = transform is not None and transform.GetScene() is not None  # it may have been removed
        ui.furtherButton.setEnabled(not state.running and parameters.method in REFINING_METHODS and there)


def _reasonsAgainst(state: PanelState) -> list[str]:
    """Why Register cannot work now though nothing is missing, as sentences."""
    if state.running:
        return [_("The registration process is at work.")]
    return [message.text for message in state.judgement.messages if message.severity == "error"]
