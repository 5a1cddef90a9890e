"""What a person sees and reaches: nothing cut off at 400 pixels, a tooltip on everything, a sensible tab order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from Testing.Support.panel_cases import Person

FORM = Path(__file__).resolve().parents[3] / "JointRegistration" / "Resources" / "UI" / "JointRegistration.ui"
SECTIONS = ("moreInputs", "advanced", "outputs", "log")
CONTROLS = (QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox, QtWidgets.QAbstractButton, QtWidgets.QPlainTextEdit)


@pytest.fixture
def unfolded(person: Person) -> Person:
    """The panel after a run, with every section open."""
    person.open()
    person.chooseVolumes()
    person.register()
    for name in SECTIONS:
        person.openSection(name)
        person.fit()
    return person


def visible(person: Person, kinds: Any) -> Iterator[Any]:
    """The form's own visible widgets of these kinds (those inside of other controls are left out)."""
    for widget in person.panel.widget.findChildren(QtWidgets.QWidget):
        if isinstance(widget, kinds) and widget.objectName and widget.visible and not _isPart(widget):
            yield widget


def _isPart(widget: Any) -> bool:
    return widget.objectName.startswith("qt_") or (
        type(widget).__module__ == "PySide6.QtWidgets" and not hasattr(widget.parentWidget(), "objectName")
    )


def test_nothing_is_cut_off_at_400_pixels(unfolded: Person) -> None:
    page = unfolded.fit(400)
    assert page.minimumSizeHint.width() <= 400
    cut = []
    for label in visible(unfolded, QtWidgets.QLabel):
        if not label.text:
            continue
        if label.wordWrap:
            fits = label.height >= label.heightForWidth(label.width)
        else:
            fits = label.width >= label.sizeHint.width()
        if not fits:
            cut.append((label.objectName, label.text))
    for button in visible(unfolded, QtWidgets.QPushButton | QtWidgets.QCheckBox):
        if button.width < button.minimumSizeHint.width():
            cut.append((button.objectName, button.text))
    assert cut == []
    unfolded.picture("unfolded")


@pytest.mark.parametrize("form", [FORM, FORM.with_name("JointRegistrationInspect.ui")], ids=lambda form: form.stem)
def test_sections_selectors_and_texts_do_not_ask_for_the_width_of_what_they_hold(form: Path) -> None:
    """The application gives a module the width that it would like to have: that of its longest text or name.

    A section's own policy makes that the least width, too, and a selector's least width is that of its longest name.
    """
    wanted = {"ctkCollapsibleButton": "Preferred", "qMRMLNodeComboBox": "Ignored", "QLabel": "Ignored"}
    seen, boxes = [], []
    for widget in ElementTree.parse(form).getroot().iter("widget"):
        kind, name = widget.get("class", ""), widget.get("name")
        if kind == "QComboBox":
            boxes.append((name, widget.findtext("property[@name='sizeAdjustPolicy']/enum")))
        if kind in wanted and (kind != "QLabel" or widget.findtext("property[@name='wordWrap']/bool") == "true"):
            policy = widget.find("property[@name='sizePolicy']/sizepolicy")
            seen.append((name, None if policy is None else policy.get("hsizetype"), wanted[kind]))
    assert len(seen) >= 8
    assert [entry for entry in seen if entry[1] != entry[2]] == []
    assert {policy for _, policy in boxes} == {"QComboBox::AdjustToMinimumContentsLengthWithIcon"}


def test_names_without_spaces_do_not_widen_the_panel(person: Person) -> None:
    person.open()
    fixed, moving = person.chooseVolumes()
    for node, name in ((fixed, "7: t2_de3d_we_sag_iso_PATIENT_0001_baseline_right_knee"), (moving, "x" * 90)):
        node.SetName(name)
    person.register()
    assert person.panel.widget.sizeHint.width() <= 400, "what the application gives it"
    assert person.fit(400).minimumSizeHint.width() <= 400
    far = vtk.vtkMatrix4x4()
    far.SetElement(0, 3, 900.0)
    moving.ApplyTransformMatrix(far)
    person.parameters.checkSide = False
    person.host.wait(lambda: any("do not overlap" in text for text in person.problems()))
    assert person.fit(400).minimumSizeHint.width() <= 400


def test_every_control_has_a_tooltip(unfolded: Person) -> None:
    names = {name for name in vars(unfolded.ui) if name.endswith(("Selector", "ComboBox", "SpinBox", "CheckBox"))}
    names |= {name for name in vars(unfolded.ui) if name.endswith("Button")} | {"progressBar", "logText"}
    assert len(names) > 45
    assert [name for name in names if not getattr(unfolded.ui, name).toolTip] == []


