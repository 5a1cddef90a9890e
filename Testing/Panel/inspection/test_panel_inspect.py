"""The section Inspect: each view from its button and back without a trace, folds, the cursor, options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import slicer

from JointRegistrationMRML.inspection.session import VIEWS
from JointRegistrationMRML.nodes.arrays import ownedList
from Testing.Support.inspect_cases import FOLDS, addViewNodes, press, publishKnown, ui
from Testing.Support.panel_cases import Person, sceneContent

LAYOUTS = slicer.vtkMRMLLayoutNode


@pytest.fixture(scope="module")
def somebody() -> Iterator[Person]:
    """Somebody with a finished run and the section Inspect open; the same for all tests here, to save time."""
    import slicer_host

    host = slicer_host.install()
    person = Person(host)
    person.open()
    addViewNodes(person.scene)
    person.panel.inspect.runFinished(publishKnown(person.scene))
    person.fit()
    yield person
    host.uninstall()


@pytest.fixture
def looking(somebody: Person) -> Iterator[Person]:
    """All views are closed, before and after."""
    yield somebody
    for name in openNames(somebody):
        press(somebody, name)
    controls = ui(somebody)
    for name in ("fixed", "warped", "both", "onlyFixed", "onlyWarped"):
        getattr(controls, f"{name}CheckBox").setChecked(True)
    for name in ("surfaces", "live"):
        getattr(controls, f"{name}CheckBox").setChecked(False)
    controls.insideComboBox.setCurrentIndex(0)
    controls.structureComboBox.setCurrentIndex(0)
    somebody.host.processEvents()


def openNames(person: Person) -> list[str]:
    return [name for name in VIEWS if getattr(ui(person), f"{name}Button").checked]


def lookOf(scene: Any) -> dict[str, Any]:
    """Everything in the scene and how it is shown: node by node, layers, slices, displays, layout."""
    look: dict[str, Any] = sceneContent(scene)
    for kind, getters in {
        "SliceCompositeNode": ("LabelVolumeID", "LabelOpacity", "LinkedControl", "HotLinkedControl", "Compositing"),
        "SliceNode": ("FieldOfView", "XYZOrigin"),
        "LayoutNode": ("ViewArrangement",),
        "ScalarVolumeDisplayNode": ("Window", "Level", "AutoWindowLevel", "ColorNodeID", "Visibility"),
        "SegmentationDisplayNode": ("Visibility", "Visibility2DFill", "Visibility3D", "Opacity2DFill"),
        "ModelDisplayNode": ("Visibility",),
        "SelectionNode": ("ActiveTableID", "ActivePlotChartID"),
    }.items():
        for node in ownedList(scene.GetNodesByClass(f"vtkMRML{kind}")):
            look[f"{node.GetID()} {kind}"] = [getattr(node, f"Get{name}")() for name in getters]
    return look


def composite(person: Person, name: str = "Red") -> Any:
    return person.host.layoutManager.sliceWidget(name).mrmlSliceCompositeNode()


@pytest.mark.parametrize("name", VIEWS)
def test_each_view_opens_by_one_click_and_closes_without_a_trace(looking: Person, name: str) -> None:
    before = lookOf(looking.scene)
    press(looking, name)
    assert openNames(looking) == [name]
    assert ui(looking).viewText.visible
    assert VIEWS[name].title in ui(looking).viewText.text
    assert lookOf(looking.scene) != before
    looking.picture(f"inspect-{name}")
    press(looking, name)
    assert openNames(looking) == []
    assert lookOf(looking.scene) == before
    assert not ui(looking).viewText.visible


def test_views_of_different_groups_stand_together_and_close_all_takes_them_away(looking: Person) -> None:
    before = lookOf(looking.scene)
    for name in ("jacobian", "contours", "grid", "folds"):
        press(looking, name)
    assert set(openNames(looking)) == {"jacobian", "contours", "grid", "folds"}
    press(looking, "checkerboard")
    assert "jacobian" not in openNames(looking)
    press(looking, "closeViews")
    assert openNames(looking) == []
    assert lookOf(looking.scene) == before
    assert not ui(looking).closeViewsButton.enabled


def test_the_layout_comes_back_after_side_by_side(looking: Person) -> None:
    layout = looking.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    press(looking, "sideBySide")
    assert layout.GetViewArrangement() == LAYOUTS.SlicerLayoutSideBySideView
    press(looking, "sideBySide")
    assert layout.GetViewArrangement() == LAYOUTS.SlicerLayoutFourUpView


def test_the_sliders_of_the_jacobian_set_a_symmetric_range_and_the_opacity(looking: Person) -> None:
    press(looking, "jacobian")
    ui(looking).rangeSlider.setValue(1.5)
    ui(looking).opacitySlider.setValue(0.8)
    volume = looking.scene.GetNodeByID(composite(looking).GetForegroundVolumeID())
    display = volume.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (3.0, 0.0)
    assert composite(looking).GetForegroundOpacity() == pytest.approx(0.8)
    assert ui(looking).rangeText.text == "0.35 to 2.83 times the volume"


def test_the_jacobian_inside_a_segment(looking: Person) -> None:
    press(looking, "jacobian")
    ui(looking).rangeSlider.setValue(1.5)
    looking.host.choose(ui(looking).insideComboBox, "Femoral cartilage (warped)")
    volume = looking.scene.GetNodeByID(composite(looking).GetForegroundVolumeID())
    assert volume.GetName() == "log2 Jacobian inside Femoral cartilage"
    assert volume.GetDisplayNode().GetWindow() == 3.0
    looking.host.choose(ui(looking).insideComboBox, "Everywhere")
    assert looking.scene.GetFirstNodeByName("log2 Jacobian inside Femoral cartilage") is None


def test_outlines_are_switched_by_side_and_by_segment(looking: Person) -> None:
    press(looking, "contours")
    view = looking.panel.inspect._inspection.view("contours")
    looking.host.click(ui(looking).fixedCheckBox)
    assert not view.nodes["fixed"].GetDisplayNode().GetVisibility()
    assert view.nodes["warped"].GetDisplayNode().GetVisibility()
    looking.host.choose(ui(looking).structureComboBox, "Femoral cartilage")
    view = looking.panel.inspect._inspection.view("contours")
    assert not view.nodes["fixed"].GetDisplayNode().GetVisibility()  # still
    display = view.nodes["warped"].GetDisplayNode()
    ids = view.nodes["warped"].GetSegmentation().GetSegmentIDs()
    names = [view.nodes["warped"].GetSegmentation().GetSegment(segment).GetName() for segment in ids]
    assert [display.GetSegmentVisibility(segment) for segment in ids] == [name != "Femur" for name in names]
    looking.host.click(ui(looking).surfacesCheckBox)
    assert "warped surfaces" in looking.panel.inspect._inspection.view("contours").nodes
    looking.host.click(ui(looking).liveCheckBox)
    live = looking.panel.inspect._inspection.view("contours").nodes["warped"]
    assert live.GetName().startswith("Moving segments (")


def test_parts_of_the_agreement_are_switched(looking: Person) -> None:
    press(looking, "agreement")
    looking.host.click(ui(looking).bothCheckBox)
    display = looking.panel.inspect._inspection.view("agreement").nodes["agreement"].GetDisplayNode()
    assert not display.GetSegmentVisibility("Femur: both")
    assert display.GetSegmentVisibility("Femur: only fixed")


def test_flicker_shows_both_images_in_turn_and_stops_with_the_view(looking: Person) -> None:
    press(looking, "flicker")
    seen = set()
    looking.host.wait(lambda: seen.add(composite(looking).GetForegroundOpacity()) or len(seen) == 2)
    assert seen == {0.0, 1.0}
    assert "Shown now: the " in ui(looking).viewText.text
    press(looking, "flicker")
    assert not looking.panel.inspect._views._flicker.active


@pytest.mark.parametrize(("name", "getter"), [("grid", "GetGridSpacingMm"), ("arrows", "GetGlyphSpacingMm")])
def test_lines_and_arrows_have_a_spacing_fit_for_a_knee(looking: Person, name: str, getter: str) -> None:
    press(looking, name)
    display = looking.panel.inspect._inspection.view(name).subject
    assert 3.0 <= getattr(display, getter)() <= 5.0
    assert ui(looking).spacingSlider.value == getattr(display, getter)()
    ui(looking).spacingSlider.setValue(8.0)
    assert getattr(display, getter)() == 8.0
    assert not ui(looking).affineCheckBox.checked
    looking.host.click(ui(looking).affineCheckBox)
    view = looking.panel.inspect._inspection.view(name)
    assert "The affine part is left out" in view.text and "The affine part is left out" in ui(looking).viewText.text
    assert getattr(view.subject, getter)() == 8.0  # still


def test_planted_folds_are_listed_and_next_centres_the_views(looking: Person) -> None:
    press(looking, "folds")
    table = ui(looking).foldsTable
    assert table.rowCount == len(FOLDS)
    grid = looking.panel.inspect._outputs.result.fixed_grid
    planted = [np.array(place[::-1]) * grid.spacing_mm + grid.origin_ras for place, _strength in FOLDS]
    for row, place in [(0, planted[0]), (1, planted[1]), (0, planted[0])]:  # after the last comes the first
        press(looking, "nextFold")
        for name in ("Red", "Green", "Yellow"):
            node = looking.host.layoutManager.sliceWidget(name).mrmlSliceNode()
            matrix = node.GetSliceToRAS()
            centre = [matrix.GetElement(n, 3) for n in range(3)]
            assert np.linalg.norm(centre - place) < 3.0
        assert table.currentRow() == row
    places = [float(part) for part in table.item(0, 0).text().split() if part[0].isdigit()]
    np.testing.assert_allclose(places, np.abs(planted[0]), atol=3.0)
    assert int(table.item(0, 1).text()) > int(table.item(1, 1).text()) > 0
    table.cellClicked.emit(1, 0)
    crosshair = looking.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    assert np.linalg.norm(np.array(crosshair.GetCrosshairRAS()) - planted[1]) < 3.0


def test_the_line_for_the_cursor_follows_crosshair_and_pointer(looking: Person) -> None:
    crosshair = looking.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCrosshairRAS(10.0, -3.0, 2.5)
    looking.host.wait(lambda: "R 10.0" in ui(looking).readOutText.text)
    assert ui(looking).readOutText.text.splitlines() == [
        "fixed R 10.0 P 3.0 S 2.5 mm",
        "moving R 14.0 P 3.0 S 2.5 mm",
        "moved 4.0 mm (R +4.0 A +0.0 S +0.0)",
        "J 1.00: same size",
    ]
    crosshair.SetCursorPositionRAS((-5.0, 0.0, 0.0))
    looking.host.wait(lambda: "fixed L 5.0" in ui(looking).readOutText.text)
    crosshair.SetCursorPositionRAS((500.0, 0.0, 0.0))
    looking.host.wait(lambda: ui(looking).readOutText.text == "outside the fixed image")
    crosshair.SetCursorPositionInvalid()
    looking.host.wait(lambda: "R 10.0" in ui(looking).readOutText.text)


def test_many_movements_are_read_a_few_times_only(looking: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor, reads = looking.panel.inspect._cursor, []
    monkeypatch.setattr(cursor, "_read", lambda ras: reads.append(ras) or "read")
    crosshair = looking.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    for place in range(200):
        crosshair.SetCursorPositionRAS((place / 10, 0.0, 0.0))
        looking.host.app.processEvents()
    looking.host.wait(lambda: reads and reads[-1][0] == pytest.approx(19.9))
    assert len(reads) < 100


def test_a_view_of_which_somebody_deletes_a_node_is_closed(looking: Person) -> None:
    inspect = looking.panel.inspect
    for name in ("contours", "agreement", "difference", "grid"):
        before = sceneContent(looking.scene)
        press(looking, name)
        looking.scene.RemoveNode(next(reversed(inspect._inspection.view(name).nodes.values())))
        looking.host.wait(lambda name=name: name not in inspect._inspection.names)
        assert sceneContent(looking.scene) == before
        assert not ui(looking).closeViewsButton.enabled


def test_the_scene_can_be_closed_while_a_view_is_being_opened(looking: Person) -> None:
    inspect, openSteps = looking.panel.inspect, looking.panel.inspect._inspection.openSteps

    def interrupted(name: str) -> Iterator[None]:
        steps = openSteps(name)
        yield next(steps)
        looking.scene.Clear(0)
        return (yield from steps)

    inspect._inspection.openSteps = interrupted
    press(looking, "checkerboard")
    assert inspect._inspection is None
    assert looking.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
