"""The Slicer module "Joint Registration": descriptor, panel, logic for the Python console, and self-tests.

It only mounts what lies beside it: the panel (``JointRegistrationPanel``), the scene layer
(``JointRegistrationMRML``) and the library (``JointRegistrationLib``). Nothing heavy is imported before a
registration is asked for.
"""

from __future__ import annotations

import importlib.util
import sys
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

PACKAGES = ("JointRegistrationPanel", "JointRegistrationMRML", "JointRegistrationLib")


def addLibraryToPath() -> None:
    """Make the library importable from a source checkout, where it lies beside this module's folder.

    In an installed extension it lies beside this file, and Slicer finds it without help. Done on use, not when Slicer
    imports this file while it starts.
    """
    checkout = Path(__file__).resolve().parent.parent
    if importlib.util.find_spec("JointRegistrationLib") is None and (checkout / "JointRegistrationLib").is_dir():
        sys.path.append(str(checkout))


try:
    from slicer.i18n import tr as _
except ImportError:  # slicer-core without the application's translations

    def _(text: str) -> str:
        return text


class JointRegistration(ScriptedLoadableModule):
    """What Slicer lists about the module."""

    #: What is still to be imported; see :func:`importInTurns`.
    importing: Any = None

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("Joint Registration")
        parent.categories = ["Registration"]
        parent.dependencies = []
        parent.contributors = ["Joint Registration contributors"]
        parent.helpText = _(
            "<p>Lays one MR image of a knee onto another: an affine transform, then a smooth deformation that has an "
            "inverse. Choose a fixed and a moving volume and press Register; segmentations of the moving image come "
            "along. The section Results says whether to trust it.</p>"
            "<p>From the Python console: <tt>JointRegistration.JointRegistrationLogic().register(fixedVolume, "
            "movingVolume)</tt>.</p><p>Research software, not a medical device.</p>"
        )
        parent.acknowledgementText = _(
            "Follows Z. Shen, X. Han, Z. Xu and M. Niethammer, Networks for Joint Affine and Non-parametric Image "
            "Registration, CVPR 2019."
        )
        if hasattr(slicer, "app"):
            slicer.app.connect("startupCompleted()", registerSampleData)
            slicer.app.connect("startupCompleted()", followScenes)
            slicer.app.connect("startupCompleted()", importInTurns)


def registerSampleData() -> None:
    """Offer the computed knee pair in the Sample Data module."""
    addLibraryToPath()
    from JointRegistrationPanel.install.sample_data import registerSource

    registerSource(str(Path(__file__).parent / "Resources" / "Icons" / "SampleKnees.png"))


#: What the panel imports, in parts that take 0.1 s at most.
_PARTS = (
    "importlib.metadata", "JointRegistrationLib.core.result", "JointRegistrationMRML.run.results_table",
    "JointRegistrationMRML.run.publish", "JointRegistrationMRML.run.runner", "JointRegistrationMRML.run.register",
    "JointRegistrationMRML.run.job", "JointRegistrationMRML.inspection.session",
    "JointRegistrationPanel.install.packages", "JointRegistrationPanel.run.estimate",
    "JointRegistrationPanel.run.controls", "JointRegistrationPanel.inspection.section", "JointRegistrationPanel.widget",
)  # fmt: skip


def importInTurns() -> None:
    """Import what the panel needs while the application has nothing else to do, so that it opens without a pause."""
    addLibraryToPath()
    from JointRegistrationMRML.pauses import importSteps
    from JointRegistrationPanel.window import Turns

    JointRegistration.importing = Turns(importSteps(*_PARTS))


def followScenes() -> None:
    """Let registrations of scenes that are opened from now on be what they were when they were saved."""
    slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, _onSceneRead)


def _onSceneRead(caller: Any, event: str) -> None:
    from JointRegistrationMRML.nodes.transforms import interpolateLinearly

    interpolateLinearly(slicer.mrmlScene)