def test_tab_goes_from_top_to_bottom(unfolded: Person) -> None:
    page = unfolded.fit()
    order, widget = [], unfolded.ui.inputsButton
    for _ in range(400):
        widget = widget.nextInFocusChain()
        if widget.objectName and widget.visible and getattr(unfolded.ui, widget.objectName, None) is widget:
            if widget.objectName in order:
                break
            if isinstance(widget, CONTROLS) or widget.objectName.endswith("Selector"):
                order.append(widget.objectName)
    tops = [getattr(unfolded.ui, name).mapTo(page, QtCore.QPoint(0, 0)).y() for name in order]
    assert len(order) > 35
    swap = order.index("swapButton")  # beside both volumes
    assert order[swap - 1] == "movingVolumeSelector"
    del tops[swap]
    # A check box stands a few pixels lower than the selector beside it.
    assert [name for name, top, before in zip(order[1:], tops[1:], tops, strict=False) if top < before - 6] == []


def test_the_forms_tab_order_leaves_no_control_out() -> None:
    """One that is left out comes wherever Qt puts it."""
    root = ElementTree.parse(FORM).getroot()
    kinds = ("Button", "ComboBox", "SpinBox", "CheckBox", "TextEdit")
    controls = {entry.get("name") for entry in root.iter("widget") if entry.get("class", "").endswith(kinds)}
    assert len(controls) > 50
    assert {entry.text for entry in root.iter("tabstop")} == controls


def _darkPalette() -> QtGui.QPalette:
    """The application's dark style."""
    colors, roles = QtGui.QPalette(), QtGui.QPalette
    for role, color in (
        (roles.Window, "#353535"),
        (roles.Base, "#2a2a2a"),
        (roles.AlternateBase, "#353535"),
        (roles.Button, "#404040"),
        (roles.ToolTipBase, "#353535"),
    ):
        colors.setColor(role, QtGui.QColor(color))
    for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.ToolTipText):
        colors.setColor(role, QtGui.QColor("#f0f0f0"))
        colors.setColor(roles.Disabled, role, QtGui.QColor("#808080"))
    return colors


@pytest.mark.parametrize("style", ["light", "dark", "dark since"])
def test_messages_can_be_read_in_every_style(person: Person, style: str) -> None:
    """Also where the style changed while a message stood there."""
    before = person.host.app.palette()
    try:
        if style == "dark":
            person.host.app.setPalette(_darkPalette())
        person.open("--fail-at", "affine")
        person.chooseVolumes()
        person.host.click(person.ui.registerButton)
        person.host.wait(lambda: not person.panel._run.running)
        if style == "dark since":
            person.host.app.setPalette(_darkPalette())
        page = person.fit()
        corner = person.ui.problem1Frame.mapTo(page, QtCore.QPoint(3, person.ui.problem1Frame.height // 2))
        background = page.grab().toImage().pixelColor(corner)
        text = person.ui.problem1Text.palette.color(QtGui.QPalette.WindowText)
        assert _contrast(background, text) > 4.5
        person.picture(style.replace(" ", "-"))
    finally:
        person.host.app.setPalette(before)


def _contrast(first: QtGui.QColor, second: QtGui.QColor) -> float:
    """The contrast ratio of WCAG 2: 1 to 21; 4.5 is enough for text."""

    def luminance(color: QtGui.QColor) -> float:
        parts = (color.redF(), color.greenF(), color.blueF())
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


FILLED = {
    FORM: {"methodExplanation", "deviceFound", "estimateLabel", "installText", "reasonLabel", "stageLabel"}
    | {f"problem{n}Text" for n in (1, 2, 3)},
    FORM.with_name("JointRegistrationInspect.ui"): {"rangeText", "inspectProblemText", "readOutText"},
}


@pytest.mark.parametrize("form", FILLED, ids=lambda form: form.stem)
def test_no_label_that_is_filled_in_takes_a_name_for_markup(form: Path) -> None:
    """Labels say how their text is to be read; those for rich text are given escaped names (see their own tests)."""
    empty, plain = set(), set()
    for label in ElementTree.parse(form).iter("widget"):
        if label.get("class") != "QLabel" or label.get("name", "").endswith("Spacer"):
            continue
        if not label.findtext("property[@name='text']/string"):
            empty.add(label.get("name"))
            how = label.findtext("property[@name='textFormat']/enum")
            assert how in ("Qt::PlainText", "Qt::RichText"), label.get("name")
            if how == "Qt::PlainText":
                plain.add(label.get("name"))
    assert FILLED[form] <= plain <= empty


def test_a_volume_named_like_markup_is_shown_by_its_name(person: Person) -> None:
    name = "<img src=x><b>knee</b>"
    person.open()
    person.panel._progress.idle(name)
    assert person.ui.stageLabel.text.replace("\u200b", "") == name
    assert QtCore.Qt.TextFormat(person.ui.stageLabel.textFormat) == QtCore.Qt.TextFormat.PlainText
    from JointRegistrationPanel.text import toolTip

    assert toolTip("a & b") == "a & b"
    assert toolTip(name) == "<span>&lt;img src=x&gt;&lt;b&gt;knee&lt;/b&gt;</span>"
