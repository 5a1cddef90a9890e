"""Measuring a run step by step, and showing, plotting and exporting the numbers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import qt

from JointRegistrationLib.core.errors import JointRegistrationError
from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML.inspection.tables_and_plots import openPlot, openTable, openThickness
from JointRegistrationMRML.inspection.view import OpenView, closeView
from JointRegistrationMRML.pauses import telling
from JointRegistrationMRML.run.registration_nodes import RegistrationOutputs
from JointRegistrationMRML.scene.transaction import discardSteps
from JointRegistrationMRML.unforeseen import asError

from ..messages import markOpen
from ..text import _, breakable
from ..window import Turns, drawnApart, showAll3D, still

if TYPE_CHECKING:  # what measures imports SimpleITK, which would hold up the opening of the panel
    from JointRegistrationMRML.measure.measurement import Measurement
    from JointRegistrationMRML.measure.scene_nodes import NumberNodes


class NumbersOwner(Protocol):
    """Who is told of the numbers."""

    def needOutputs(self) -> RegistrationOutputs | None: ...

    def aboutToShowNumbers(self) -> None: ...

    def onNumbersChanged(self, text: str = "", link: str = "") -> None: ...

    def onNumbersFailed(self, error: JointRegistrationError) -> None: ...


class NumbersView:
    """The numbers of one run at a time."""

    def __init__(self, ui: Any, scene: Any, owner: NumbersOwner) -> None:
        self._ui, self._scene, self._owner = ui, scene, owner
        self._outputs: RegistrationOutputs | None = None
        self._turns: Turns | None = None
        self._measuring = self._reporting = False
        self._figures: Measurement | None = None
        self._nodes: NumberNodes | None = None
        self._made: list[tuple[RegistrationOutputs, NumberNodes]] = []
        self._open: OpenView | None = None
        self._opened = ""
        self._buttons = {
            "table": ui.tableButton,
            "jacobianPlot": ui.jacobianPlotButton,
            "thicknessPlot": ui.thicknessPlotButton,
            "depthMovedPlot": ui.depthMovedPlotButton,
            "depthJacobianPlot": ui.depthJacobianPlotButton,
            "thickness": ui.thicknessButton,
        }
        for name, button in self._buttons.items():
            button.clicked.connect(lambda checked=False, name=name: self._onButton(name))
        ui.measureButton.clicked.connect(lambda checked=False: self.onMeasure())
        ui.exportButton.clicked.connect(lambda checked=False: self.onExport())
        ui.reportButton.clicked.connect(lambda checked=False: self.onReport())

    @property
    def measuring(self) -> bool:
        """Return whether a measurement or a report is under way."""
        return self._measuring

    @property
    def nodes(self) -> NumberNodes | None:
        """Return what the last measurement made."""
        return self._nodes

    @property
    def text(self) -> str:
        """Return how to read the view that is open."""
        return "" if self._open is None else self._open.text

    # -- measuring ----------------------------------------------------------------------------------------

    def onMeasure(self) -> None:
        """Begin, or stop what is under way."""
        if self._measuring:
            self._stop()
            self._owner.onNumbersChanged(_("Measuring was stopped."))
            return
        outputs = self._owner.needOutputs()
        if outputs is None:
            return
        from JointRegistrationMRML.measure.measurement import measureSteps

        self._begin(outputs, measureSteps(outputs), _("Measuring"), self._showSteps)

    def onReport(self) -> None:
        """Ask for a file and write the report to it, step by step; or stop what is under way."""
        if self._measuring:
            self._stop()
            self._owner.onNumbersChanged(_("No report was written."))
            return
        outputs = self._owner.needOutputs()
        if outputs is None or not (path := self._askForReport(outputs)):
            return
        from JointRegistrationMRML.report.export import exportSteps

        figures = self._figures if outputs is self._outputs else None
        steps = exportSteps(outputs, Path(path), figures)
        self._reporting = True

        def tell(_result: Any) -> Generator[None, None, None]:
            self._ended()
            self._owner.onNumbersChanged(written(path), linkTo(path))
            yield

        self._begin(outputs, steps, _("Report"), tell)

    def _askForReport(self, outputs: RegistrationOutputs) -> str:
        inputs = outputs.inputs
        name = _("{moving} to {fixed}").format(moving=inputs.moving.GetName(), fixed=inputs.fixed.GetName())
        title, kind = _("Export report"), _("Web page (*.html)")
        return str(qt.QFileDialog.getSaveFileName(self._ui.reportButton, title, f"{name}.html", kind))

    def _begin(
        self,
        outputs: RegistrationOutputs,
        steps: Generator[tuple[float, str], None, Any],
        doing: str,
        finish: Callable[[Any], Generator[None, None, None]],
    ) -> None:
        self._outputs, self._measuring = outputs, True
        self._owner.onNumbersChanged(doing)
        self._turns = Turns(self._work(steps, doing, finish), apart=False)  # views change at the end only

    def _work(
        self,
        steps: Generator[tuple[float, str], None, Any],
        doing: str,
        finish: Callable[[Any], Generator[None, None, None]],
    ) -> Generator[None, None, None]:
        """Take the steps, saying which, and then those of ``finish`` with what they return."""
        text = _("{doing}: {what}, {percent} %")

        def say(told: tuple[float, str]) -> None:
            self._owner.onNumbersChanged(text.format(doing=doing, what=told[1], percent=round(100 * told[0])))

        try:
            result = yield from telling(steps, say)
            yield from drawnApart(finish(result))
        except Exception as error:  # noqa: BLE001 this is called by a timer: whatever it is, measuring must end
            self._ended()
            self._owner.onNumbersFailed(asError(error, _("the run was measured")))

    def _ended(self) -> None:
        self._measuring = self._reporting = False

    def _stop(self) -> None:
        self._ended()
        if self._turns is not None:
            self._turns.stop()
            self._turns = None

    def _showSteps(self, figures: Measurement) -> Generator[None, None, None]:
        from JointRegistrationMRML.measure.scene_nodes import addNumberSteps

        from .summary import numbersHtml

        outputs = self._outputs
        assert outputs is not None
        self.close()
        finished(self.takeAwaySteps(outputs))  # as a whole: from the next pause on a person may stop this
        self._nodes = yield from addNumberSteps(self._scene, outputs, figures, hidden=True)
        self._figures = figures
        self._made.append((outputs, self._nodes))
        self._ui.numbersText.setText(numbersHtml(figures))
        yield
        self._ended()
        self._toggle("table")

    def release(self) -> None:
        """Another run is looked at: stop and close what is shown; the nodes stay in the scene."""
        self._stop()
        self.close()
        self._nodes = self._outputs = self._figures = None
        self._ui.numbersText.setText("")

    def takeAwaySteps(self, outputs: RegistrationOutputs) -> Generator[None, None, None]:
        """Take the numbers of a run out of the scene, but for nodes that were edited. Pauses after each."""
        going = [nodes for made, nodes in self._made if made is outputs]
        self._made = [(made, nodes) for made, nodes in self._made if made is not outputs]
        for nodes in going:
            yield from discardSteps(self._scene, nodes.record)

    def forgetAll(self) -> None:
        """The scene is emptied."""
        self.release()
        self._made = []

    # -- showing ------------------------------------------------------------------------------------------

    def _onButton(self, name: str) -> None:
        still(lambda: self._toggle(name))

    def _toggle(self, name: str) -> None:
        reopen = self._opened != name
        self.close()
        if reopen and self._nodes is not None and self._outputs is not None:
            self._owner.aboutToShowNumbers()
            nodes, charts = self._nodes, self._charts()
            if name == "table":
                self._open = openTable(self._scene, nodes.table)
            elif name == "thickness":
                self._open = openThickness(self._scene, self._outputs, nodes.models)
                showAll3D()
            else:
                self._open = openPlot(self._scene, charts[name])
            self._opened = name
        self._owner.onNumbersChanged()

    def _charts(self) -> dict[str, Any]:
        """Plots by button; those without a curve are not there."""
        charts = () if self._nodes is None else self._nodes.charts
        return {chart.GetAttribute("JointRegistration.plot"): chart for chart in charts}

    def close(self) -> None:
        """Close the view of the numbers that is open."""
        if self._open is not None:
            closeView(self._open)
        self._open, self._opened = None, ""

    def onExport(self) -> None:
        """Ask for a file and write the table to it."""
        if self._nodes is None:
            return
        name = self._nodes.table.GetName()
        path = qt.QFileDialog.getSaveFileName(
            self._ui.exportButton, _("Export numbers"), f"{name}.csv", _("Comma-separated values (*.csv)")
        )
        if not path:
            return
        from JointRegistrationMRML.measure.table import writeCsv

        try:
            writeCsv(self._nodes.table, Path(path))
        except JointRegistrationError as error:
            self._owner.onNumbersFailed(error)
        else:
            self._owner.onNumbersChanged(written(path))

    def refresh(self, enabled: bool) -> None:
        """Show which controls can be used."""
        ui, charts = self._ui, self._charts()
        present = self._nodes is not None and self._scene.IsNodePresent(self._nodes.table)
        reporting = self._reporting
        ui.measureButton.setEnabled(enabled and not reporting)
        ui.measureButton.setText(_("Stop measuring") if self.measuring and not reporting else _("Measure"))
        ui.reportButton.setEnabled(enabled and (reporting or not self.measuring))
        ui.reportButton.setText(_("Stop report") if reporting else _("Export report..."))
        ui.numbersText.setVisible(present)
        ui.numbersRow.setVisible(present)
        possible = {"table": True, "thickness": self._nodes is not None and bool(self._nodes.models)}
        for name, button in self._buttons.items():
            button.setEnabled(possible.get(name, name in charts))
            markOpen(button, name == self._opened)


def written(path: str) -> str:
    """Say where a file is now."""
    return _("Written to {path}.").format(path=breakable(path))


def linkTo(path: str) -> str:
    """Rich text that opens the report when it is clicked."""
    url = Path(path).absolute().as_uri()  # quotes and brackets come out as %27 and so on
    return f'<a href="{url}">{_("Open the report")}</a>'
