"""The button *Find bones and cartilage*: what it finds, on which side, and everything that can go wrong under it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from Testing.Support.panel_cases import Person, newNodes, sceneContent


@pytest.fixture(autouse=True)
def weights(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub needs none, but the button looks for them."""
    person.host.loadModule("JointRegistration")
    from JointRegistrationPanel.run import findings

    monkeypatch.setattr(findings, "SEGMENTER_WEIGHTS", Path(__file__))


def find(person: Person) -> None:
    """Press the button and wait for the end."""
    person.host.click(person.ui.findButton)
    assert person.panel._running
    person.host.wait(lambda: not person.panel._running)
    person.host.processEvents()


def opened(person: Person, *stubOptions: str) -> tuple[Any, Any]:
    """The module with two volumes chosen."""
    person.open(*stubOptions)
    return person.chooseVolumes()


def test_both_sides_are_found_one_after_the_other_and_chosen(person: Person) -> None:
    opened(person)
    before = sceneContent(person.scene)
    assert "Fixed knee, Moving knee" in person.ui.findButton.toolTip
    person.picture("find")
    find(person)
    assert newNodes(person.scene, before) == {
        "Fixed knee segmentation": "vtkMRMLSegmentationNode",
        "Moving knee segmentation": "vtkMRMLSegmentationNode",
    }
    for side in ("Fixed", "Moving"):
        selector = getattr(person.ui, f"{side.lower()}SegmentationSelector")
        assert selector.currentNode().GetName() == f"{side} knee segmentation"
    (message,) = person.problems()
    assert "is a proposal" in message and "Segment Editor" in message
    assert "Unsure in Fixed knee, Moving knee: patellar cartilage." in message
    assert not person.ui.findButton.enabled
    assert "Choose None there" in person.ui.findButton.toolTip
    assert person.ui.registerButton.enabled
    person.picture("found")


def test_undo_takes_both_away_and_the_button_is_there_again(person: Person) -> None:
    opened(person)
    before = sceneContent(person.scene)
    find(person)
    person.fit()
    person.host.click(person.ui.remedy1Button)
    person.host.processEvents()
    assert sceneContent(person.scene) == before
    assert person.parameters.fixedSegmentation is None and person.parameters.movingSegmentation is None
    assert person.problems() == [] and person.ui.findButton.enabled


def test_undo_spares_what_was_edited_and_says_so(person: Person) -> None:
    opened(person)
    find(person)
    person.parameters.fixedSegmentation.GetSegmentation().RemoveSegment("Patella")
    person.fit()
    person.host.click(person.ui.remedy1Button)
    person.host.processEvents()
    assert person.problems() == ["These stay, because they were edited: Fixed knee segmentation."]
    assert person.parameters.movingSegmentation is None


def test_only_the_side_without_a_segmentation_is_looked_at(person: Person) -> None:
    _fixed, moving = opened(person)
    mine = person.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    person.parameters.fixedSegmentation = mine
    person.host.processEvents()
    assert "in: Moving knee." in person.ui.findButton.toolTip
    before = sceneContent(person.scene)
    find(person)
    assert newNodes(person.scene, before) == {"Moving knee segmentation": "vtkMRMLSegmentationNode"}
    assert person.parameters.fixedSegmentation is mine
    found = person.parameters.movingSegmentation
    assert found.GetNodeReference(found.GetReferenceImageGeometryReferenceRole()) is moving


def test_one_volume_is_enough_and_without_any_there_is_no_button(person: Person) -> None:
    person.open()
    assert not person.ui.findRow.visible
    fixed, _moving = person.addVolumes()
    person.host.choose(person.ui.fixedVolumeSelector, fixed)
    person.host.wait(lambda: person.ui.findButton.enabled)
    find(person)
    assert person.parameters.fixedSegmentation.GetName() == "Fixed knee segmentation"


def test_while_it_runs_there_is_progress_and_cancel_and_nothing_to_register(person: Person) -> None:
    opened(person, "--stay-at", "affine")
    person.host.click(person.ui.findButton)
    person.waitForStage("Affine")
    assert person.ui.progressBar.visible and "%" in person.ui.stageLabel.text
    assert not person.ui.registerButton.enabled and not person.ui.findButton.enabled
    assert person.ui.cancelButton.enabled
    assert "at work" in person.ui.registerButton.toolTip
    person.host.click(person.ui.cancelButton)
    person.host.wait(lambda: not person.panel._running)


def test_a_cancel_leaves_the_scene_as_it_was(person: Person) -> None:
    opened(person, "--stay-at", "affine")
    before = sceneContent(person.scene)
    person.host.click(person.ui.findButton)
    person.waitForStage("Affine")
    person.host.click(person.ui.cancelButton)
    person.host.wait(lambda: not person.panel._running)
    assert sceneContent(person.scene) == before
    assert person.ui.stageLabel.text == "The search was cancelled. The scene is as it was."
    assert person.problems() == []


