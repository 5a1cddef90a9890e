"""A small scripted module that the host's own tests drive."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Optional

import qt
import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    WithinRange,
    parameterNodeWrapper,
    parameterPack,
)
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Quality(enum.Enum):
    FAST = "fast"
    GOOD = "good"

    def label(self) -> str:
        return {"fast": "Fast", "good": "Good, slower"}[self.value]


@parameterPack
class Window:
    low: float = 0.0
    high: Annotated[float, WithinRange(0, 500)] = 100.0


@parameterNodeWrapper
class HostExampleParameterNode:
    inputVolume: slicer.vtkMRMLScalarVolumeNode
    outputVolume: Optional[slicer.vtkMRMLScalarVolumeNode]  # noqa: UP045 (Slicer before 5.10 does not know the bar)
    threshold: Annotated[float, WithinRange(-100, 500)] = 100.0
    iterations: Annotated[int, WithinRange(0, 50)] = 5
    invert: bool = False
    note: str = ""
    device: Annotated[str, Choice(["auto", "cpu", "cuda"]), Default("auto")]
    quality: Quality = Quality.GOOD
    folder: Path
    window: Window


class HostExample(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Host Example")
        parent.categories = ["Examples"]
        parent.helpText = "Only for the host's tests."
        slicer.app.connect("startupCompleted()", registerSample)


def registerSample():
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Host", sampleName="Empty", uris="none", fileNames="", nodeNames="Empty", customDownloader=addEmpty
    )


def addEmpty(source):
    return [slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", source.sampleName)]


class HostExampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.events = []
        self.parameters = None
        self.guiTag = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/HostExample.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = HostExampleLogic()
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.ui.askButton.clicked.connect(self.onAsk)
        self.bind()

    def bind(self):
        self.parameters = HostExampleParameterNode(self.logic.getParameterNode())
        self.guiTag = self.parameters.connectGui(self.ui)
        self.addObserver(self.parameters.parameterNode, "ModifiedEvent", self.refresh)
        self.refresh()

    def unbind(self):
        if self.parameters is not None:
            self.parameters.disconnectGui(self.guiTag)
            self.removeObserver(self.parameters.parameterNode, "ModifiedEvent", self.refresh)
            self.parameters = None

    def refresh(self, caller=None, event=None):
        ready = self.parameters is not None and self.parameters.inputVolume is not None
        self.ui.applyButton.enabled = ready
        self.ui.applyButton.toolTip = _("Run") if ready else _("Choose an input volume")

    def enter(self):
        self.events.append("enter")

    def exit(self):
        self.events.append("exit")

    def cleanup(self):
        self.events.append("cleanup")
        self.unbind()
        self.removeObservers()

    def onSceneStartClose(self, caller, event):
        self.unbind()

    def onSceneEndClose(self, caller, event):
        self.bind()

    def onApply(self):
        with slicer.util.tryWithErrorDisplay(_("Failed."), waitCursor=True):
            self.logic.process(self.parameters.inputVolume, self.parameters.threshold)
        self.ui.statusLabel.text = _("Done")

    def onAsk(self):
        if slicer.util.confirmOkCancelDisplay(_("Install a package?"), _("Example")):
            slicer.util.pip_install("some-package>=1")
            qt.QSettings().setValue("HostExample/installed", True)


class HostExampleLogic(ScriptedLoadableModuleLogic):
    def process(self, volume, threshold):
        if volume.GetImageData() is None:
            raise ValueError(f"{volume.GetName()} is empty")
        volume.SetAttribute("threshold", str(threshold))


class HostExampleTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_emptyVolumeIsRefused()

    def test_emptyVolumeIsRefused(self):
        self.delayDisplay("empty volume")
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        with self.assertRaises(ValueError):
            HostExampleLogic().process(node, 1.0)
