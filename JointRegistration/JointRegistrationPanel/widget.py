"""The panel on one scene: joins its parts, and follows the scene and the worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from JointRegistrationLib.core.errors import JointRegistrationError
from JointRegistrationMRML.run.registration_nodes import InputNodes
from JointRegistrationMRML.unforeseen import asError

from .inputs.parameters import choosePair, inputNodes, release, restoreDefaults, swapInputs
from .inputs.ties import Ties
from .inspection.section import InspectSection
from .install import packages
from .install.view import InstallView
from .messages import tint
from .run.controls import Controls, PanelState
from .run.estimate import Judgement, deviceText, judge, missingInputs
from .run.findings import Findings
from .run.machine import Speed
from .run.progress_view import ProgressView
from .run.registrations import Registrations
from .run.remedies import Remedies
from .run.results_view import ResultsView
from .run.shown_run import Sections
from .run.worker import Worker, sharedWorker
from .text import _, breakable, sentence
from .window import alive, showVolumes

#: How long a person has to be still before the inputs are judged, in ms.
_JUDGE_DELAY_MS = 200


class Panel(VTKObservationMixin):
    """The module's panel on one scene.

    Args:
        uiPath: the .ui file.
        getParameters: gives the scene's :class:`.parameters.PanelParameters`.
        scene: the application's scene.
        worker: runs the registrations; None for the one that the application shares.
        confirm: asks a person a question; only before something is installed.
        speed: how fast this computer is, learnt from runs; None for what the application's settings hold.
    """

    def __init__(
        self,
        uiPath: str,
        getParameters: Callable[[], Any],
        scene: Any,
        worker: Worker | None = None,
        confirm: Callable[[str], bool] = packages.askInWindow,
        speed: Speed | None = None,
    ) -> None:
        VTKObservationMixin.__init__(self)
        self._getParameters, self._scene = getParameters, scene
        self._worker = worker or sharedWorker()
        self._shown = True
        self._parameters: Any = None
        self._ties: Ties | None = None
        self._judgement, self._speed = Judgement(), speed or Speed()
        self.widget = slicer.util.loadUI(uiPath)
        self.widget.setMRMLScene(scene)
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.results = ResultsView(self.ui)
        self.inspect = self._mountInspect(Path(uiPath).with_name("JointRegistrationInspect.ui"))
        self._progress = ProgressView(self.ui)
        self._install = InstallView(self.ui, self._worker.packages, confirm)
        self._remedies = Remedies(scene, lambda: self._parameters, self._onParametersModified)
        sections = Sections(self._progress, self._remedies, self.results, self.inspect)
        self._run = Registrations(
            self.ui, scene, self._worker, sections, self._speed, lambda: self._parameters, self._refresh
        )
        self._findings = Findings(self.ui, scene, self._worker, sections, lambda: self._parameters, self._refresh)
        self._controls = Controls(self.ui, scene, self._set, self._onParametersModified)
        self._refreshTimer = self._makeTimer(0, self._refresh)
        self._judgeTimer = self._makeTimer(_JUDGE_DELAY_MS, self._judge)
        self._sampleProblem()
        self._connect()
        self._worker.addListener(self)
        self._install.look()
        self._useParameters(getParameters())

    # -- the module's life --------------------------------------------------------------------------------

    def enter(self) -> None:
        """The module is shown: take up what has changed meanwhile."""
        self._shown = True
        self._install.look()
        if self._parameters is None:
            self._useParameters(self._getParameters())
        self._onParametersModified()

    def exit(self) -> None:
        """Another module is shown. A run goes on, but the inputs are not judged again before this one is back."""
        self._shown = False
        self._judgeTimer.stop()

    def cleanup(self) -> None:
        """The module is about to go."""
        self._run.cleanup()
        self._findings.onCancel()
        self.inspect.cleanup()
        self._refreshTimer.stop()
        self._judgeTimer.stop()
        self._worker.removeListener(self)
        self._useParameters(None)
        self.removeObservers()
        self.widget.setParent(None)  # after a reload it would stay beside the new one, hidden
        self.widget.deleteLater()

    # -- setting up ---------------------------------------------------------------------------------------

    def _mountInspect(self, uiPath: Path) -> InspectSection:
        """The section Inspect, which has a form of its own, below the results."""
        section = InspectSection(str(uiPath), self._scene, self._chosenInputs)
        layout = self.widget.layout()
        layout.insertWidget(layout.indexOf(self.ui.resultsButton) + 1, section.widget)
        return section

    def _chosenInputs(self) -> InputNodes | None:
        return None if self._parameters is None else inputNodes(self._parameters)

    def _makeTimer(self, interval: int, called: Callable[[], None]) -> Any:
        timer = qt.QTimer()
        timer.setSingleShot(True)
        timer.setInterval(interval)
        timer.connect("timeout()", called)
        return timer

    def _connect(self) -> None:
        self.ui.swapButton.clicked.connect(self.onSwap)
        self.ui.sampleButton.clicked.connect(self.onSample)
        self.ui.defaultsButton.clicked.connect(self.onDefaults)
        self.ui.installButton.clicked.connect(self.onInstall)
        self.ui.registerButton.clicked.connect(self.onRegister)
        self.ui.findButton.clicked.connect(self.onFind)
        scene = slicer.vtkMRMLScene
        self.addObserver(self._scene, scene.StartCloseEvent, self._onSceneStartsClosing)
        self.addObserver(self._scene, scene.EndCloseEvent, self._onSceneChanged)
        self.addObserver(self._scene, scene.EndImportEvent, self._onSceneChanged)
        self.addObserver(self._scene, scene.NodeAddedEvent, self._onNodesChanged)
        self.addObserver(self._scene, scene.NodeRemovedEvent, self._onNodesChanged)
        # Before the selectors, which follow the same event, choose another node.
        self.addObserver(self._scene, scene.NodeAboutToBeRemovedEvent, self._onNodeAboutToBeRemoved, priority=100.0)

    def _useParameters(self, parameters: Any) -> None:
        if self._ties is not None:
            self._ties.untie()
            self._ties = None
            self.removeObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self._controls.release()
        self._parameters = parameters
        if parameters is not None:
            self._ties = Ties(parameters, self.ui)
            self._ties.tie()
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._onParametersModified)
            self._onParametersModified()

    def _set(self, name: str, value: Any) -> None:
        if self._ties is not None and not self._ties.showing:
            setattr(self._parameters, name, value)

    # -- what changes around the panel ----------------------------------------------------------------------

    def _onParametersModified(self, caller: Any = None, event: Any = None) -> None:
        self._refreshTimer.start()
        if self._shown:
            self._judgeTimer.start()

    def _onNodesChanged(self, caller: Any = None, event: Any = None) -> None:
        self._refreshTimer.start()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeAboutToBeRemoved(self, caller: Any, event: Any, node: Any) -> None:
        if self._parameters is not None:
            release(self._parameters, node)

    def _onSceneStartsClosing(self, caller: Any = None, event: Any = None) -> None:
        self._useParameters(None)
        self._run.sceneCloses()
        self.inspect.sceneCloses()
        self.results.clear()
        self._remedies.notice = None

    def _onSceneChanged(self, caller: Any = None, event: Any = None) -> None:
        """Another scene; its parameters are asked for, and so made, when they are needed."""
        if self._shown or self._parameters is not None:
            self._useParameters(self._getParameters())

    def onWorkerReady(self, ready: Any) -> None:
        """The worker says what there is to compute on."""
        versions = ", ".join(f"{name} {version}" for name, version in ready.versions.items())
        self._progress.log(_("The registration process is ready: {versions}").format(versions=versions))
        self._onParametersModified()

    def onWorkerLog(self, text: str) -> None:
        """A line that the worker wrote."""
        self._progress.log(text)

    def onWorkerFailed(self, error: JointRegistrationError) -> None:
        """The worker could not be started ahead of a run; a run will say so in the panel."""
        self._progress.log(sentence(str(error)))

    # -- buttons ------------------------------------------------------------------------------------------

    def onSwap(self) -> None:
        """Exchange fixed and moving."""
        with slicer.util.NodeModify(self._parameters):
            swapInputs(self._parameters)

    def onSample(self) -> None:
        """Add the sample pair and choose it. It is computed by a process of its own; the window stays alive."""
        from JointRegistrationMRML.scene import sample_pair

        self.ui.sampleButton.setEnabled(False)
        self._sampleProblem()
        self._progress.show("sample")
        try:
            pair = alive(sample_pair.samplePairSteps(self._scene))
            if self._parameters is not None:  # the module may have been left meanwhile
                choosePair(self._parameters, pair)
            showVolumes(pair.fixed, pair.moving)
        except Exception as error:  # noqa: BLE001 whatever it is, the panel must be usable afterwards
            self._sampleProblem(sentence(str(asError(error, _("the sample knees were made")))))
        self._progress.idle()
        self.ui.sampleButton.setEnabled(True)
        self._refresh()

    def _sampleProblem(self, text: str = "") -> None:
        """Say below the button why there is no sample pair."""
        if text:
            tint(self.ui.sampleProblemFrame, "error")
        self.ui.sampleProblemText.setText(breakable(text))
        self.ui.sampleProblemFrame.setVisible(bool(text))

    def onDefaults(self) -> None:
        """Give the settings their first values."""
        with slicer.util.NodeModify(self._parameters):
            restoreDefaults(self._parameters)

    def onInstall(self) -> bool:
        """Install what is missing, after asking; whether all is there now."""
        ready = self._install.install()
        self._onParametersModified()
        return ready

    def onRegister(self) -> None:
        """Start a run; what is missing is installed first."""
        if not self._install.missing or self.onInstall():
            self._run.register()

    def onFind(self) -> None:
        """Look for bones and cartilage; what is missing is installed first."""
        if not self._install.missing or self.onInstall():
            self._findings.find()

    # -- what the controls show ---------------------------------------------------------------------------

    @property
    def _running(self) -> bool:
        return self._run.running or self._findings.running

    def _judge(self) -> None:
        """Look for problems and estimate the cost; warm the worker up once there is something to register."""
        if self._parameters is None or self._running:
            return
        ready = self._worker.client.ready
        self._judgement = judge(self._parameters, ready, self._speed, self._remedies.solve)
        if not self._install.missing and not missingInputs(self._parameters):
            self._worker.client.start()
        self._refresh()

    def _refresh(self) -> None:
        """Bring every control up to date."""
        parameters = self._parameters
        if parameters is None:
            return
        running, ready = self._running, self._worker.client.ready
        self._controls.show(
            PanelState(
                parameters,
                self._judgement,
                running,
                made=self.results.outputs,
                notice=self._remedies.notice,
                device=deviceText(parameters, ready, self._install.missing),
                hasVolumes=self._scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") > 0,
            )
        )
        self._findings.show(parameters, running)
        self.inspect.refresh(running)
