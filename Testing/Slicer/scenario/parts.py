"""The scenario: what a person does in each start of the application, and what each step may do to the scene."""

from __future__ import annotations

import importlib.util
import unittest
from typing import Any

import slicer

from .app import App, mainWindow, use
from .changes import RECORD, May
from .hands import pause
from .pump import Doing
from .session import Step

HIERARCHY = "vtkMRMLSubjectHierarchyNode:*"
LAYERS = "vtkMRMLSliceCompositeNode:*"
DISPLAY = ("*DisplayNode:*", LAYERS)
#: The moving volume and what belongs to it are shown through a result.
THROUGH_RESULT = ("*:Moving knee*:parent", "*:Moving knee*:reference transform", "*:Moving landmarks*:parent",
                  "*:Moving landmarks*:reference transform")  # fmt: skip
#: What a person may find changed while a view is open: what is shown, never what is there.
SHOWING = May(add=("*",), change=(HIERARCHY, *DISPLAY))
RUN = May(
    add=("vtkMRML*Transform*", "vtkMRMLScalarVolume*", "vtkMRMLVolumeArchetype*", "vtkMRMLSegmentation*",
         "vtkMRMLTable*", "vtkMRML*ColorNode:*", "vtkMRMLColor*", "vtkMRMLFolderDisplayNode:*",
         f"vtkMRMLScriptedModuleNode:*{RECORD}*"),
    change=(HIERARCHY, *DISPLAY, *THROUGH_RESULT),
)  # fmt: skip
RESULTS = ("*:Moving knee warped*", "*:Moving knee to Fixed knee*", "*:Fixed knee to Moving knee*", "*:*labels warped*")
IMAGE_VIEWS = ("checkerboard", "flicker", "sideBySide", "difference", "edges")
OTHER_VIEWS = ("contours", "agreement", "jacobian", "grid", "arrows")


def prepare(part: str) -> None:
    """What is set before a person comes: the layout of a first start is empty, and Reload is for developers."""
    import qt

    qt.QSettings().setValue("Developer/DeveloperMode", part == "main")
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    window = mainWindow()
    window.showMaximized()
    if part == "without-pytorch":
        found = importlib.util.find_spec
        hidden = ("torch", "safetensors")
        importlib.util.find_spec = lambda name, package=None: None if name in hidden else found(name, package)


# -- without PyTorch ------------------------------------------------------------------------------------------


def openModule(app: App) -> Doing:
    if app.stub:
        useStub()
    yield from app.openModule()
    yield lambda: app.panel is not None


def saysWhatIsMissing(app: App) -> Doing:
    yield lambda: app.ui.installFrame.visible
    use("PyTorch" in app.ui.installText.text, f"the panel says {app.ui.installText.text!r}")
    use(app.ui.installButton.visible, "there is no button that installs")
    app.facts["text"] = app.ui.installText.text


def useStub() -> None:
    """From now on a stand-in registers: the identity, at once."""
    from JointRegistration import addLibraryToPath

    addLibraryToPath()
    from JointRegistrationPanel.run import worker
    from JointRegistrationPanel.selftests import tests

    worker.closeSharedWorker()
    worker._Shared.worker = tests.stubWorker()


# -- the pair and its registration ------------------------------------------------------------------------------


def samplePair(app: App) -> Doing:
    yield from app.hands.click(app.ui.sampleButton)
    yield lambda: app.ui.fixedVolumeSelector.currentNode() is not None and app.ui.sampleButton.enabled
    yield from app.ready()
    for which, name in (("fixed", "Fixed knee"), ("moving", "Moving knee")):
        node = getattr(app.ui, f"{which}VolumeSelector").currentNode()
        use(node.GetName() == name, f"the {which} volume is {node.GetName()}")


def quickSettings(app: App) -> Doing:
    """Fewer voxels and steps than a person would take: what is shown is the same, and it takes seconds."""
    yield from app.unfold(app.ui.registrationButton)
    yield from app.enter(app.ui.refineSpinBox, "2")
    yield from app.unfold(app.ui.advancedButton)
    yield from app.enter(app.ui.resolutionSpinBox, "0.2")
    yield from app.unfold(app.ui.advancedButton, False)
    yield from app.unfold(app.ui.registrationButton, False)
    yield from app.ready()
    use(app.ui.refineSpinBox.value == 2, "the number typed for Refine was not taken")


def chooseSegmentations(fixed: str, moving: str) -> Any:
    """A step that chooses the segmentations of both images."""

    def doing(app: App) -> Doing:
        yield from app.unfold(app.ui.moreInputsButton)
        yield from app.choose(app.ui.fixedSegmentationSelector, fixed)
        yield from app.choose(app.ui.movingSegmentationSelector, moving)
        yield from app.unfold(app.ui.moreInputsButton, False)
        yield from app.ready()

    return doing