def secondSide(person: Person) -> None:
    """Press the button and wait until the first side is found and the second one is being looked at."""
    person.host.click(person.ui.findButton)
    person.host.wait(lambda: person.parameters.fixedSegmentation is not None and person.panel._findings.running)
    person.host.wait(lambda: person.panel._worker.client.running)


def test_a_cancel_on_the_second_side_takes_the_first_back_too(person: Person) -> None:
    opened(person, "--seconds", "1")
    before = sceneContent(person.scene)
    secondSide(person)
    assert int(person.ui.progressBar.value) >= 500
    person.host.click(person.ui.cancelButton)
    person.host.wait(lambda: not person.panel._running)
    person.host.processEvents()
    assert sceneContent(person.scene) == before
    assert person.parameters.fixedSegmentation is None


def test_a_failure_on_the_second_side_keeps_the_first(person: Person) -> None:
    opened(person, "--seconds", "1")
    secondSide(person)
    os.kill(person.panel._worker.client.ready.pid, signal.SIGKILL)
    person.host.wait(lambda: not person.panel._running)
    person.host.processEvents()
    (message,) = person.problems()
    assert "process ended" in message and "Unsure in Fixed knee" in message
    assert person.parameters.fixedSegmentation.GetName() == "Fixed knee segmentation"
    assert "in: Moving knee." in person.ui.findButton.toolTip and person.ui.findButton.enabled


def test_a_failure_is_said_and_leaves_the_scene_as_it_was(person: Person) -> None:
    opened(person, "--fail-at", "affine")
    before = sceneContent(person.scene)
    find(person)
    assert sceneContent(person.scene) == before
    (message,) = person.problems()
    assert "run out of memory" in message
    assert not person.ui.remedy1Button.visible, "what helps a registration does not help here"
    assert person.ui.findButton.enabled


def test_a_volume_that_is_removed_ends_it(person: Person) -> None:
    fixed, _moving = opened(person, "--stay-at", "affine")
    person.host.click(person.ui.findButton)
    person.waitForStage("Affine")
    person.scene.RemoveNode(fixed)
    person.host.wait(lambda: not person.panel._running)
    assert person.ui.stageLabel.text == "Fixed knee was removed from the scene, so the search was cancelled."
    assert person.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


@pytest.mark.parametrize("second", [False, True])
def test_a_closed_scene_ends_it(person: Person, second: bool) -> None:
    opened(person, "--seconds", "1" if second else "30")
    if second:
        secondSide(person)
    else:
        person.host.click(person.ui.findButton)
        person.waitForStage("Affine")
    person.scene.Clear(0)
    person.host.wait(lambda: not person.panel._running)
    person.host.processEvents()
    assert person.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert person.problems() == []


def test_without_the_weights_the_button_says_why_it_cannot_be_used(
    person: Person, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    person.open()
    from JointRegistrationPanel.run import findings

    monkeypatch.setattr(findings, "SEGMENTER_WEIGHTS", tmp_path / "none.safetensors")
    person.chooseVolumes()
    assert not person.ui.findButton.enabled
    assert "none.safetensors" in person.ui.findButton.toolTip


def test_without_pytorch_it_offers_what_register_offers(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(person)
    asked: list[str] = []
    monkeypatch.setattr(type(person.panel._install), "missing", True)
    monkeypatch.setattr(person.panel._install, "install", lambda: bool(asked.append("asked")))
    person.host.click(person.ui.findButton)
    person.host.processEvents()
    assert asked == ["asked"] and not person.panel._running


def test_what_was_found_is_warped_and_measured_like_any_other(person: Person) -> None:
    from JointRegistrationMRML.measure.measurement import measure

    opened(person)
    find(person)
    outputs = person.register()
    assert outputs.nodes.warpedSegmentation is not None
    names = {overlap.name for overlap in outputs.overlaps}
    assert {"Femur", "Medial tibial cartilage", "Patellar cartilage"} <= names
    assert all(overlap.after == 1.0 for overlap in outputs.overlaps)
    measured = measure(outputs)
    assert [figures.pair.bone for figures in measured.cartilage] == ["Femur", "Tibia", "Patella", "Tibia"]


# -- the console --------------------------------------------------------------------------------------------


def test_the_console_finds_without_waiting(person: Person) -> None:
    person.open()
    fixed, _moving = person.addVolumes()
    logic = sys.modules["JointRegistration"].JointRegistrationLogic()
    ends: list[Any] = []
    search = logic.segmentAsync(fixed, onFinished=ends.append, onFailed=ends.append)
    assert search.running
    person.host.wait(lambda: not search.running)
    assert [end.GetName() for end in ends] == ["Fixed knee segmentation"]


def test_the_console_can_wait(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    person.host.loadModule("JointRegistration")
    fixed, _moving = person.addVolumes()
    logic = sys.modules["JointRegistration"].JointRegistrationLogic()
    from JointRegistrationLib.segmentation import segment as module
    from Testing.Support.results import made_segmentation

    monkeypatch.setattr(module, "segment", lambda image, **how: made_segmentation(image))
    assert logic.segment(fixed).GetSegmentation().GetSegment("Femur") is not None
