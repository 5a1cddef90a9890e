"""The section "Inspect": which run is looked at, its views, what lies under the cursor, and the numbers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import slicer

from JointRegistrationLib.core.errors import JointRegistrationError
from JointRegistrationMRML.inspection.read_out import readOutText
from JointRegistrationMRML.inspection.session import Inspection
from JointRegistrationMRML.run.record import FoundRun
from JointRegistrationMRML.run.registration_nodes import InputNodes, RegistrationOutputs
from JointRegistrationMRML.run.saved_runs import inputsOf, outputsSteps
from JointRegistrationMRML.unforeseen import asError

from ..messages import tint
from ..text import _, escaped, sentence
from ..window import alive, showAll3D
from .cursor import CursorReadOut
from .measuring import NumbersView
from .runs import Run, RunList, isSame
from .views import ViewButtons

#: Inputs of the panel that belong to a run if its two volumes are the panel's.
_FURTHER_INPUTS = ("movingSegmentation", "fixedSegmentation", "movingLandmarks", "fixedLandmarks")


class InspectSection:
    """Views of a run of this session, or of one that the scene holds.

    Args:
        uiPath: the .ui file.
        scene: the application's scene.
        chosenInputs: the nodes chosen in the panel.
    """

    def __init__(self, uiPath: str, scene: Any, chosenInputs: Callable[[], InputNodes | None]) -> None:
        self._scene, self._chosenInputs = scene, chosenInputs
        self.widget = slicer.util.loadUI(uiPath)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self._runs = RunList(self.ui.runComboBox, scene, self._onRunPicked)
        self._chosen: Run | None = None
        self._refused: FoundRun | None = None
        self._outputs: RegistrationOutputs | None = None
        self._inspection: Inspection | None = None
        self._busy = self._running = False
        self._views = ViewButtons(self.ui, self)
        self.numbers = NumbersView(self.ui, scene, self)
        self._cursor = CursorReadOut(scene, self._read, self._showReading)
        self.ui.inspectButton.connect("contentsCollapsed(bool)", self._onCollapsed)
        self.ui.closeViewsButton.clicked.connect(lambda checked=False: self.closeViews())
        self._status()
        self._use(None)

    # -- told by the panel --------------------------------------------------------------------------------

    def runFinished(self, outputs: RegistrationOutputs) -> None:
        """A run's results are in the scene: inspect them."""
        self.end()
        self._runs.latest = outputs
        self.refresh(False)
        self.ui.inspectButton.collapsed = False
        self._readChosenRun()

    def forgetRunSteps(self) -> Generator[None, None, None]:
        """The latest run is about to be taken back: close its views and take its numbers away, with pauses."""
        if self._inspection is not None:
            yield from self._inspection.closeSteps(*reversed(self._inspection.names))
        self.end()
        latest, self._runs.latest = self._runs.latest, None
        if latest is not None:
            yield from self.numbers.takeAwaySteps(latest)

    def end(self) -> None:
        """Close everything and let go of the run: a new one begins, or the scene or the module goes."""
        self.numbers.release()
        self._use(None)
        self._chosen = self._refused = None

    def sceneCloses(self) -> None:
        """The scene is about to be emptied."""
        self.end()
        self.numbers.forgetAll()
        self._runs.forget()
        self._refreshControls()

    def cleanup(self) -> None:
        """The module is about to go."""
        self.end()
        self._cursor.follow(False)

    def refresh(self, running: bool) -> None:
        """The scene may have changed: list its runs.

        Args:
            running: whether a registration is under way.
        """
        self._running = running
        self._runs.find()
        if not self._runs.holds(self._chosen):
            if self._chosen is not None or self._outputs is not None:
                self.end()
            self._chosen = next(iter(self._runs.runs), None)
        self._runs.show(self._chosen)
        if self._inspection is not None and self._inspection.broken:
            self._close(*self._inspection.broken)
        self._refreshControls()
        if not self._runs.runs:
            self.ui.inspectButton.collapsed = True  # nothing in it could be used
        if not running and self._outputs is None and not self.ui.inspectButton.collapsed:
            self._readChosenRun()

    # -- the run that is looked at -------------------------------------------------------------------------

    def _onRunPicked(self, run: Run) -> None:
        self.end()
        self._chosen = run
        self._readChosenRun()

    def _onCollapsed(self, collapsed: bool) -> None:
        self._refused = None
        if not collapsed and not self._running:
            self._readChosenRun()
        self._refreshControls()

    def _readChosenRun(self) -> None:
        """Read the chosen run; one that the scene holds is read from its nodes, which takes a moment."""
        run = self._chosen
        if run is None or self._busy or self._outputs is not None or isSame(run, self._refused):
            return
        if isinstance(run, FoundRun):
            with self._waiting(_("Reading the registration from the scene")):
                outputs = alive(self._readSteps(run))
                if outputs is not None:
                    self._use(outputs)
            self._refused = run if self._outputs is None else None  # not to be read again at every change of the scene
        else:
            self._use(run)

    def _readSteps(self, run: FoundRun) -> Generator[None, None, RegistrationOutputs | None]:
        """None if the scene was closed, or another run begun, while this one was read."""
        steps = outputsSteps(self._scene, run, self._inputsOf(run))
        while self._chosen is run:
            try:
                yield next(steps)
            except StopIteration as end:
                outputs: RegistrationOutputs = end.value
                return outputs
        return None

    def _inputsOf(self, run: FoundRun) -> InputNodes:
        """The run's inputs, with the panel's segmentations and points if those belong to its volumes."""
        own, chosen = inputsOf(self._scene, run), self._chosenInputs()
        if chosen is None or chosen.fixed is not run.fixed or chosen.moving is not run.moving:
            return own
        given = {name: getattr(chosen, name) for name in _FURTHER_INPUTS}
        return replace(own, **{name: node for name, node in given.items() if node is not None})

    def _use(self, outputs: RegistrationOutputs | None) -> None:
        if self._inspection is not None:
            self._inspection.closeAll()
        self._outputs = outputs
        self._inspection = None if outputs is None else Inspection(self._scene, outputs)
        self._views.use(self._inspection, outputs)
        self._problem()
        self._refreshControls()

    # -- views: asked by the buttons -----------------------------------------------------------------------

    def openView(self, name: str, **options: Any) -> Any:
        """Open a view of the run; None, with a sentence in the panel, if it cannot be."""
        if self._inspection is None or self._busy:
            return None
        if name == "sideBySide":
            self.numbers.close()  # both change the layout
        with self._waiting(_("Opening the view")):
            inspection = self._inspection
            if inspection is None:  # the scene was closed while the cursor changed
                return None
            alive(inspection.openSteps(name, **options))
        self._refreshControls()
        view = None if self._inspection is None else self._inspection.view(name)
        if view is not None and name == "contours" and options.get("surfaces"):
            showAll3D()
        return view

    def closeView(self, name: str) -> None:
        """Close a view of the run."""
        self._close(name)

    def closeViews(self) -> None:
        """Close every view."""
        if not self._busy:
            self.numbers.close()
            self._close(*([] if self._inspection is None else reversed(self._inspection.names)))

    def _close(self, *names: str) -> None:
        if self._busy:
            return
        with self._waiting(""):
            if self._inspection is not None:
                alive(self._inspection.closeSteps(*names))
        self._refreshControls()

    # -- numbers: told by their view -----------------------------------------------------------------------

    def needOutputs(self) -> RegistrationOutputs | None:
        """The run to measure."""
        self._problem()
        return self._outputs

    def aboutToShowNumbers(self) -> None:
        """A view of the numbers changes the layout: no other may have changed it."""
        if self._inspection is not None:
            self._inspection.close("sideBySide")

    def onNumbersChanged(self, text: str = "", link: str = "") -> None:
        """Something to say, with a link as rich text, or other numbers to show."""
        self._status(text, link)
        self._refreshControls()

    def onNumbersFailed(self, error: JointRegistrationError) -> None:
        """Say why."""
        self._status()
        self._problem(str(error))
        self._refreshControls()

    # -- what the controls show ----------------------------------------------------------------------------

    def _refreshControls(self) -> None:
        ui, inspection = self.ui, self._inspection
        possible = bool(self._runs.runs) and not self._running
        ui.inspectButton.setEnabled(possible)
        reason = _("There is nothing to inspect: register first, or open a scene that holds a registration.")
        ui.inspectButton.setToolTip(_("See whether to trust a registration, and what changed.") if possible else reason)
        names = [] if inspection is None else inspection.names
        self._views.refresh()
        self.numbers.refresh(inspection is not None)
        texts = "" if inspection is None else self._views.texts()
        for label, text in ((ui.viewText, texts), (ui.numbersViewText, self.numbers.text)):
            label.setText(text)
            label.setVisible(bool(text))
        ui.closeViewsButton.setEnabled(bool(names or self.numbers.text))
        self._cursor.follow(inspection is not None and not ui.inspectButton.collapsed)
        if inspection is None:
            self._showReading("")

    def _read(self, ras: Sequence[float]) -> str:
        """The reading at a place, a line for each part."""
        if self._inspection is None:
            return ""
        return "\n".join(readOutText(self._inspection.readOut(ras)).split("   "))

    def _showReading(self, text: str) -> None:
        self.ui.readOutText.setText(text)
        for label in (self.ui.readOutText, self.ui.readOutTitle):
            label.setVisible(bool(text))

    def _status(self, text: str = "", link: str = "") -> None:
        self.ui.inspectStatus.setText(f"{escaped(text)} {link}".rstrip())
        self.ui.inspectStatus.setVisible(bool(text))

    def _problem(self, text: str = "") -> None:
        if text:
            tint(self.ui.inspectProblemFrame, "error")
        self.ui.inspectProblemText.setText(sentence(text))
        self.ui.inspectProblemFrame.setVisible(bool(text))

    @contextmanager
    def _waiting(self, text: str) -> Iterator[None]:
        """Say what takes a moment, meanwhile; an error becomes a sentence in the panel."""
        self._busy = True
        self._problem()
        self._status(text)
        try:
            with slicer.util.WaitCursor():
                yield
        except Exception as error:  # noqa: BLE001 whatever it is, it must be said
            self._problem(str(asError(error, _("the run was inspected"))))
        finally:
            self._busy = False
            self._status()