class JointRegistrationWidget(ScriptedLoadableModuleWidget):
    """Mounts the panel."""

    def __init__(self, parent: Any = None) -> None:
        self.panel: Any = None
        super().__init__(parent)

    def setup(self) -> None:
        super().setup()
        addLibraryToPath()
        from JointRegistrationPanel.widget import Panel

        self.logic = JointRegistrationLogic()
        self.panel = Panel(self.resourcePath("UI/JointRegistration.ui"), self.logic.getParameterNode, slicer.mrmlScene)
        self.layout.addWidget(self.panel.widget)

    def enter(self) -> None:
        if self.panel is not None:
            self.panel.enter()

    def exit(self) -> None:
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        if self.panel is None:
            return
        from JointRegistrationPanel.run.worker import closeSharedWorker

        self.panel.cleanup()
        self.panel = None
        closeSharedWorker()

    def onReload(self) -> None:
        """Take up changes in the packages too, not in this file only."""
        self.cleanup()
        for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
            del sys.modules[name]
        self._importAlive()
        super().onReload()

    def _importAlive(self) -> None:
        """Import the packages anew; the window draws meanwhile, but takes no clicks."""
        import qt

        from JointRegistrationMRML.pauses import importSteps

        for _part in importSteps(*_PARTS):
            slicer.app.processEvents(qt.QEventLoop.ExcludeUserInputEvents)


