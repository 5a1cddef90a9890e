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
    renamed = []
    selector.connect("currentNodeRenamed(QString)", renamed.append)
    host.choose(selector, second)
    second.SetName("renamed")
    assert renamed == ["renamed"]
    scene.RemoveNode(second)
    assert selector.currentNode() is None
    assert selector.nodeFromIndex(0) is first


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


def test_hidden_nodes_are_left_out_and_come_back(selector: Any, scene: Any) -> None:
    node = _volume(scene, "scratch")
    node.SetHideFromEditors(True)
    assert selector.nodeCount() == 0
    node.SetHideFromEditors(False)
    assert selector.nodeCount() == 1


def test_attributes_filter_what_is_offered(selector: Any, scene: Any) -> None:
    _volume(scene, "plain")
    marked = _volume(scene, "marked")
    marked.SetAttribute("role", "fixed")
    selector.addAttribute("vtkMRMLScalarVolumeNode", "role", "fixed")
    assert selector.nodeCount() == 1
    assert selector.nodeFromIndex(0) is marked


def test_without_none_the_first_node_is_chosen_as_soon_as_there_is_one(selector: Any, scene: Any) -> None:
    selector.noneEnabled = False
    node = _volume(scene, "knee")
    assert selector.currentNode() is node


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
    assert len(changes) == 3
