"""Which run the section Inspect looks at: this session's or one of a reopened scene; and its numbers."""

from __future__ import annotations

import csv
import re
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import slicer
from PySide6 import QtCore, QtGui

from JointRegistrationLib.core.progress import finished
from JointRegistrationMRML.run import saved_result
from JointRegistrationMRML.run.registration_nodes import OutputOptions
from JointRegistrationMRML.scene.headless import loadScene, saveScene
from Testing.Support.inspect_cases import addViewNodes, press, publishKnown, ui
from Testing.Support.panel_cases import Person, sceneContent

LAYOUTS = slicer.vtkMRMLLayoutNode


@pytest.fixture
def looking(person: Person) -> Person:
    """Somebody with a finished run and the section Inspect open."""
    person.open()
    addViewNodes(person.scene)
    person.panel.inspect.runFinished(publishKnown(person.scene))
    person.fit()
    return person


def measure(person: Person) -> Any:
    """Press Measure, wait, and give the nodes."""
    press(person, "measure")
    person.host.wait(lambda: not person.panel.inspect.numbers.measuring)
    assert ui(person).inspectProblemText.text == ""
    person.fit()
    return person.panel.inspect.numbers.nodes


def test_without_a_run_there_is_nothing_to_open_and_the_tooltip_says_why(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    assert not ui(person).inspectButton.enabled
    assert "register first" in ui(person).inspectButton.toolTip


def test_a_run_opens_the_section(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    person.register()
    person.fit()
    assert ui(person).inspectButton.enabled
    assert not ui(person).inspectButton.collapsed
    assert "latest" in ui(person).runComboBox.currentText
    press(person, "checkerboard")
    assert ui(person).checkerboardButton.checked


def test_a_map_without_folds_has_no_list_and_says_so(person: Person) -> None:
    person.open()
    person.panel.inspect.runFinished(publishKnown(person.scene, folded=False))
    person.fit()
    assert not ui(person).foldsButton.enabled
    assert "no folds" in ui(person).foldsButton.toolTip


def test_a_view_that_cannot_be_opened_says_why_in_the_panel(looking: Person) -> None:
    looking.scene.RemoveNode(looking.scene.GetFirstNodeByName("Moving knee to Fixed knee"))
    press(looking, "arrows")
    assert ui(looking).inspectProblemFrame.visible
    assert "transform is not in the scene" in ui(looking).inspectProblemText.text
    assert not ui(looking).arrowsButton.checked
    press(looking, "checkerboard")
    assert not ui(looking).inspectProblemFrame.visible


def test_a_new_run_closes_the_views_of_the_last_one_first(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    person.register()
    press(person, "checkerboard")
    board = person.scene.GetFirstNodeByName("Checkerboard Fixed knee / Moving knee warped")
    assert board is not None
    person.register()
    assert not person.scene.IsNodePresent(board)
    assert not ui(person).checkerboardButton.checked


def test_discard_closes_the_views_and_leaves_the_scene_as_before_the_run(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    before = sceneContent(person.scene)
    person.register()
    press(person, "jacobian")
    person.discard()
    assert sceneContent(person.scene) == before
    assert not ui(person).inspectButton.enabled


def test_a_closed_scene_takes_the_run_out_of_the_section(looking: Person) -> None:
    press(looking, "flicker")
    looking.scene.Clear(0)
    looking.host.processEvents()
    assert not ui(looking).inspectButton.enabled
    assert not ui(looking).flickerButton.checked
    looking.panel.inspect.runFinished(publishKnown(looking.scene))
    press(looking, "checkerboard")
    assert ui(looking).checkerboardButton.checked


def test_a_reopened_scene_can_be_inspected(person: Person, tmp_path: Path) -> None:
    person.open()
    addViewNodes(person.scene)
    publishKnown(person.scene, options=OutputOptions(affine=False))
    file = saveScene(person.scene, tmp_path / "knees.mrb")
    person.scene.Clear(0)
    person.host.processEvents()
    assert not ui(person).inspectButton.enabled
    loadScene(person.scene, file)
    person.host.processEvents()
    person.fit()
    assert ui(person).runComboBox.currentText == "Moving knee to Fixed knee"
    before = sceneContent(person.scene)
    person.host.click(ui(person).inspectButton)
    for name in ("jacobian", "agreement", "arrows", "folds"):
        press(person, name)
        assert getattr(ui(person), f"{name}Button").checked, ui(person).inspectProblemText.text
    assert ui(person).foldsTable.rowCount == 2
    press(person, "closeViews")
    assert sceneContent(person.scene) == before
    crosshair = person.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    crosshair.SetCrosshairRAS(0.0, 1.0, 0.0)
    person.host.wait(lambda: "moving R 4.0 A 1.0" in ui(person).readOutText.text)
    measure(person)
    assert "0.500\u00a0→\u00a00.900" in ui(person).numbersText.text  # from the saved table
    person.picture("inspect-reopened")


def test_a_scene_closed_while_its_run_is_read_leaves_nothing_and_no_message(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.open()
    addViewNodes(person.scene)
    publishKnown(person.scene, options=OutputOptions(affine=False))
    person.host.processEvents()
    read, closed = saved_result.jacobianOf, threading.Event()

    def slow(*arguments: Any) -> Any:  # in a thread: the window goes on until the scene is closed
        closed.wait()
        return read(*arguments)

    def close() -> None:
        person.scene.Clear(0)
        closed.set()

    monkeypatch.setattr(saved_result, "jacobianOf", slow)
    QtCore.QTimer.singleShot(0, close)
    person.host.click(ui(person).inspectButton)
    assert closed.is_set()
    assert not ui(person).inspectButton.enabled
    assert ui(person).inspectProblemText.text == ""


def test_an_earlier_run_can_be_chosen_and_is_named_by_its_transform(looking: Person) -> None:
    earlier = publishKnown(looking.scene, folded=False)
    looking.host.processEvents()
    press(looking, "checkerboard")
    latest, other = (ui(looking).runComboBox.itemText(row) for row in (0, 1))
    assert "(latest)" in latest
    assert other == earlier.nodes.transform.GetName()
    looking.host.choose(ui(looking).runComboBox, other)
    assert not ui(looking).checkerboardButton.checked
    assert not ui(looking).foldsButton.enabled
    press(looking, "checkerboard")
    board = looking.host.layoutManager.sliceWidget("Red").mrmlSliceCompositeNode().GetBackgroundVolumeID()
    assert looking.scene.GetNodeByID(board).GetName().startswith("Checkerboard")
    looking.host.choose(ui(looking).runComboBox, latest)
    assert ui(looking).foldsButton.enabled


def test_measure_gives_a_table_a_summary_plots_and_surfaces(
    looking: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would fail
    layout = looking.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    before = sceneContent(looking.scene)
    nodes = measure(looking)
    assert ui(looking).tableButton.checked
    assert layout.GetViewArrangement() == LAYOUTS.SlicerLayoutFourUpTableView
    selection = looking.scene.GetFirstNodeByClass("vtkMRMLSelectionNode")
    assert selection.GetActiveTableID() == nodes.table.GetID()
    assert "Femoral cartilage" in ui(looking).numbersText.text
    assert "0.500\u00a0→\u00a00.900" in ui(looking).numbersText.text
    looking.picture("inspect-numbers")

    press(looking, "jacobianPlot")
    assert not ui(looking).tableButton.checked
    assert layout.GetViewArrangement() == LAYOUTS.SlicerLayoutFourUpPlotView
    assert looking.scene.GetNodeByID(selection.GetActivePlotChartID()).GetXAxisTitle() == "log2 J"
    assert selection.GetActiveTableID() is None
    press(looking, "thicknessPlot")
    assert looking.scene.GetNodeByID(selection.GetActivePlotChartID()).GetXAxisTitle() == "moving minus fixed (mm)"

    (model,) = nodes.models
    assert not model.GetDisplayVisibility()
    press(looking, "thickness")
    assert all(model.GetNthDisplayNode(n).GetVisibility() for n in range(model.GetNumberOfDisplayNodes()))
    assert layout.GetViewArrangement() == LAYOUTS.SlicerLayoutFourUpView
    press(looking, "thickness")
    assert not model.GetDisplayVisibility()

    file = tmp_path / "numbers.csv"
    looking.host.answers.append(str(file))
    press(looking, "export")
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    assert [row["Of"] for row in rows][:2] == ["Femur", "Femoral cartilage"]
    assert str(file) in ui(looking).inspectStatus.text.replace("\u200b", "")
    looking.host.answers.append("")
    press(looking, "export")  # nobody chose a file: nothing happens

    again = measure(looking)
    assert not looking.scene.IsNodePresent(nodes.table)
    assert looking.scene.IsNodePresent(again.table)
    finished(looking.panel.inspect.forgetRunSteps())
    assert sceneContent(looking.scene) == before
    assert layout.GetViewArrangement() == LAYOUTS.SlicerLayoutFourUpView


def exportReport(person: Person, path: Path) -> str:
    """Press the button, choose a file, and wait; what the section says then."""
    person.host.answers.append(str(path))
    press(person, "report")
    person.host.wait(lambda: not person.panel.inspect.numbers.measuring)
    return ui(person).inspectStatus.text.replace("\u200b", "")


def test_the_report_is_one_file_of_numbers_and_pictures_whether_measured_before_or_not(
    looking: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it would fail
    before = sceneContent(looking.scene)
    path = tmp_path / "knee 1 & 2.html"
    said = exportReport(looking, path)
    assert f'href="{path.as_uri()}"' in said and "Open the report" in said
    assert ui(looking).inspectStatus.openExternalLinks
    drawn = QtGui.QTextDocumentFragment.fromHtml(ui(looking).inspectStatus.text).toPlainText()
    assert ui(looking).inspectStatus.textFormat == QtCore.Qt.TextFormat.RichText.value
    assert drawn.replace("\u200b", "") == f"Written to {path}. Open the report"
    assert sceneContent(looking.scene) == before  # nothing is put into the scene
    assert not ui(looking).numbersRow.visible
    looking.picture("inspect-report")
    text = path.read_text(encoding="utf-8")
    assert "<h2>Agreement of segments" in text and text.count("<img ") == 33 + 2  # the cartilage from two sides
    assert text.count("<svg ") == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["knee 1 & 2.html"]
    measure(looking)
    exportReport(looking, path)
    assert re.sub('base64,[^"]+', "", path.read_text(encoding="utf-8")) == re.sub('base64,[^"]+', "", text)


def test_a_report_can_be_stopped_or_not_begun_and_leaves_no_file(looking: Person, tmp_path: Path) -> None:
    looking.host.answers.append("")
    press(looking, "report")
    assert not looking.panel.inspect.numbers.measuring
    looking.host.answers.append(str(tmp_path / "report.html"))
    numbers = looking.panel.inspect.numbers
    numbers.onReport()
    assert ui(looking).reportButton.text == "Stop report"
    assert not ui(looking).measureButton.enabled
    numbers._turns._step()
    assert ui(looking).inspectStatus.text.startswith("Report: ")
    numbers.onReport()
    looking.host.processEvents()
    assert ui(looking).reportButton.text == "Export report..."
    assert ui(looking).measureButton.enabled
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_cannot_be_written_is_told_of(looking: Person, tmp_path: Path) -> None:
    exportReport(looking, tmp_path / "missing" / "report.html")
    assert "cannot be written" in ui(looking).inspectProblemText.text.replace("The", "the")


def test_a_file_that_cannot_be_written_is_told_of(looking: Person, tmp_path: Path) -> None:
    measure(looking)
    looking.host.answers.append(str(tmp_path / "missing" / "numbers.csv"))
    press(looking, "export")
    assert "cannot be written" in ui(looking).inspectProblemText.text


def test_measuring_can_be_stopped_and_leaves_nothing(looking: Person) -> None:
    before = sceneContent(looking.scene)
    numbers = looking.panel.inspect.numbers
    numbers.onMeasure()
    assert ui(looking).measureButton.text == "Stop measuring"
    numbers._turns._step()
    assert "Measuring: " in ui(looking).inspectStatus.text
    numbers.onMeasure()
    assert not numbers.measuring
    looking.host.processEvents()
    assert sceneContent(looking.scene) == before
    assert ui(looking).measureButton.text == "Measure"


def test_a_table_takes_the_layout_from_side_by_side(looking: Person) -> None:
    layout = looking.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    press(looking, "sideBySide")
    measure(looking)
    assert not ui(looking).sideBySideButton.checked
    press(looking, "sideBySide")
    assert not ui(looking).tableButton.checked
    press(looking, "closeViews")
    assert layout.GetViewArrangement() == LAYOUTS.SlicerLayoutFourUpView


def test_a_run_whose_volume_was_moved_since_is_refused_once_with_the_reason(person: Person) -> None:
    person.open()
    publishKnown(person.scene)
    person.scene.GetFirstNodeByName("Fixed knee").SetOrigin(100, 0, 0)
    person.host.processEvents()
    person.fit()
    person.host.click(ui(person).inspectButton)
    person.fit()
    assert "was the volume moved" in ui(person).inspectProblemText.text
    assert not ui(person).measureButton.enabled
    assert not ui(person).checkerboardButton.enabled
    person.scene.AddNewNodeByClass("vtkMRMLTextNode")
    person.host.processEvents()
    assert ui(person).inspectProblemFrame.visible
    person.picture("inspect-refused")


def test_discard_takes_the_numbers_of_the_run_away_after_another_was_looked_at(person: Person) -> None:
    person.open()
    addViewNodes(person.scene)
    publishKnown(person.scene)
    person.host.processEvents()
    person.chooseVolumes()
    before = sceneContent(person.scene)
    person.register()
    nodes = measure(person)
    person.host.choose(ui(person).runComboBox, "Moving knee to Fixed knee")
    person.fit()
    person.discard()
    assert not person.scene.IsNodePresent(nodes.table)
    assert sceneContent(person.scene) == before


def test_the_numbers_have_no_column_for_what_cannot_be_known(looking: Person) -> None:
    from JointRegistrationMRML.measure.measurement import measure
    from JointRegistrationPanel.inspection.summary import numbersHtml

    outputs = looking.panel.inspect.needOutputs()
    everything = numbersHtml(measure(outputs))
    onlyMoving = numbersHtml(measure(replace(outputs, inputs=replace(outputs.inputs, fixedSegmentation=None))))
    for words in ("Dice", "HD95", "difference"):
        assert words in everything
        assert words not in onlyMoving
    for words in ("moving\u00a0is", "Femoral cartilage", ">moving<"):
        assert words in onlyMoving
