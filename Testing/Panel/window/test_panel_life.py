"""The panel comes and goes: what it follows while it is shown, and nothing of it stays behind."""

from __future__ import annotations

import gc
import time
from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from Testing.Support.panel_cases import Person


def page() -> Any:
    """The module's page, which the application enters and leaves."""
    return slicer.modules.jointregistration.widgetRepresentation()


def waitAMoment(person: Person) -> None:
    """Longer than the panel waits before it judges the inputs."""
    end = time.monotonic() + 0.4
    person.host.wait(lambda: time.monotonic() > end)


def test_inputs_are_not_judged_and_no_process_is_started_while_another_module_is_shown(person: Person) -> None:
    panel = person.open()
    page().exit()
    fixed, moving = person.addVolumes()
    person.parameters.fixedVolume, person.parameters.movingVolume = fixed, moving
    waitAMoment(person)
    assert panel._worker.client.state.value == "stopped"
    assert "memory" not in panel._judgement.estimate
    page().enter()
    person.waitUntilReady()


def test_a_run_goes_on_while_another_module_is_shown(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    person.host.click(person.ui.registerButton)
    page().exit()
    person.host.wait(lambda: not person.panel._run.running)
    assert person.panel.results.outputs is not None
    page().enter()
    assert person.ui.resultsButton.visible


def test_a_scene_closed_while_another_module_is_shown_is_taken_up_when_the_panel_is_back(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    page().exit()
    person.scene.Clear(0)
    waitAMoment(person)
    assert person.panel._parameters is None
    page().enter()
    person.host.processEvents()
    assert person.ui.fixedVolumeSelector.currentNode() is None
    assert not person.ui.registerButton.enabled
    person.chooseVolumes()
    person.register()


def ourObservations() -> list[Any]:
    """What objects of the panel observe in VTK."""
    ours = (each for each in gc.get_objects() if issubclass(type(each), slicer.util.VTKObservationMixin))
    return [seen for each in ours if type(each).__module__.startswith("Joint") for seen in each.Observations]


def test_nothing_is_observed_once_the_panel_has_gone(person: Person) -> None:
    panel = person.open()
    fixed, _ = person.chooseVolumes()
    person.register()
    panel.inspect.ui.inspectButton.collapsed = False
    person.host.click(panel.inspect.ui.checkerboardButton)
    mask = person.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mask")
    mask.CreateDefaultDisplayNodes()
    mask.GetSegmentation().AddEmptySegment("a")
    person.parameters.fixedMask = mask
    person.openSection("moreInputs")
    person.host.click(person.ui.placeFixedButton)
    person.host.processEvents()
    observed = {type(seen[0]).__name__ for seen in ourObservations()}
    assert {"vtkMRMLScene", "vtkMRMLSegmentationNode", "vtkMRMLMarkupsFiducialNode"} <= observed
    slicer.modules.JointRegistrationWidget.cleanup()
    assert ourObservations() == []
    person.scene.RemoveNode(fixed)  # nobody is there to be told
    person.host.processEvents()


def test_after_a_reload_nothing_of_the_panel_before_is_left(person: Person) -> None:
    """In Slicer 5.6 a function that the wrapper left on the parameter node ended the process at its next change."""
    panel = person.open()
    person.chooseVolumes()
    node, window = panel._parameters.parameterNode, panel.widget
    gone: list[Any] = []
    window.destroyed.connect(lambda *_: gone.append(True))
    del panel
    person.panel = None
    slicer.modules.JointRegistrationWidget.onReload()
    QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.DeferredDelete.value)  # as an event loop does
    gc.collect()
    assert gone
    person.panel = slicer.modules.JointRegistrationWidget.panel
    assert len(page().findChildren(QtWidgets.QWidget, "inputsButton")) == 1
    node.SetParameter("note", "changed")
    person.host.processEvents()
    from JointRegistrationPanel.run import worker

    assert worker._Shared.worker is person.panel._worker
    slicer.modules.JointRegistrationWidget.cleanup()
    assert worker._Shared.worker is None
    gc.collect()
    node.SetParameter("note", "changed again")  # an observer that was left behind is an error of the host
    person.host.processEvents()
