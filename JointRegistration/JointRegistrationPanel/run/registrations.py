"""What Register, Refine further, Cancel and Discard do, and how a run and its results are shown."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from JointRegistrationLib.core.errors import JointRegistrationError, RegistrationCancelled
from JointRegistrationLib.core.progress import Progress
from JointRegistrationMRML.run import register
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes, OutputOptions, RegistrationOutputs

from ..inputs import outputs
from ..inputs.parameters import configFrom, inputNodes, nodesToReuse, outputOptions
from ..inspection.section import InspectSection
from ..text import _
from ..window import Turns
from .estimate import planFor
from .machine import Speed
from .progress_view import ProgressView
from .remedies import Remedies
from .results_view import ResultsView
from .run_control import RunControl
from .worker import Worker


@dataclass(frozen=True)
class Sections:
    """The parts of the panel in which a run is seen."""

    progress: ProgressView
    remedies: Remedies
    results: ResultsView
    inspect: InspectSection


class Registrations:
    """The panel's runs, one at a time.

    Args:
        ui: the form.
        scene: the application's scene.
        worker: runs the registrations.
        sections: where a run is shown.
        speed: learns from every run.
        getParameters: gives the panel's parameters, or None while the scene has none.
        refresh: brings the controls up to date; called after everything here.
    """

    def __init__(
        self,
        ui: Any,
        scene: Any,
        worker: Worker,
        sections: Sections,
        speed: Speed,
        getParameters: Callable[[], Any],
        refresh: Callable[[], None],
    ) -> None:
        self._ui, self._scene, self._sections = ui, scene, sections
        self._speed, self._getParameters, self._refresh = speed, getParameters, refresh
        self._run = RunControl(worker, self)
        self._goesFurther = False
        self._showing: Turns | None = None
        self._discarding: Turns | None = None
        ui.cancelButton.clicked.connect(self.onCancel)
        ui.furtherButton.clicked.connect(self.onFurther)
        ui.discardButton.clicked.connect(self.onDiscard)

    @property
    def running(self) -> bool:
        """Return whether a run is under way, or its results are being shown or taken away."""
        return self._run.running or any(
            turns is not None and turns.active for turns in (self._showing, self._discarding)
        )

    # -- what the buttons do ------------------------------------------------------------------------------

    def register(self) -> None:
        """Start a run of what is chosen."""
        parameters = self._getParameters()
        self._sections.remedies.notice = None
        outputs.forgetOtherPairs(parameters)
        self._goesFurther = False
        self._start(inputNodes(parameters), outputOptions(parameters), nodesToReuse(parameters))

    def onFurther(self) -> None:
        """Refine the result shown, with the method and settings as they are now."""
        made = self._sections.results.outputs
        if made is None:
            return
        self._sections.remedies.notice = None
        self._goesFurther = True
        try:
            nodes, reuse = register.furtherNodes(self._scene, made, inputNodes(self._getParameters()))
        except JointRegistrationError as error:
            self.onFailed(error)
            return
        self._start(nodes, register.furtherOptions(made), reuse)

    def onCancel(self) -> None:
        """Stop the run."""
        self._ui.cancelButton.setEnabled(False)
        self._sections.progress.show("cancelling")
        self._run.cancel()

    def onDiscard(self) -> None:
        """Take away what the last run added, step by step."""
        self._discarding = Turns(self._discardSteps(), self._refresh)
        self._refresh()

    def _discardSteps(self) -> Generator[None, None, None]:
        results, inspect = self._sections.results, self._sections.inspect
        yield from inspect.forgetRunSteps()
        kept = yield from results.discardSteps(self._scene)
        text = _("The results were taken away.")
        if results.outputs is not None:
            text = _("The earlier results are back.")
            inspect.runFinished(results.outputs)
        if kept:
            text += " " + _("These stay, because they were edited: {names}.").format(names=", ".join(kept))
        self._sections.progress.idle(text)

    def cleanup(self) -> None:
        """The panel goes: a run under way ends, and what is being taken away goes at once."""
        if self._discarding is not None:
            self._discarding.finish()
        self.sceneCloses()
        self._run.cancel()

    def sceneCloses(self) -> None:
        """The scene is about to be emptied: there is nothing more to show."""
        for turns in (self._showing, self._discarding):
            if turns is not None:
                turns.stop()

    def _start(self, nodes: InputNodes, options: OutputOptions, reuse: OutputNodes) -> None:
        self._sections.inspect.end()
        try:
            self._run.start(self._scene, nodes, configFrom(self._getParameters()), options, reuse)
        except JointRegistrationError as error:
            self.onFailed(error)
        self._refresh()

    # -- told of the run ----------------------------------------------------------------------------------

    def onProgress(self, progress: Progress) -> None:
        """Show how far the run is."""
        self._sections.progress.show(progress.stage, progress.fraction, progress.seconds_left)

    def onDone(self, made: RegistrationOutputs) -> None:
        """The results are in the scene."""
        sections, parameters = self._sections, self._getParameters()
        sections.progress.idle()
        for note in made.result.notes:
            sections.progress.log(note)
        if parameters is not None:
            device = made.result.device.partition(":")[0]
            self._speed.learn(device, made.result.timings_s.get("total", 0.0), planFor(parameters, device))
        steps = sections.results.showSteps(self._scene, made, self._goesFurther)
        self._showing = Turns(steps, lambda: self._onShown(made))

    def _onShown(self, made: RegistrationOutputs) -> None:
        self._sections.inspect.runFinished(made)
        self._refresh()

    def onFailed(self, error: JointRegistrationError) -> None:
        """The scene is as it was; say why, and offer what may help."""
        if isinstance(error, RegistrationCancelled):
            self._sections.progress.idle(str(error))
        else:
            self._sections.progress.idle()
            self._sections.progress.log(str(error))
            self._sections.remedies.failure(error)
        self._refresh()
