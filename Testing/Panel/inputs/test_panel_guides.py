"""Manual help in the panel: one segment as a mask, landmark pairs from scratch, and refining with them afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import slicer
import vtk

from Testing.Support.panel_cases import Person


def addSegments(person: Person, name: str = "Bones") -> Any:
    """A segmentation of two overlapping boxes, drawn on the fixed volume."""
    from JointRegistrationMRML.nodes.arrays import gridOf
    from JointRegistrationMRML.nodes.world import ijkToRasOf
    from Testing.Support.inspect_cases import addSegmentation

    volume = person.parameters.fixedVolume
    grid = gridOf("fixed", volume.GetImageData().GetDimensions(), ijkToRasOf(volume))
    return addSegmentation(grid, name, volume, 0.0)


@pytest.fixture
def ready(person: Person) -> Person:
    """Two volumes are chosen, and More inputs is open."""
    person.open()
    person.chooseVolumes()
    person.openSection("moreInputs")
    person.fit()
    return person


def entries(combo: Any) -> list[str]:
    return [combo.itemText(row) for row in range(combo.count)]


def maskOf(person: Person) -> Any:
    from JointRegistrationPanel.inputs.parameters import inputNodes

    nodes = inputNodes(person.parameters)
    return nodes.fixedMask, nodes.fixedMaskSegment


def test_one_segment_of_a_mask_can_be_picked(ready: Person) -> None:
    person, combo = ready, ready.ui.fixedMaskSegmentComboBox
    segments = addSegments(person)
    assert not combo.visible
    person.host.choose(person.ui.fixedMaskSelector, segments)
    person.host.wait(lambda: combo.visible)
    assert entries(combo) == ["All segments", "Femur", "Femoral cartilage"]
    assert maskOf(person) == (segments, "")
    person.host.choose(combo, "Femoral cartilage")
    assert maskOf(person) == (segments, "cartilage")
    person.waitUntilReady()
    person.picture("mask-segment")
    assert not person.ui.movingMaskSegmentComboBox.visible


def test_a_segment_that_is_renamed_stays_and_one_that_is_deleted_is_asked_for_again(ready: Person) -> None:
    person, combo = ready, ready.ui.fixedMaskSegmentComboBox
    segments = addSegments(person)
    person.host.choose(person.ui.fixedMaskSelector, segments)
    person.host.wait(lambda: combo.visible)
    person.host.choose(combo, "Femur")
    segments.GetSegmentation().GetSegment("bone").SetName("Thigh bone")
    person.host.wait(lambda: combo.currentText == "Thigh bone")
    assert maskOf(person)[1] == "bone"
    segments.GetSegmentation().RemoveSegment("bone")
    person.host.wait(lambda: not person.ui.registerButton.enabled)
    assert combo.currentText == "(gone)"
    (problem,) = person.problems()
    assert problem == ("The segment that was chosen as fixed mask is not in Bones any more: choose another, or all.")
    person.picture("mask-segment-gone")
    person.host.choose(combo, "All segments")
    person.waitUntilReady()
    assert entries(combo) == ["All segments", "Femoral cartilage"]


def test_another_mask_begins_with_all_its_segments_and_a_swap_takes_the_segment_along(ready: Person) -> None:
    person, combo = ready, ready.ui.fixedMaskSegmentComboBox
    first, second = addSegments(person), addSegments(person, "Other bones")
    person.host.choose(person.ui.fixedMaskSelector, first)
    person.host.wait(lambda: combo.visible)
    person.host.choose(combo, "Femur")
    person.host.click(person.ui.swapButton)
    person.host.wait(lambda: person.ui.movingMaskSegmentComboBox.visible)
    assert person.ui.movingMaskSegmentComboBox.currentText == "Femur"
    person.host.click(person.ui.swapButton)
    person.host.wait(lambda: combo.visible and combo.currentText == "Femur")
    person.host.choose(person.ui.fixedMaskSelector, second)
    person.host.wait(lambda: combo.currentText == "All segments")
    assert maskOf(person) == (second, "")


def test_the_segment_is_saved_with_the_scene(ready: Person, tmp_path: Path) -> None:
    person = ready
    segments = addSegments(person)
    person.host.choose(person.ui.fixedMaskSelector, segments)
    person.host.wait(lambda: person.ui.fixedMaskSegmentComboBox.visible)
    person.host.choose(person.ui.fixedMaskSegmentComboBox, "Femur")
    person.saveAndClose(tmp_path, person.parameters.fixedVolume, person.parameters.movingVolume, segments)
    assert person.parameters.fixedMaskSegment == ""
    person.scene.SetURL(str(tmp_path / "scene.mrml"))
    assert person.scene.Connect()
    person.waitUntilReady()
    person.host.wait(lambda: person.ui.fixedMaskSegmentComboBox.currentText == "Femur")
    assert maskOf(person)[1] == "bone"


# -- landmarks ------------------------------------------------------------------------------------------------


def interaction(person: Person) -> Any:
    return person.scene.GetFirstNodeByClass("vtkMRMLInteractionNode")


def activeList(person: Person) -> str:
    return str(person.scene.GetFirstNodeByClass("vtkMRMLSelectionNode").GetActivePlaceNodeID())


def click(person: Person, ras: tuple[float, float, float]) -> None:
    """What a click in a view does while points are placed."""
    person.scene.GetNodeByID(activeList(person)).AddControlPointWorld(vtk.vtkVector3d(*ras))


def layers(person: Person) -> list[tuple[Any, float]]:
    from JointRegistrationMRML.scene.view_state import slicesOf

    return [(node.GetBackgroundVolumeID(), node.GetForegroundOpacity()) for node in slicesOf(person.scene)]


def test_pairs_are_placed_from_scratch_each_in_its_own_image(ready: Person) -> None:
    person, ui = ready, ready.ui
    before = layers(person)
    person.host.click(ui.placeFixedButton)
    points = person.parameters.fixedLandmarks
    assert points.GetName() == "Fixed landmarks"
    assert ui.fixedLandmarksSelector.currentNode() is points
    assert interaction(person).GetCurrentInteractionMode() == slicer.vtkMRMLInteractionNode.Place
    assert activeList(person) == points.GetID()
    assert set(layers(person)) == {(person.parameters.fixedVolume.GetID(), 0.0)}
    assert ui.placeFixedButton.text == "Done"
    for ras in ((0, 0, 0), (10, 0, 0), (0, 10, 5)):
        click(person, ras)
    person.host.click(ui.placeMovingButton)
    assert set(layers(person)) == {(person.parameters.movingVolume.GetID(), 0.0)}
    assert person.parameters.movingLandmarks.GetName() == "Moving landmarks"
    for ras in ((4, 0, 0), (14, 0, 0)):
        click(person, ras)
    person.host.wait(lambda: any(": 3, in Moving landmarks: 2." in text for text in person.problems()))
    person.picture("placing")
    click(person, (4, 10, 5))
    person.waitUntilReady()
    assert person.problems() == []
    person.host.click(ui.placeMovingButton)
    assert interaction(person).GetCurrentInteractionMode() == slicer.vtkMRMLInteractionNode.ViewTransform
    assert layers(person) == before
    labels = [person.parameters.movingLandmarks.GetNthControlPointLabel(index) for index in range(3)]
    assert labels == ["M1", "M2", "M3"]


def test_another_mouse_mode_ends_the_placing(ready: Person) -> None:
    person, before = ready, layers(ready)
    person.host.click(person.ui.placeFixedButton)
    interaction(person).SwitchToViewTransformMode()
    person.host.wait(lambda: person.ui.placeFixedButton.text == "Place")
    assert layers(person) == before


def test_a_run_ends_the_placing(ready: Person) -> None:
    person = ready
    for which, button in (("fixed", person.ui.placeFixedButton), ("moving", person.ui.placeMovingButton)):
        person.host.click(button)
        for ras in ((0, 0, 0), (10, 0, 0), (0, 10, 5)):
            click(person, ras)
        assert getattr(person.parameters, f"{which}Landmarks").GetNumberOfControlPoints() == 3
    person.waitUntilReady()
    person.host.click(person.ui.registerButton)
    assert interaction(person).GetCurrentInteractionMode() == slicer.vtkMRMLInteractionNode.ViewTransform
    person.host.wait(lambda: not person.panel._run.running)


def test_a_list_from_the_selectors_menu_belongs_to_its_image_too(ready: Person) -> None:
    person = ready
    above = person.scene.AddNewNodeByClass("vtkMRMLTransformNode", "above")
    person.parameters.movingVolume.SetAndObserveTransformNodeID(above.GetID())
    node = person.ui.movingLandmarksSelector.addNode()
    assert node.GetName() == "Moving landmarks"
    assert node.GetParentTransformNode() is above
    assert person.parameters.movingLandmarks is node


def test_points_placed_after_a_run_guide_its_refinement_and_discard_leaves_them(ready: Person) -> None:
    """Points on the moving volume, seen through the result, are those of the moving image itself."""
    person = ready
    first = person.register()
    transform = person.parameters.movingVolume.GetParentTransformNode()
    assert transform is first.nodes.transform
    pairs = {(0, 0, 0): "fixed", (10, 0, 0): "fixed", (0, 10, 5): "fixed"}
    person.host.click(person.ui.placeFixedButton)
    for ras in pairs:
        click(person, ras)
    person.host.click(person.ui.placeMovingButton)
    for ras in pairs:
        click(person, ras)
    person.host.click(person.ui.placeMovingButton)
    moving = person.parameters.movingLandmarks
    assert moving.GetParentTransformNode() is transform
    from JointRegistrationMRML.nodes.points import landmarksFromMarkups

    read = landmarksFromMarkups(person.parameters.fixedLandmarks, moving, leftOut=transform)
    shift = read.moving_ras - read.fixed_ras
    expected = first.result.displacement_field_mm.reshape(-1, 3).mean(axis=0)
    assert abs(shift.mean(axis=0) - expected).max() < 1.0
    person.waitUntilReady()
    person.host.click(person.ui.furtherButton)
    person.host.wait(lambda: not person.panel._run.running)
    second = person.panel.results.outputs
    assert second is not first
    assert second.inputs.movingLandmarks is moving
    person.discard()
    assert person.panel.results.outputs is first
    assert moving.GetNumberOfControlPoints() == 3
    assert person.parameters.movingLandmarks is moving