def findBones(app: App) -> Doing:
    """Both images have no segmentation: the button finds one for each, and chooses it."""
    yield from app.hands.click(app.ui.findButton)
    yield lambda: app.panel._worker.client.state.value == "busy"
    yield from app.picture("finding")
    use(not app.ui.registerButton.enabled, "Register can be pressed while bones are looked for")
    yield lambda: not app.panel._findings.running
    yield from app.unfold(app.ui.moreInputsButton)
    for which, name in (("fixed", "Fixed knee segmentation"), ("moving", "Moving knee segmentation")):
        node = getattr(app.ui, f"{which}SegmentationSelector").currentNode()
        use(node is not None and node.GetName() == name, f"the {which} segmentation is {node and node.GetName()}")
        app.facts[name] = [segment.GetName() for segment in segmentsOf(node)]
    app.facts["text"] = app.ui.problem1Text.text
    use("proposal" in app.ui.problem1Text.text, f"the panel says {app.ui.problem1Text.text!r}")


def segmentsOf(node: Any) -> list[Any]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegment(n) for n in range(segmentation.GetNumberOfSegments())]


def undoFinding(app: App) -> Doing:
    yield from app.hands.click(app.ui.remedy1Button)
    yield lambda: app.ui.fixedSegmentationSelector.currentNode() is None
    use(app.ui.movingSegmentationSelector.currentNode() is None, "a moving segmentation is chosen after Undo")


def register(app: App) -> Doing:
    yield from app.ready()
    yield from app.hands.click(app.ui.registerButton)
    yield lambda: app.panel._run.running
    yield lambda: not app.panel._run.running
    use(app.panel.results.outputs is not None, f"no result: {app.ui.stageLabel.text} {app.ui.problem1Text.text}")


def cancel(app: App) -> Doing:
    yield from app.ready()
    yield from app.hands.click(app.ui.registerButton)
    yield lambda: app.panel._run.running
    yield lambda: app.panel._worker.client.state.value == "busy"
    yield from app.picture("running")
    yield from app.hands.click(app.ui.cancelButton)
    yield lambda: not app.panel._run.running
    use("cancelled" in app.ui.stageLabel.text.lower(), f"the panel says {app.ui.stageLabel.text!r}")


def discardRefined(app: App) -> Doing:
    """The run that was refined comes back."""
    before = app.panel.results.outputs
    yield from app.unfold(app.ui.resultsButton)
    yield from app.hands.click(app.ui.discardButton)
    yield lambda: app.panel.results.outputs is not before and not app.panel._run.running
    use(app.panel.results.outputs is not None, "the run that was refined did not come back")


def discard(app: App) -> Doing:
    yield from app.unfold(app.ui.resultsButton)
    yield from app.hands.click(app.ui.discardButton)
    yield lambda: app.panel.results.outputs is None and not app.panel._run.running
    for name in ("transform", "inverseTransform", "warpedVolume", "warpedSegmentation", "jacobian", "resultsTable"):
        node = getattr(app.ui, f"{name}Selector").currentNode()
        use(node is None, f"after Discard the output {name} is {node and node.GetName()}")


def refine(app: App) -> Doing:
    yield from app.unfold(app.ui.resultsButton)
    yield from app.hands.click(app.ui.furtherButton)
    yield lambda: app.panel._run.running
    yield lambda: not app.panel._run.running
    use(app.panel.results.outputs is not None, "refining gave no result")


# -- Inspect ------------------------------------------------------------------------------------------------------


def press(control: str) -> Any:
    """A step that clicks a control of the section Inspect, and waits until the panel has done what follows."""

    def doing(app: App) -> Doing:
        yield from app.unfold(app.inspect.inspectButton)
        yield from app.hands.click(getattr(app.inspect, control))
        yield from pause(300)
        yield lambda: not app.panel.inspect._busy
        yield from pause(300)

    return doing


def openAndClose(view: str) -> list[Step]:
    """A view is opened, and closed by the same button: the scene is then as it was."""

    def toggled(open_: bool) -> Any:
        def doing(app: App) -> Doing:
            button = getattr(app.inspect, f"{view}Button")
            yield from press(f"{view}Button")(app)
            use(bool(button.checked) == open_, f"{view} is {'open' if button.checked else 'closed'}")

        return doing

    return [
        Step(f"open {view}", toggled(True), SHOWING),
        Step(f"close {view}", toggled(False), since=f"open {view}"),
    ]


def switchOn(*controls: str) -> Any:
    """A step that clicks controls of the section Inspect that are then on."""

    def doing(app: App) -> Doing:
        for control in controls:
            yield from press(control)(app)
            use(getattr(app.inspect, control).checked, f"{control} was not switched on")

    return doing


