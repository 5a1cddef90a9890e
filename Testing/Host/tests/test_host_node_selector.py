"""qMRMLNodeComboBox on a real scene."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def scene(host: Any) -> Any:
    return host.scene


@pytest.fixture
def selector(host: Any) -> Any:
    import slicer

    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.noneEnabled = True
    combo.setMRMLScene(slicer.mrmlScene)
    combo.show()
    return combo


def _volume(scene: Any, name: str) -> Any:
    return scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


def test_it_follows_nodes_added_renamed_and_removed(selector: Any, scene: Any, host: Any) -> None:
    first, second = _volume(scene, "first"), _volume(scene, "second")
    scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "other kind")
    assert selector.nodeCount() == 2
    host.choose(selector, second)
    second.SetName("renamed")
    host.choose(selector, "renamed")
    scene.RemoveNode(second)
    assert selector.nodeCount() == 1
    assert selector.nodeFromIndex(0) is first


def test_the_node_below_is_chosen_when_the_current_one_goes_and_the_last_if_there_is_none(
    selector: Any, scene: Any
) -> None:
    nodes = [_volume(scene, name) for name in ("first", "second", "third", "fourth")]
    seen, activated = [], []
    selector.setCurrentNode(nodes[1])
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    selector.connect("nodeActivated(vtkMRMLNode*)", activated.append)
    scene.RemoveNode(nodes[1])
    scene.RemoveNode(nodes[2])
    assert (seen, activated) == ([nodes[2], nodes[3]], [])
    scene.RemoveNode(nodes[3])
    assert (seen[2:], activated) == ([nodes[0]], [nodes[0]])
    scene.RemoveNode(nodes[0])
    assert selector.currentNode() is None
    assert seen[3:] == [None]


def test_other_observers_of_the_scene_hear_first_that_a_node_goes(selector: Any, scene: Any) -> None:
    """So that parameters can become None before the selector chooses another node."""
    first, second = _volume(scene, "first"), _volume(scene, "second")
    selector.setCurrentNode(second)
    scene.AddObserver(scene.NodeAboutToBeRemovedEvent, lambda *_: selector.setCurrentNode(None))
    scene.RemoveNode(second)
    assert selector.currentNode() is None
    assert selector.nodeFromIndex(0) is first


def test_bound_parameters_take_the_node_that_the_selector_chooses_instead(selector: Any, scene: Any) -> None:
    import slicer
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    class Chosen:
        volume: slicer.vtkMRMLScalarVolumeNode

    Chosen.__annotations__ = {"volume": slicer.vtkMRMLScalarVolumeNode}  # not postponed
    parameters = parameterNodeWrapper(Chosen)(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Chosen"))
    users, output = _volume(scene, "the user's own"), _volume(scene, "output")
    parameters.connectParametersToGui({"volume": selector})
    parameters.volume = output
    scene.RemoveNode(output)
    assert parameters.volume is users


def test_choosing_by_a_script_counts_as_activated_like_a_persons_choice(selector: Any, scene: Any) -> None:
    node, seen = _volume(scene, "knee"), []
    selector.connect("nodeActivated(vtkMRMLNode*)", seen.append)
    selector.setCurrentNode(node)
    assert seen == [node]


def test_importing_a_scene_forgets_the_choice_and_offers_its_nodes_at_the_end(selector: Any, scene: Any) -> None:
    selector.setCurrentNode(_volume(scene, "knee"))
    scene.StartState(scene.ImportState)
    _volume(scene, "imported")
    assert selector.nodeCount() == 1
    scene.EndState(scene.ImportState)
    assert selector.nodeCount() == 2
    assert selector.currentNode() is None


def test_it_cannot_be_used_without_a_scene_and_takes_the_choice_made_before(scene: Any) -> None:
    import slicer

    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    _, second = _volume(scene, "first"), _volume(scene, "second")
    combo.setCurrentNode(second)
    assert not combo.enabled
    combo.setMRMLScene(scene)
    assert combo.enabled
    assert combo.currentNode() is second


def test_it_stays_as_wide_as_its_widest_entry_was_when_first_shown(scene: Any) -> None:
    import slicer

    _volume(scene, "a volume whose name is longer than any panel should have to be wide")
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.setMRMLScene(scene)
    before = combo.minimumSizeHint.width()
    assert before > combo.fontMetrics().horizontalAdvance(combo.currentNode().GetName())
    _volume(scene, 3 * combo.currentNode().GetName())
    assert combo.minimumSizeHint.width() == before


def test_signals_carry_the_node_a_flag_and_the_id(selector: Any, scene: Any) -> None:
    seen = []
    assert selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    assert selector.connect("currentNodeChanged(bool)", seen.append)
    assert selector.connect("currentNodeIDChanged(QString)", seen.append)
    node = _volume(scene, "knee")
    selector.setCurrentNode(node)
    assert seen == [node, True, node.GetID()]
    assert selector.currentNodeID == node.GetID()
    selector.setCurrentNode(None)
    assert seen[3:] == [None, False, ""]


def test_child_classes_are_offered_unless_switched_off(selector: Any, scene: Any) -> None:
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    assert selector.nodeCount() == 1
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 0


def test_hidden_nodes_are_left_out_but_hiding_shows_only_after_a_new_name(selector: Any, scene: Any) -> None:
    node = _volume(scene, "scratch")
    selector.setCurrentNode(node)
    node.SetHideFromEditors(True)
    assert selector.currentNode() is node
    node.SetName("hidden")
    assert selector.nodeCount() == 0
    node.SetHideFromEditors(False)
    node.SetName("back")
    assert selector.nodeCount() == 1


def test_types_are_given_as_a_list_or_a_tuple(selector: Any) -> None:
    selector.nodeTypes = ("vtkMRMLTableNode", "vtkMRMLTextNode")
    assert selector.nodeTypes == ("vtkMRMLTableNode", "vtkMRMLTextNode")


def test_attributes_filter_what_is_offered(selector: Any, scene: Any) -> None:
    _volume(scene, "plain")
    marked = _volume(scene, "marked")
    marked.SetAttribute("role", "fixed")
    selector.addAttribute("vtkMRMLScalarVolumeNode", "role", "fixed")
    assert selector.nodeCount() == 1
    assert selector.nodeFromIndex(0) is marked
    marked.SetAttribute("role", "moving")
    assert selector.nodeCount() == 0
    marked.SetAttribute("role", "fixed")
    assert selector.nodeCount() == 1


def test_without_none_and_actions_the_first_node_is_chosen_as_soon_as_there_is_one(selector: Any, scene: Any) -> None:
    selector.noneEnabled = selector.addEnabled = selector.removeEnabled = False
    node = _volume(scene, "knee")
    assert selector.currentNode() is node


def test_without_none_a_scene_with_nodes_gives_its_first(scene: Any) -> None:
    import slicer

    node = _volume(scene, "knee")
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.setMRMLScene(scene)
    assert combo.currentNode() is node


def test_a_new_node_gets_the_base_name_and_is_chosen(selector: Any, scene: Any, host: Any) -> None:
    selector.baseName = "Result"
    host.choose(selector, "Create new Volume")
    assert selector.currentNode().GetName() == "Result"
    assert selector.currentNode().GetScene() is scene


def test_adding_and_removing_are_offered_only_where_enabled(selector: Any, scene: Any, host: Any) -> None:
    selector.addEnabled = False
    with pytest.raises(AssertionError, match="offers no"):
        host.choose(selector, "Create new Volume")
    node = _volume(scene, "knee")
    host.choose(selector, node)
    host.choose(selector, "Delete current Volume")
    assert scene.GetNodeByID(node.GetID() or "") is None
    assert selector.currentNode() is None


def test_actions_are_offered_whatever_is_chosen(selector: Any, scene: Any, host: Any) -> None:
    host.choose(selector, "Delete current Volume")
    selector.renameEnabled = True
    host.answers.append("left knee")
    host.choose(selector, "Create new Volume as...")
    assert selector.currentNode().GetName() == "left knee"


def test_renaming_asks_for_the_name(selector: Any, scene: Any, host: Any) -> None:
    selector.renameEnabled = True
    node = _volume(scene, "knee")
    host.choose(selector, node)
    host.answers.append("left knee")
    host.choose(selector, "Rename current Volume")
    assert node.GetName() == "left knee"


def test_closing_the_scene_empties_it(selector: Any, scene: Any) -> None:
    selector.setCurrentNode(_volume(scene, "knee"))
    scene.Clear()
    assert selector.currentNode() is None
    assert selector.nodeCount() == 0


def test_a_person_cannot_use_a_disabled_selector(selector: Any, host: Any) -> None:
    selector.enabled = False
    with pytest.raises(AssertionError, match="not enabled"):
        host.choose(selector, None)


def test_ticked_nodes_leave_with_their_node(host: Any, scene: Any) -> None:
    import slicer

    combo = slicer.qMRMLCheckableNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    combo.setMRMLScene(scene)
    changes = []
    combo.connect("checkedNodesChanged()", lambda: changes.append(1))
    first, second = _volume(scene, "first"), _volume(scene, "second")
    combo.check(first)
    combo.check(second)
    assert combo.allChecked()
    scene.RemoveNode(first)
    assert combo.checkedNodes() == [second]
    assert len(changes) == 2  # nothing is said of the one that left
