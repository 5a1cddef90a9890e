"""What Register, Refine further, Cancel and Discard do, and how a run and its results are shown."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from JointRegistrationLib.core.errors import JointRegistrationError
from JointRegistrationMRML.run import register
from JointRegistrationMRML.run.job import RegistrationJob
from JointRegistrationMRML.run.registration_nodes import InputNodes, OutputNodes, OutputOptions, RegistrationOutputs

from ..inputs import outputs
from ..inputs.parameters import configFrom, inputNodes, nodesToReuse, outputOptions
from ..text import _
from ..window import Turns
from .estimate import planFor
from .machine import Speed
from .shown_run import Sections, ShownRun
from .worker import Worker


class Registrations(ShownRun[RegistrationOutputs]):
    """The panel's runs, one at a time; see the base for the other arguments.

    Args:
        speed: learns from every run.
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
        super().__init__(ui, scene, worker, sections, getParameters, refresh)
        self._speed = speed
        self._goesFurther = False
        self._showing: Turns | None = None
        self._discarding: Turns | None = None
        ui.furtherButton.clicked.connect(self.onFurther)
        ui.discardButton.clicked.connect(self.onDiscard)

    @property
    def running(self) -> bool:
        """Return whether a run is under way, or its results are being shown or taken away."""
        return self._control.running or any(
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
        self._control.cancel()

    def sceneCloses(self) -> None:
        """The scene is about to be emptied: there is nothing more to show."""
        for turns in (self._showing, self._discarding):
            if turns is not None:
                turns.stop()

    def _start(self, nodes: InputNodes, options: OutputOptions, reuse: OutputNodes) -> None:
        config = configFrom(self._getParameters())
        self._begin(lambda *control: RegistrationJob(self._scene, nodes, config, options, reuse, *control))

    # -- told of the run ----------------------------------------------------------------------------------

    def onDone(self, outcome: RegistrationOutputs) -> None:
        """The results are in the scene."""
        made, sections, parameters = outcome, self._sections, self._getParameters()
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
