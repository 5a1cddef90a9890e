"""A run from the panel: its results, its cancel, and everything that can go wrong under it."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from Testing.Support.panel_cases import Person, newNodes, sceneContent

STAGES = {
    "preparing": "Preparing",
    "affine": "Affine",
    "deformable": "Deformation",
    "finishing": "Transforms",
}


def test_register_adds_exactly_the_chosen_results(person: Person) -> None:
    person.open()
    _fixed, moving = person.chooseVolumes()
    before = sceneContent(person.scene)
    outputs = person.register()
    assert newNodes(person.scene, before) == {
        "Moving knee to Fixed knee": "vtkMRMLTransformNode",
        "Fixed knee to Moving knee": "vtkMRMLTransformNode",
        "Moving knee warped": "vtkMRMLScalarVolumeNode",
        "Moving knee to Fixed knee (log2 Jacobian)": "vtkMRMLScalarVolumeNode",
        "Moving knee to Fixed knee (results)": "vtkMRMLTableNode",
    }
    assert moving.GetParentTransformNode() is outputs.nodes.transform
    assert person.ui.resultsButton.visible
    assert "0.500" in person.ui.summaryLabel.text
    assert "Moving knee to Fixed knee" in person.ui.summaryLabel.text
    person.picture("done")


def test_refine_further_goes_into_the_same_nodes_and_discard_brings_the_earlier_run_back(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    empty = sceneContent(person.scene)
    first = person.register()
    once = sceneContent(person.scene)
    assert person.ui.furtherButton.enabled
    person.parameters.method = "affine-opt"
    person.host.processEvents()
    assert not person.ui.furtherButton.enabled, "an affine run cannot go on from a deformation"
    person.parameters.method = "vsvf-opt"
    person.host.processEvents()
    person.host.click(person.ui.furtherButton)
    person.host.wait(lambda: not person.panel._run.running)
    second = person.panel.results.outputs
    assert second is not first, person.problems()
    assert second.inputs.startTransform is first.nodes.transform
    assert second.nodes.transform is first.nodes.transform
    assert newNodes(person.scene, once) == {}
    person.picture("further")
    person.discard()
    assert person.panel.results.outputs is first
    assert sceneContent(person.scene) == once
    assert person.ui.resultsButton.visible
    person.discard()
    assert person.panel.results.outputs is None
    assert newNodes(person.scene, empty) == {}


def test_unticked_results_are_not_made_and_ticked_ones_are(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    person.openSection("outputs")
    person.fit()
    for kind in ("transform", "inverseTransform", "warpedVolume", "jacobian", "resultsTable", "affine"):
        person.host.click(getattr(person.ui, f"{kind}CheckBox"))
    before = sceneContent(person.scene)
    outputs = person.register()
    assert list(newNodes(person.scene, before)) == ["Moving knee to Fixed knee (affine)"]
    assert outputs.inputs.moving.GetParentTransformNode() is None


def test_nothing_ticked_cannot_be_registered_and_the_tooltip_says_why(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    for kind in ("transform", "inverseTransform", "warpedVolume", "jacobian", "resultsTable"):
        setattr(person.parameters, f"wants{kind[0].upper()}{kind[1:]}", False)
    person.host.processEvents()
    assert not person.ui.registerButton.enabled
    assert "Tick at least one result" in person.ui.registerButton.toolTip


def test_a_second_run_makes_new_nodes_from_the_same_start_and_keeps_the_first(person: Person) -> None:
    """Only nodes that a person chose are overwritten; a volume shown through the first does not count twice."""
    from JointRegistrationMRML.nodes.volumes import imageFromVolume
    from JointRegistrationMRML.run.publish import transformLeftOut

    person.open()
    _fixed, moving = person.chooseVolumes()
    place = imageFromVolume(moving).grid
    first = person.register()
    assert moving.GetParentTransformNode() is first.nodes.transform
    assert transformLeftOut(first.inputs, type(first.nodes)()) is first.nodes.transform
    assert imageFromVolume(moving).grid.is_close(place)
    second = person.register()
    assert all(getattr(person.parameters, f"{kind}Node") is None for kind in vars(second.nodes))
    for kind, node in vars(second.nodes).items():
        assert node is None or node is not getattr(first.nodes, kind)
    assert moving.GetParentTransformNode() is second.nodes.transform
    assert second.nodes.transform.GetParentTransformNode() is None
    assert person.scene.IsNodePresent(first.nodes.transform)


def test_register_and_discard_three_times_leave_the_selectors_and_the_scene_as_they_were(person: Person) -> None:
    """With other nodes of every kind around, which a selector could turn to when its own node is removed."""
    person.open()
    fixed, moving = person.chooseVolumes()
    for kind in ("Transform", "LinearTransform", "Segmentation", "Table", "ScalarVolume"):
        person.scene.AddNewNodeByClass(f"vtkMRML{kind}Node", f"my {kind}")
    before = sceneContent(person.scene)
    for _ in range(3):
        outputs = person.register()
        assert outputs.nodes.warpedVolume.GetName() == "Moving knee warped"
        person.fit()
        person.discard()
        assert sceneContent(person.scene) == before
        chosen = [person.ui.fixedVolumeSelector.currentNode(), person.ui.movingVolumeSelector.currentNode()]
        assert chosen == [fixed, moving]
        for kind in vars(outputs.nodes):
            assert getattr(person.ui, f"{kind}Selector").currentNode() is None, kind
            assert getattr(person.parameters, f"{kind}Node") is None, kind
        person.waitUntilReady()


def test_a_chosen_node_that_is_removed_leaves_its_selector_empty(person: Person) -> None:
    person.open()
    fixed, moving = person.chooseVolumes()
    mine = person.scene.AddNewNodeByClass("vtkMRMLTransformNode", "mine")
    person.scene.AddNewNodeByClass("vtkMRMLTransformNode", "another")
    person.openSection("outputs")
    person.fit()
    person.host.choose(person.ui.transformSelector, mine)
    for node in (mine, moving):
        person.scene.RemoveNode(node)
    person.host.processEvents()
    assert person.parameters.transformNode is None
    assert person.ui.transformSelector.currentNode() is None
    assert person.parameters.movingVolume is None
    assert person.ui.movingVolumeSelector.currentNode() is None
    assert person.parameters.fixedVolume is fixed


def test_a_chosen_node_with_data_of_the_users_own_is_refused_and_a_new_one_offered(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    (mine, _moving), tip = person.addVolumes(), "would be overwritten"
    mine.SetName("mine")
    person.openSection("outputs")
    person.fit()
    person.host.choose(person.ui.warpedVolumeSelector, mine)
    person.host.wait(lambda: any(tip in text for text in person.problems()))
    assert "Warped volume: mine holds" in person.problems()[0].replace("\u200b", "")
    assert not person.ui.registerButton.enabled
    person.picture("foreign-output")
    person.host.click(person.ui.remedy1Button)
    person.waitUntilReady()
    assert person.problems() == []
    assert person.register().nodes.warpedVolume is not mine


def test_after_a_swap_both_volumes_start_from_their_own_places(person: Person) -> None:
    """The fixed volume, which the first run shows through its result, goes back to where it is registered."""
    person.open()
    fixed, moving = person.chooseVolumes()
    first = person.register()
    person.host.click(person.ui.swapButton)
    person.waitUntilReady()
    second = person.register()
    assert moving.GetParentTransformNode() is None
    assert fixed.GetParentTransformNode() is second.nodes.transform
    person.fit()
    person.discard()
    assert moving.GetParentTransformNode() is first.nodes.transform
    assert fixed.GetParentTransformNode() is None


def test_a_run_whose_transform_was_removed_is_not_refined_further_but_discarded(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    before = sceneContent(person.scene)
    outputs = person.register()
    assert person.ui.furtherButton.enabled
    person.scene.RemoveNode(outputs.nodes.transform)
    person.host.wait(lambda: not person.ui.furtherButton.enabled)
    person.fit()
    person.discard()
    assert set(sceneContent(person.scene)) == set(before)  # the item of what a person removed is the application's


def test_another_pair_gets_nodes_of_its_own(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    first = person.register()
    person.host.click(person.ui.swapButton)
    person.waitUntilReady()
    second = person.register()
    assert second.nodes.transform is not first.nodes.transform
    assert second.inputs.fixed is first.inputs.moving


def test_chosen_nodes_are_given_the_results(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    mine = person.scene.AddNewNodeByClass("vtkMRMLTransformNode", "mine")
    table = person.scene.AddNewNodeByClass("vtkMRMLTableNode", "my table")
    person.openSection("outputs")
    person.fit()
    person.host.choose(person.ui.transformSelector, mine)
    person.host.choose(person.ui.resultsTableSelector, table)
    outputs = person.register()
    assert outputs.nodes.transform is mine
    assert outputs.nodes.resultsTable is table
    assert mine.GetName() == "mine"


def test_discard_takes_away_exactly_what_the_run_added(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    before = sceneContent(person.scene)
    person.register()
    assert sceneContent(person.scene) != before
    person.fit()
    person.discard()
    assert sceneContent(person.scene) == before
    assert not person.ui.resultsButton.visible
    assert person.ui.transformSelector.currentNode() is None
    person.picture("discarded")


@pytest.mark.parametrize("stage", STAGES)
def test_cancel_leaves_the_scene_as_it_was(person: Person, stage: str) -> None:
    person.open("--stay-at", stage)
    person.chooseVolumes()
    before = sceneContent(person.scene)
    person.host.click(person.ui.registerButton)
    person.waitForStage(STAGES[stage])
    person.host.wait(lambda: person.panel._worker.client.state.value == "busy")
    assert not person.ui.registerButton.enabled
    person.host.click(person.ui.cancelButton)
    person.host.wait(lambda: not person.panel._run.running)
    assert sceneContent(person.scene) == before
    assert "cancelled" in person.ui.stageLabel.text
    assert person.ui.registerButton.enabled


def test_cancel_ends_a_worker_that_does_not_listen(person: Person) -> None:
    person.open("--stay-at", "preparing", "--deaf")
    person.chooseVolumes()
    person.host.click(person.ui.registerButton)
    person.waitForStage("Preparing")
    person.host.click(person.ui.cancelButton)
    person.host.wait(lambda: not person.panel._run.running)
    assert "cancelled" in person.ui.stageLabel.text


def test_cancel_before_the_worker_is_ready(person: Person) -> None:
    person.open("--stay-at", "affine")
    person.addVolumes()
    person.parameters.fixedVolume, person.parameters.movingVolume = (
        person.scene.GetFirstNodeByName(name) for name in ("Fixed knee", "Moving knee")
    )
    person.host.wait(lambda: person.ui.registerButton.enabled)
    person.host.click(person.ui.registerButton)
    person.host.click(person.ui.cancelButton)
    person.host.wait(lambda: not person.panel._run.running)
    assert "cancelled" in person.ui.stageLabel.text


@pytest.mark.parametrize("stage", ["preparing", "affine", "deformable", "finishing"])
def test_a_worker_that_dies_is_told_of_and_the_next_run_has_a_new_one(person: Person, stage: str) -> None:
    person.open("--die-at", stage)
    person.chooseVolumes()
    before = sceneContent(person.scene)
    person.host.click(person.ui.registerButton)
    person.host.wait(lambda: not person.panel._run.running)
    (text,) = person.problems()
    assert "ended at its work" in text
    assert "the stub was told to die" in text
    assert "preprocess." not in text
    assert sceneContent(person.scene) == before
    person.picture("died")
    _useStub(person)
    person.register()
    assert person.problems() == []


def test_a_worker_that_is_killed_is_told_of(person: Person) -> None:
    person.open("--stay-at", "affine")
    person.chooseVolumes()
    person.host.click(person.ui.registerButton)
    person.waitForStage("Affine")
    os.kill(person.panel._worker.client.ready.pid, signal.SIGKILL)
    person.host.wait(lambda: not person.panel._run.running)
    assert "nothing was changed" in person.problems()[0]


def test_a_worker_that_cannot_start_is_told_of_in_the_panel(person: Person) -> None:
    person.open("--fail-at", "starting")
    person.chooseVolumes()
    person.host.click(person.ui.registerButton)
    person.host.wait(lambda: not person.panel._run.running)
    assert "cannot start" in person.problems()[0]
    assert "torch" in person.problems()[0]


def test_out_of_memory_offers_a_lower_resolution(person: Person) -> None:
    person.open("--fail-at", "affine")
    person.chooseVolumes()
    person.host.click(person.ui.registerButton)
    person.host.wait(lambda: not person.panel._run.running)
    assert "memory" in person.problems()[0]
    person.picture("out-of-memory")
    before = person.parameters.workingMillions
    person.host.click(person.ui.remedy1Button)
    assert person.parameters.workingMillions < before
    assert person.problems() == []


def test_an_input_deleted_in_mid_run_ends_it(person: Person) -> None:
    person.open("--stay-at", "affine")
    _fixed, moving = person.chooseVolumes()
    person.host.click(person.ui.registerButton)
    person.waitForStage("Affine")
    person.scene.RemoveNode(moving)
    person.host.wait(lambda: not person.panel._run.running)
    assert "Moving knee was removed" in person.ui.stageLabel.text
    assert not person.ui.registerButton.enabled
    assert "Choose a moving volume" in person.ui.registerButton.toolTip


def test_a_scene_closed_in_mid_run_ends_it_and_the_panel_goes_on(person: Person) -> None:
    person.open("--stay-at", "affine")
    person.chooseVolumes()
    person.host.click(person.ui.registerButton)
    person.waitForStage("Affine")
    person.scene.Clear(0)
    person.host.wait(lambda: not person.panel._run.running)
    assert "scene was closed" in person.ui.stageLabel.text
    assert person.ui.fixedVolumeSelector.currentNode() is None
    _useStub(person)
    person.chooseVolumes()
    person.register()


def test_a_closed_scene_takes_its_results_out_of_the_panel(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    person.register()
    person.scene.Clear(0)
    person.host.processEvents()
    assert not person.ui.resultsButton.visible
    assert person.panel.inspect.ui.inspectButton.collapsed
    assert person.panel.results.outputs is None


def test_leaving_the_module_ends_a_run_and_its_process(person: Person) -> None:
    panel = person.open("--stay-at", "affine")
    person.chooseVolumes()
    person.host.click(person.ui.registerButton)
    person.waitForStage("Affine")
    pid = panel._worker.client.ready.pid
    person.host.moduleManager._unloadAll()
    person.host.wait(lambda: not _exists(pid))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _useStub(person: Person, *options: str) -> None:
    """From now on, a worker that works."""
    from JointRegistrationPanel.selftests.tests import stubCommand

    transport: Any = person.panel._worker.transport
    person.panel._worker.client.close()
    transport._command = stubCommand(*options)