def volumeChangeInsideFemur(app: App) -> Doing:
    yield from switchOn("jacobianButton")(app)
    yield from app.choose(app.inspect.insideComboBox, "Femur (fixed)")
    yield from pause(300)
    yield lambda: not app.panel.inspect._busy


def lookAtOutputs(app: App) -> Doing:
    yield from app.unfold(app.ui.outputsButton)
    yield from app.picture("outputs")
    yield from app.unfold(app.ui.outputsButton, False)


def closeAllViews(app: App) -> Doing:
    yield from press("closeViewsButton")(app)
    use(not app.inspect.closeViewsButton.enabled, "a view is still open")


def measure(app: App) -> Doing:
    yield from press("measureButton")(app)
    yield lambda: not app.panel.inspect.numbers.measuring
    use(app.panel.inspect.numbers.nodes is not None, "nothing was measured")


def exportNumbers(app: App) -> Doing:
    path = app.folder / "numbers.csv"
    yield from app.hands.click(app.inspect.exportButton)
    yield from app.answerFileDialog(path)
    yield path.exists


def exportReport(app: App) -> Doing:
    path = app.folder / "report.html"
    yield from app.hands.click(app.inspect.reportButton)
    yield from app.answerFileDialog(path)
    yield lambda: not app.panel.inspect.numbers.measuring
    use(path.exists() and path.stat().st_size > 10_000, "no report was written")


# -- more inputs ---------------------------------------------------------------------------------------------------


def placeLandmarks(which: str) -> Any:
    """A step that places three points of an image by clicks in a slice view."""

    def doing(app: App) -> Doing:
        yield from app.unfold(app.ui.moreInputsButton)
        button = getattr(app.ui, f"place{which}Button")
        yield from app.hands.click(button)
        yield lambda: button.text == "Done"
        view = app.sliceView("Red")
        selector = getattr(app.ui, f"{which.lower()}LandmarksSelector")
        for number, (x, y) in enumerate(((0.45, 0.4), (0.6, 0.5), (0.45, 0.6)), start=1):
            yield from app.hands.click(view, (int(x * view.width), int(y * view.height)))
            yield lambda number=number: selector.currentNode().GetNumberOfDefinedControlPoints() == number
        yield from app.hands.click(button)
        yield lambda: button.text == "Place"

    return doing


def chooseMask(app: App) -> Doing:
    yield from app.unfold(app.ui.moreInputsButton)
    yield from app.choose(app.ui.fixedMaskSelector, "Fixed knee labels")
    yield lambda: app.ui.fixedMaskSegmentComboBox.visible
    yield from app.choose(app.ui.fixedMaskSegmentComboBox, "Femur")
    yield from app.ready()


def takeMaskAway(app: App) -> Doing:
    yield from app.choose(app.ui.fixedMaskSelector, "None")
    yield from app.ready()
    yield from app.unfold(app.ui.moreInputsButton, False)


# -- the module's and the scene's life --------------------------------------------------------------------------------


def save(app: App) -> Doing:
    path = app.folder.parent / "saved.mrb"
    use(slicer.util.saveScene(str(path)), f"{path} could not be written")
    yield path.exists


def closeScene(app: App) -> Doing:
    slicer.mrmlScene.Clear(0)
    yield from pause(500)
    use(app.ui.fixedVolumeSelector.currentNode() is None, "the panel still has a volume")
    use(not app.ui.resultsButton.visible, "the panel still shows results")


def reopen(app: App) -> Doing:
    slicer.util.loadScene(str(app.folder.parent / "saved.mrb"))
    yield from pause(1000)
    node = app.ui.fixedVolumeSelector.currentNode()
    use(node is not None and node.GetName() == "Fixed knee", "the panel's fixed volume did not come back")
    yield from app.ready()


def inspectFoundRun(app: App) -> Doing:
    yield from press("contoursButton")(app)
    use(app.inspect.contoursButton.checked, "the outlines of the run in the scene did not open")


def reload(app: App) -> Doing:
    button = slicer.util.findChildren(slicer.modules.jointregistration.widgetRepresentation(), text="Reload")[0]
    old = app.panel
    yield from app.unfold(slicer.modules.JointRegistrationWidget.reloadCollapsibleButton)
    yield from app.hands.click(button)
    yield lambda: app.panel is not None and app.panel is not old
    if app.stub:
        useStub()


def closeInMidRun(app: App) -> Doing:
    yield from app.ready()
    yield from app.hands.click(app.ui.registerButton)
    yield lambda: app.panel._worker.client.state.value == "busy"
    slicer.util.exit(0)
    yield lambda: False


