"""A scripted module opened, used and closed in the host as in the application."""

from __future__ import annotations

import subprocess
import sys
import time
import unittest
from pathlib import Path
from typing import Any

import pytest
from slicer_host.qt.application_python import source
from slicer_host.qt.version import emulatedVersion

EXAMPLE = Path(__file__).parents[1] / "Example" / "HostExample.py"


@pytest.fixture
def panel(host: Any) -> Any:
    return host.openModule(EXAMPLE)


@pytest.fixture
def volume(host: Any) -> Any:
    import numpy as np
    import slicer

    return slicer.util.addVolumeFromArray(np.ones((4, 5, 6)), name="knee")


def test_apply_waits_for_its_input_and_says_so(panel: Any, volume: Any, host: Any) -> None:
    assert panel.events == ["enter"]
    with pytest.raises(AssertionError, match="Choose an input volume"):
        host.click(panel.ui.applyButton)
    host.choose(panel.ui.inputSelector, volume)
    host.click(panel.ui.applyButton)
    assert volume.GetAttribute("threshold") == "100.0"
    assert panel.ui.statusLabel.text == "Done"


def test_form_and_parameters_follow_each_other(panel: Any, host: Any) -> None:
    host.click(panel.ui.advancedButton)
    host.choose(panel.ui.qualityBox, "Fast")
    host.type(panel.ui.noteEdit, "left knee")
    host.type(panel.ui.highBox, "250")
    host.click(panel.ui.invertBox)
    assert panel.parameters.quality.value == "fast"
    assert panel.parameters.note == "left knee"
    assert panel.parameters.window.high == 250.0
    assert panel.parameters.invert is True
    panel.parameters.threshold = 33.5
    assert panel.ui.thresholdSlider.value == 33.5


def test_folded_contents_cannot_be_used(panel: Any, host: Any) -> None:
    with pytest.raises(AssertionError, match="not visible"):
        host.type(panel.ui.noteEdit, "hidden")


def test_an_error_is_shown_and_raised(panel: Any, host: Any) -> None:
    empty = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    host.choose(panel.ui.inputSelector, empty)
    host.answers.append("OK")
    host.click(panel.ui.applyButton)
    assert "empty is empty" in host.dialogs.asked[-1]
    assert "ValueError: empty is empty" in host.errors.pop()


def test_installing_is_asked_for_and_only_recorded(panel: Any, host: Any) -> None:
    host.answers.append("Cancel")
    host.click(panel.ui.askButton)
    assert host.installed == []
    host.answers.append("OK")
    host.click(panel.ui.askButton)
    assert host.installed == ["some-package>=1"]


def test_a_dialog_that_nobody_answers_does_not_block_and_is_remembered(panel: Any, host: Any) -> None:
    host.click(panel.ui.askButton)
    assert host.dialogs.unexpected == ["Install a package?"]
    host.dialogs.unexpected.clear()


def test_closing_the_scene_gives_fresh_parameters(panel: Any, volume: Any, host: Any) -> None:
    host.choose(panel.ui.inputSelector, volume)
    panel.parameters.note = "to be forgotten"
    host.scene.Clear()
    assert panel.parameters.note == ""
    assert panel.parameters.inputVolume is None
    assert not panel.ui.applyButton.enabled


def test_the_module_is_listed_and_its_logic_found(panel: Any) -> None:
    import slicer

    assert slicer.modules.hostexample.title == "Host Example"
    assert slicer.modules.HostExampleWidget is panel
    assert slicer.util.getModuleLogic("HostExample") is panel.logic
    assert slicer.util.selectedModule() == "HostExample"
    assert panel.logic.getParameterNode() is panel.logic.getParameterNode()


def test_reload_makes_the_panel_anew_from_its_source(panel: Any, host: Any) -> None:
    import slicer

    panel.onReload()
    host.processEvents()
    fresh = slicer.modules.HostExampleWidget
    assert fresh is not panel
    assert type(fresh) is not type(panel)
    assert panel.events == ["enter", "cleanup"]
    assert fresh.ui.applyButton.visible
    assert slicer.util.getModuleWidget("HostExample") is fresh


def test_the_modules_own_test_runs(panel: Any) -> None:
    result = unittest.TestResult()
    test = sys.modules["HostExample"].HostExampleTest("test_emptyVolumeIsRefused")
    test.run(result)
    assert result.testsRun == 1
    assert result.wasSuccessful(), result.errors


