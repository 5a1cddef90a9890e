"""What all work of the worker that the panel starts has in common: how it is shown, cancelled, and fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from JointRegistrationLib.core.errors import JointRegistrationError, RegistrationCancelled
from JointRegistrationLib.core.progress import Progress
from JointRegistrationMRML.run.worker_job import Outcome

from ..inspection.section import InspectSection
from .progress_view import ProgressView
from .remedies import Remedies
from .results_view import ResultsView
from .run_control import MakeJob, RunControl
from .worker import Worker


@dataclass(frozen=True)
class Sections:
    """The parts of the panel in which a run is seen."""

    progress: ProgressView
    remedies: Remedies
    results: ResultsView
    inspect: InspectSection


class ShownRun(ABC, Generic[Outcome]):
    """One kind of work, one at a time.

    Args:
        ui: the form.
        scene: the application's scene.
        worker: does the work.
        sections: where it is shown.
        getParameters: gives the panel's parameters, or None while the scene has none.
        refresh: brings the controls up to date; called after everything here.
    """

    def __init__(
        self,
        ui: Any,
        scene: Any,
        worker: Worker,
        sections: Sections,
        getParameters: Callable[[], Any],
        refresh: Callable[[], None],
    ) -> None:
        self._ui, self._scene, self._sections = ui, scene, sections
        self._getParameters, self._refresh = getParameters, refresh
        self._control: RunControl[Outcome] = RunControl(worker, self)
        ui.cancelButton.clicked.connect(self.onCancel)

    @property
    def running(self) -> bool:
        """Return whether it is under way."""
        return self._control.running

    def onCancel(self) -> None:
        """Stop it."""
        if self._control.running:
            self._ui.cancelButton.setEnabled(False)
            self._sections.progress.show("cancelling")
            self._control.cancel()

    def _begin(self, make: MakeJob[Outcome]) -> None:
        self._sections.inspect.end()
        try:
            self._control.start(make)
        except JointRegistrationError as error:
            self.onFailed(error)
        self._refresh()

    # -- told of the run ----------------------------------------------------------------------------------

    def onProgress(self, progress: Progress) -> None:
        """Show how far it is."""
        self._sections.progress.show(progress.stage, progress.fraction, progress.seconds_left)

    @abstractmethod
    def onDone(self, outcome: Outcome) -> None:
        """The results are in the scene."""

    def onFailed(self, error: JointRegistrationError) -> None:
        """The scene is as it was; say why, and offer what may help."""
        if isinstance(error, RegistrationCancelled):
            self._sections.progress.idle(str(error))
        else:
            self._sections.progress.idle()
            self._sections.progress.log(str(error))
            self._explain(error)
        self._refresh()

    def _explain(self, error: JointRegistrationError) -> None:
        self._sections.remedies.failure(error)