def selfTests(app: App) -> Doing:
    import JointRegistration

    loader, result = unittest.TestLoader(), unittest.TestResult()
    names = ("test_panelWithAStubWorker", "test_panelWithTheRealWorker", "test_syntheticPairIsRegistered")
    suite = unittest.TestSuite(JointRegistration.JointRegistrationTest(name) for name in names)
    suite.addTests(loader.loadTestsFromName("JointRegistrationInSlicerTest"))
    suite.run(result)
    app.facts["ran"], app.facts["skipped"] = result.testsRun, [reason for _test, reason in result.skipped]
    use(result.wasSuccessful(), "\n".join(text for _test, text in (*result.failures, *result.errors)))
    yield from pause(100)


ANYTHING = May(add=("*",), remove=("*",), change=("*",))
LANDMARKS = May(add=("vtkMRMLMarkups*",), change=(HIERARCHY, LAYERS, "vtkMRMLMarkups*:*", *DISPLAY))

PARTS: dict[str, list[Step]] = {
    "without-pytorch": [
        Step("open without PyTorch", openModule),
        Step("it says what is missing", saysWhatIsMissing),
    ],
    "main": [
        Step("open", openModule),
        Step("sample pair", samplePair, May(
            add=("vtkMRMLScalarVolume*", "vtkMRMLVolumeArchetype*", "vtkMRMLSegmentation*", "vtkMRMLSubjectHierarchy*"),
            change=(HIERARCHY, LAYERS))),
        Step("look at the outputs", lookAtOutputs),
        Step("quick settings", quickSettings),
        Step("take the segmentations away", chooseSegmentations("None", "None")),
        Step("find bones and cartilage", findBones, May(
            add=("vtkMRMLSegmentation*",), change=(HIERARCHY, LAYERS))),
        Step("take back what was found", undoFinding, May(
            change=(HIERARCHY, LAYERS)), since="find bones and cartilage"),
        Step("choose the segmentations again", chooseSegmentations("Fixed knee labels", "Moving knee labels")),
        Step("cancel", cancel),
        Step("register", register, RUN),
        *(step for view in IMAGE_VIEWS + OTHER_VIEWS for step in openAndClose(view)),
        Step("volume change inside the femur", volumeChangeInsideFemur, SHOWING),
        Step("close volume change", closeAllViews, since="volume change inside the femur"),
        Step("outlines in 3D", switchOn("contoursButton", "surfacesCheckBox"), SHOWING),
        Step("outlines live", switchOn("liveCheckBox"), May(("*",), ("*",), SHOWING.change)),
        Step("close all views", closeAllViews, since="outlines in 3D"),
        Step("measure", measure, May(
            add=("vtkMRMLTable*", "vtkMRMLPlot*", "vtkMRMLModel*", "vtkMRML*ColorNode*", "vtkMRMLColor*"),
            change=(HIERARCHY, LAYERS))),
        Step("close the table", press("tableButton"), May(change=(HIERARCHY,))),
        *(step for view in ("thickness", "jacobianPlot", "thicknessPlot", "depthJacobianPlot", "depthMovedPlot")
          for step in openAndClose(view)),
        Step("export the numbers", exportNumbers),
        Step("export a report", exportReport),
        Step("refine", refine, May(RUN.add, (), (*RUN.change, *RESULTS))),
        Step("discard the refined run", discardRefined, May(("*",), ("*",), (*RUN.change, *RESULTS))),
        Step("discard the run", discard, May(change=(LAYERS,)), since="register"),
        Step("place landmarks of the fixed image", placeLandmarks("Fixed"), LANDMARKS),
        Step("place landmarks of the moving image", placeLandmarks("Moving"), LANDMARKS),
        Step("choose a mask", chooseMask),
        Step("register with mask and landmarks", register, RUN),
        Step("take the mask away", takeMaskAway),
        Step("save", save, May(add=("*Storage*",), change=("*",))),
        Step("close the scene", closeScene, ANYTHING),
        Step("reopen", reopen, ANYTHING),
        Step("inspect the run of the scene", inspectFoundRun, SHOWING),
        Step("close its outlines", press("contoursButton"), since="inspect the run of the scene"),
        Step("reload", reload),
        Step("close the scene again", closeScene, ANYTHING),
        Step("sample pair after reload", samplePair, ANYTHING),
        Step("close in mid-run", closeInMidRun, ends=True),
    ],
    "reopened": [
        Step("open", openModule),
        Step("open the saved scene", reopen, ANYTHING),
        Step("open outlines", inspectFoundRun, SHOWING),
        Step("close outlines", press("contoursButton"), since="open outlines"),
    ],
    "self-tests": [Step("self-tests", selfTests, ANYTHING)],
}  # fmt: skip
