"""The module ``qt`` behaves as PythonQt's, not as PySide6."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from Testing.Support.patience import patient


@pytest.fixture
def qt(host: Any) -> Any:
    import qt

    return qt


@pytest.mark.parametrize(
    ("kind", "getter"),
    [
        ("QLineEdit", "text"),
        ("QLabel", "text"),
        ("QPushButton", "text"),
        ("QSpinBox", "value"),
        ("QSlider", "value"),
        ("QProgressBar", "value"),
        ("QComboBox", "currentIndex"),
        ("QComboBox", "currentText"),
        ("QComboBox", "count"),
        ("QTableWidget", "rowCount"),
        ("QTabWidget", "currentIndex"),
        ("QCheckBox", "checked"),
        ("QToolButton", "sizeHint"),
    ],
)
def test_a_getter_named_like_its_property_cannot_be_called(qt: Any, kind: str, getter: str) -> None:
    widget = getattr(qt, kind)()
    with pytest.raises(TypeError):
        getattr(widget, getter)()


def test_is_getters_and_both_kinds_of_setters_work(qt: Any) -> None:
    box = qt.QCheckBox("invert")
    box.checked = True
    assert box.isChecked() is True
    box.setEnabled(False)
    assert box.enabled is False
    assert box.isEnabled() is False
    combo = qt.QComboBox()
    combo.addItems(["a", "b", "c"])
    combo.currentIndex = 2
    assert combo.currentText == "c"
    combo.setCurrentIndex(1)
    assert combo.currentIndex == 1
    text = qt.QPlainTextEdit()
    text.plainText = "log"
    assert text.toPlainText() == text.plainText == "log"


def test_nothing_can_be_added_to_a_qt_object_but_to_a_class_derived_in_python(qt: Any) -> None:
    with pytest.raises(AttributeError, match="txet"):
        qt.QLabel().txet = "typing error"

    class Derived(qt.QWidget):
        pass

    derived = Derived()
    derived.remembered = 3
    assert derived.remembered == 3


def test_enums_are_numbers_and_threads_are_absent(qt: Any) -> None:
    assert qt.QProcess.NotRunning == 0
    assert isinstance(qt.QMessageBox.Ok, int)
    assert not hasattr(qt, "QThread")


def test_signals_connect_by_signature_and_by_attribute(qt: Any) -> None:
    button, seen = qt.QPushButton("go"), []
    assert button.connect("clicked(bool)", lambda checked: seen.append(("one", checked)))
    assert button.connect("clicked()", lambda: seen.append("none"))
    button.clicked.connect(lambda: seen.append("attribute"))
    button.click()
    assert seen == [("one", False), "none", "attribute"]


def test_a_connection_can_be_undone_with_the_same_arguments(qt: Any) -> None:
    button, seen = qt.QPushButton("go"), []

    def slot() -> None:
        seen.append(1)

    button.connect("clicked()", slot)
    assert button.disconnect("clicked()", slot)
    assert not button.disconnect("clicked()", slot)
    button.click()
    assert seen == []


def test_a_wrong_signature_gives_false_and_is_reported(qt: Any, host: Any) -> None:
    from slicer_host.qt.connections import refused

    assert qt.QPushButton("go").connect("clickd(bool)", lambda: None) is False
    assert qt.QComboBox().connect("currentIndexChanged(QModelIndex)", lambda: None) is False
    assert len(refused) == 2
    refused.clear()


def test_a_slot_wanting_more_than_the_signature_carries_is_never_called(qt: Any, host: Any) -> None:
    button, seen = qt.QPushButton("go"), []

    def slot(checked: bool) -> None:
        seen.append(checked)

    button.connect("clicked()", slot)
    button.click()
    assert seen == []
    assert "TypeError" in host.errors.pop()


def test_errors_in_slots_do_not_propagate_but_fail_the_test(qt: Any, host: Any) -> None:
    def slot() -> None:
        raise ValueError("in the slot")

    button = qt.QPushButton("go")
    button.clicked.connect(slot)
    button.click()
    assert "in the slot" in host.errors.pop()


def test_single_shot_is_a_function_of_the_class_and_a_property_of_the_timer(qt: Any, host: Any) -> None:
    seen: list[int] = []
    qt.QTimer.singleShot(0, lambda: seen.append(1))
    timer = qt.QTimer()
    timer.setSingleShot(True)
    assert timer.singleShot is True
    host.wait(lambda: seen)


def test_an_event_loop_runs_until_it_is_quit(qt: Any) -> None:
    loop = qt.QEventLoop()
    qt.QTimer.singleShot(1, loop.quit)
    assert loop.exec_() == 0


def test_settings_keep_types_and_give_lists_back_as_tuples(qt: Any, host: Any) -> None:
    import slicer

    settings = qt.QSettings()
    settings.setValue("a/number", 3)
    settings.setValue("a/list", ["x", "y"])
    assert slicer.app.userSettings().value("a/number") == 3
    assert settings.value("a/list") == ("x", "y")
    assert slicer.util.settingsValue("a/absent", True) is True
    assert str(host.app.temporaryPath) in settings.fileName()


def test_a_process_reports_output_and_end(qt: Any) -> None:
    process, output, ended = qt.QProcess(), [], []
    process.connect("readyReadStandardOutput()", lambda: output.append(process.readAllStandardOutput().data()))
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: ended.append((code, status)))
    process.finished.connect(ended.append)
    process.start(sys.executable, ["-c", "print('hello')"])
    assert process.waitForFinished(int(1000 * patient(5)))
    assert b"".join(output).strip() == b"hello"
    assert ended == [(0, 0), 0]
    assert process.state() == 0


def test_the_finished_signal_gives_the_exit_code_alone(qt: Any, host: Any) -> None:
    process, seen = qt.QProcess(), []
    process.finished.connect(lambda code, status: seen.append(code))
    process.start(sys.executable, ["-c", ""])
    process.waitForFinished(int(1000 * patient(5)))
    assert seen == []
    assert "TypeError" in host.errors.pop()


def test_a_missing_program_does_not_start(qt: Any) -> None:
    process, errors = qt.QProcess(), []
    process.connect("errorOccurred(QProcess::ProcessError)", lambda error: errors.append(int(error)))
    process.start("/no/such/program", [])
    assert process.waitForStarted(int(1000 * patient(2))) is False
    assert errors == [0]


def test_tool_tips_come_back_as_rich_text(qt: Any) -> None:
    button = qt.QPushButton()
    button.toolTip = "a < b"
    assert button.toolTip != "a < b"
    assert "a &lt; b" in button.toolTip


def test_a_collapsible_button_is_as_wide_as_the_widest_of_its_contents(qt: Any) -> None:
    import ctk

    button, column = ctk.ctkCollapsibleButton(), qt.QWidget()
    qt.QVBoxLayout(button)
    qt.QVBoxLayout(column).addWidget(button)
    label = qt.QLabel("a sentence that is a good deal wider than what the section is called")
    label.setWordWrap(True)
    button.layout().addWidget(label)
    assert button.sizePolicy.horizontalPolicy() == qt.QSizePolicy.Minimum
    assert column.minimumSizeHint.width() >= label.sizeHint.width() > label.minimumSizeHint.width()
    button.collapsed = True
    assert column.minimumSizeHint.width() < label.sizeHint.width()