def test_sample_data_is_registered_once_the_application_has_started(panel: Any, host: Any) -> None:
    import slicer

    assert slicer.modules.sampleDataSources == {}
    host.finishStartup()
    (source,) = slicer.modules.sampleDataSources["Host"]
    (node,) = source.customDownloader(source)
    assert node.GetName() == "Empty"


def test_a_busy_slot_is_seen_as_a_gap(host: Any) -> None:
    import qt

    with host.gaps() as calm:
        time.sleep(0)
    with host.gaps() as gaps:
        qt.QTimer.singleShot(0, lambda: time.sleep(0.2))
        end = time.monotonic() + 0.3
        host.wait(lambda: time.monotonic() > end)
    assert gaps.largest >= 0.2
    assert calm.largest < gaps.largest


def test_waiting_ends_with_an_error(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("Testing.Support.patience.PATIENCE", 1.0)
    with pytest.raises(AssertionError, match=r"0\.05 s"):
        host.wait(lambda: False, 0.05)


def test_a_screenshot_shows_the_panel(panel: Any, host: Any, tmp_path: Path) -> None:
    from PySide6 import QtGui

    picture = QtGui.QImage(str(host.screenshot(panel, tmp_path / "panel.png")))
    colours = {picture.pixel(x, y) for x in range(0, picture.width(), 3) for y in range(0, picture.height(), 3)}
    assert picture.width() >= 400
    assert len(colours) > 20


def test_slice_views_take_layers_as_in_the_application(volume: Any, host: Any) -> None:
    import slicer

    slicer.util.setSliceViewerLayers(background=volume, foreground=volume, foregroundOpacity=0.25, fit=True)
    composite = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == volume.GetID()
    assert composite.GetForegroundOpacity() == 0.25


def test_a_form_with_unknown_widgets_or_properties_is_refused(host: Any, tmp_path: Path) -> None:
    import slicer

    form = tmp_path / "form.ui"
    template = (
        '<ui version="4.0"><class>F</class><widget class="{}" name="w">'
        '<property name="{}"><bool>true</bool></property></widget></ui>'
    )
    form.write_text(template.format("ctkNoSuchWidget", "enabled"))
    with pytest.raises(RuntimeError, match="ctkNoSuchWidget"):
        slicer.util.loadUI(str(form))
    form.write_text(template.format("QCheckBox", "chekced"))
    with pytest.raises(RuntimeError, match="chekced"):
        slicer.util.loadUI(str(form))


def test_uninstalling_gives_python_back_as_it_was() -> None:
    import slicer
    import slicer_host

    before, attributes = set(sys.modules), set(vars(slicer))
    host = slicer_host.install()
    panel = host.openModule(EXAMPLE)
    host.uninstall()
    assert panel.events == ["enter", "exit", "cleanup"]
    assert set(vars(slicer)) == attributes
    for name in ("qt", "ctk", "HostExample", "slicer.ScriptedLoadableModule", "slicer.parameterNodeWrapper"):
        assert (name in sys.modules) == (name in before)


def test_a_form_sets_enumerations_of_qt_that_a_widget_hands_on(host: Any, tmp_path: Path) -> None:
    import qt
    import slicer

    form = tmp_path / "form.ui"
    form.write_text(
        '<ui version="4.0"><class>F</class><widget class="qMRMLNodeComboBox" name="w">'
        '<property name="sizeAdjustPolicy"><enum>QComboBox::AdjustToMinimumContentsLengthWithIcon</enum></property>'
        "</widget></ui>"
    )
    policy = slicer.util.loadUI(str(form)).sizeAdjustPolicy
    assert policy == qt.QComboBox.AdjustToMinimumContentsLengthWithIcon


@pytest.mark.skipif(
    source() is None or emulatedVersion() < (5, 12),
    reason="slicer.packaging comes with 5.12",
)
def test_installing_beside_the_window_is_recorded_and_its_end_told(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    codes: list[int] = []
    slicer.packaging.pip_install(["some-package"], blocking=False, completedCallback=codes.append)
    assert (host.installed, codes) == (["some-package"], [0])

    def offline(requirements: Any) -> None:
        raise subprocess.CalledProcessError(1, "pip install")

    monkeypatch.setattr(slicer.util, "pip_install", offline)
    slicer.packaging.pip_install(["some-package"], blocking=False, completedCallback=codes.append)
    assert codes == [0, 1]
    with pytest.raises(subprocess.CalledProcessError):
        slicer.packaging.pip_install(["some-package"])