class JointRegistrationLogic(ScriptedLoadableModuleLogic):
    """Registration of nodes in a scene, for Slicer's Python console and for scripts.

    Example::

        import JointRegistration
        logic = JointRegistration.JointRegistrationLogic()
        outputs = logic.register(getNode("fixed"), getNode("moving"))
        outputs.nodes.warpedVolume, outputs.result.similarity_after
    """

    def __init__(self, *arguments: Any) -> None:
        addLibraryToPath()
        super().__init__(*arguments)

    def getParameterNode(self) -> Any:
        """The panel's parameters in Slicer's scene."""
        from JointRegistrationPanel.inputs.parameters import PanelParameters

        return PanelParameters(super().getParameterNode())

    def register(
        self,
        fixedVolume: Any,
        movingVolume: Any,
        config: Any = None,
        *,
        scene: Any = None,
        progress: Callable[[str, float, float | None], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        **arguments: Any,
    ) -> Any:
        """Register ``movingVolume`` to ``fixedVolume``, add the results to the scene, all or none, and return.

        Args:
            fixedVolume, movingVolume: scalar volume nodes.
            config: a ``RegistrationConfig``; defaults if None.
            scene: where the nodes are and the results go; Slicer's own scene if None.
            progress: called with the stage, the fraction done (0 to 1), and the loss or None.
            cancelled: asked often; True ends the run.
            arguments: what ``JointRegistrationMRML.run.register.makeRequest`` takes: the panel's settings
                (``method``, ``refine``, ``device``, ...), further inputs (``movingSegmentation``, ``fixedMask``,
                ``fixedMaskSegment``, ``initialTransform``, ...) and nodes for the results (``outputTransform``,
                ``outputVolume``, ...).

        Returns:
            ``RegistrationOutputs``: the nodes, their subject-hierarchy folder, and the figures.

        Raises:
            InputError: an input cannot be used; the message says why, and nothing was run.
            RegistrationCancelled, ResourceError: the scene is as it was.
        """
        from JointRegistrationMRML.run.register import makeRequest, registerVolumes

        request = makeRequest(fixedVolume, movingVolume, config, arguments)
        return registerVolumes(
            slicer.mrmlScene if scene is None else scene,
            request.nodes,
            request.config,
            options=request.options,
            reuse=request.reuse,
            progress=progress,
            cancelled=cancelled,
            **request.further,
        )

    def registerAsync(
        self,
        fixedVolume: Any,
        movingVolume: Any,
        config: Any = None,
        *,
        onFinished: Callable[[Any], None],
        onFailed: Callable[[Exception], None] | None = None,
        progress: Callable[[str, float, float | None], None] | None = None,
        **arguments: Any,
    ) -> Any:
        """As :meth:`register`, but in the worker process: returns at once, and the window stays alive.

        Args:
            onFinished: called with ``RegistrationOutputs`` when the results are in the scene.
            onFailed: called with the error, or with ``RegistrationCancelled``; None to print it.
            progress: called with the stage, the fraction done (0 to 1), and the seconds left or None.

        Returns:
            The run, which has ``running`` and ``cancel()``.

        Raises:
            InputError: an input cannot be used.
            ResourceError: another registration, or a search for bones, is running.
        """
        from JointRegistrationMRML.run.register import makeRequest
        from JointRegistrationPanel.console import startRun

        request = makeRequest(fixedVolume, movingVolume, config, arguments)
        return startRun(slicer.mrmlScene, request, onFinished, onFailed, progress)

    def segment(
        self,
        volume: Any,
        *,
        device: str = "auto",
        scene: Any = None,
        progress: Callable[[str, float, float | None], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Any:
        """Find femur, tibia, patella and their cartilages in a volume, and return the new segmentation node.

        It is a proposal: its attribute ``JointRegistration.Proposal`` says where it is unsure.

        Args:
            volume: scalar volume node, a knee in any contrast.
            device: where to compute: auto, cpu, cuda or mps.
            scene, progress, cancelled: see :meth:`register`.

        Raises:
            InputError: the volume cannot be used, or shows no knee.
            RegistrationCancelled, ResourceError, CheckpointError: the scene is as it was.
        """
        from JointRegistrationMRML.run.found import findStructures

        where = slicer.mrmlScene if scene is None else scene
        return findStructures(where, volume, device=device, progress=progress, cancelled=cancelled).node

    def segmentAsync(
        self,
        volume: Any,
        *,
        onFinished: Callable[[Any], None],
        onFailed: Callable[[Exception], None] | None = None,
        progress: Callable[[str, float, float | None], None] | None = None,
        device: str = "auto",
    ) -> Any:
        """As :meth:`segment`, but in the worker process, as :meth:`registerAsync`.

        Args:
            onFinished: called with the segmentation node.
            onFailed, progress: see :meth:`registerAsync`.

        Returns:
            The search, which has ``running`` and ``cancel()``.

        Raises:
            InputError: the volume cannot be used.
            ResourceError: a registration or another search is running.
        """
        from JointRegistrationPanel.console import startSearch

        return startSearch(slicer.mrmlScene, volume, device, onFinished, onFailed, progress)


class JointRegistrationTest(ScriptedLoadableModuleTest):
    """Runs in seconds inside Slicer (Reload and Test, ctest). What needs PyTorch is skipped without it."""

    def setUp(self) -> None:
        addLibraryToPath()
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        for name in ("test_panelWithAStubWorker", "test_panelWithTheRealWorker", "test_syntheticPairIsRegistered"):
            self.setUp()
            try:
                getattr(self, name)()
            except unittest.SkipTest as skipped:
                self.delayDisplay(f"{name}: skipped, {skipped}")

    def test_panelWithAStubWorker(self) -> None:
        """Two volumes are chosen, Register is pressed, and the results are in the scene; Discard takes them away."""
        from JointRegistrationPanel.selftests import tests

        tests.registersAndDiscards(self, stub=True)

    def test_panelWithTheRealWorker(self) -> None:
        """The same with the process that registers."""
        from JointRegistrationPanel.selftests import tests

        tests.skipWithoutPackages(self)
        tests.registersAndDiscards(self, stub=False)

    def test_syntheticPairIsRegistered(self) -> None:
        """From the console: a bright ellipsoid, moved by 4 mm, comes back to where the fixed one is."""
        from JointRegistrationPanel.selftests import tests

        tests.skipWithoutPackages(self)
        tests.registersFromTheConsole(self, JointRegistrationLogic())
