"""slicer.parameterNodeWrapper on a real vtkMRMLScriptedModuleNode.

Annotations are evaluated here, not postponed: the wrapped class is local, its types are too.
"""

import enum
import gc
import pathlib
import subprocess
import sys
from typing import Annotated, Any, Optional, Union

import pytest
from slicer_host.qt.application_python import source
from slicer_host.qt.version import emulatedVersion


class Quality(enum.Enum):
    FAST = 1
    GOOD = 2


@pytest.fixture
def parameters(host: Any) -> Any:
    """A wrapper of the kinds of fields that panels use, on a new node."""
    import slicer
    from slicer.parameterNodeWrapper import (
        Choice,
        Decimals,
        Default,
        Maximum,
        Minimum,
        SingleStep,
        WithinRange,
        parameterNodeWrapper,
        parameterPack,
    )

    @parameterPack
    class Window:
        low: float = 0.0
        high: Annotated[float, WithinRange(0, 500)] = 100.0

    @parameterNodeWrapper
    class Parameters:
        volume: slicer.vtkMRMLScalarVolumeNode
        transform: Optional[slicer.vtkMRMLTransformNode]  # noqa: UP045 (the only way before 5.10)
        sigma: Annotated[float, WithinRange(0.5, 20), Decimals(2), SingleStep(0.25)] = 2.0
        iterations: Annotated[int, Minimum(0), Maximum(50)] = 5
        invert: bool = False
        note: str = "none"
        device: Annotated[str, Choice(["auto", "cpu"]), Default("cpu")]
        quality: Quality = Quality.GOOD
        folder: pathlib.Path
        window: Window

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Parameters")
    return Parameters(node)


def test_defaults_are_written_into_the_node_at_once(parameters: Any) -> None:
    node = parameters.parameterNode
    assert (parameters.sigma, parameters.iterations, parameters.invert, parameters.note) == (2.0, 5, False, "none")
    assert parameters.device == "cpu"
    assert parameters.quality is Quality.GOOD
    assert parameters.folder == pathlib.Path()
    assert parameters.volume is None
    assert node.GetParameter("sigma") == "2.0"
    assert node.GetParameter("quality") == "GOOD"
    assert node.GetParameter("window.high") == "100.0"


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("sigma", 0.1, ValueError),
        ("sigma", "2", TypeError),
        ("sigma", None, ValueError),
        ("iterations", 51, ValueError),
        ("iterations", -1, ValueError),
        ("iterations", 1.5, TypeError),
        ("device", "cuda", ValueError),
        ("quality", "GOOD", TypeError),
        ("quality", None, AttributeError),
        ("invert", 1, TypeError),
    ],
)
def test_values_that_the_annotations_forbid_are_refused_and_nothing_changes(
    parameters: Any, name: str, value: Any, error: type[Exception]
) -> None:
    before = getattr(parameters, name)
    with pytest.raises(error):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_nodes_are_kept_as_references_of_the_right_class(parameters: Any, host: Any) -> None:
    volume = host.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "knee")
    parameters.volume = volume
    assert parameters.parameterNode.GetNodeReference("volume") is volume
    with pytest.raises(TypeError):
        parameters.transform = volume
    host.scene.RemoveNode(volume)
    assert parameters.volume is None


def test_a_change_is_one_modified_event(parameters: Any) -> None:
    events = []
    parameters.AddObserver("ModifiedEvent", lambda *_: events.append(1))
    parameters.note = "changed"
    assert len(events) == 1
    parameters.note = "changed"
    assert len(events) == 1


def test_what_the_node_lost_is_its_default_again(parameters: Any) -> None:
    parameters.sigma = 7.5
    parameters.parameterNode.UnsetAllParameters()
    assert parameters.sigma == 2.0
    assert parameters.window.high == 100.0
    assert parameters.parameterNode.GetParameter("sigma") == "2.0"


def test_members_of_a_pack_are_written_through(parameters: Any) -> None:
    parameters.window.low = 12.5
    assert parameters.parameterNode.GetParameter("window.low") == "12.5"
    parameters.setValue("window.high", 200.0)
    assert parameters.getValue("window.high") == 200.0
    with pytest.raises(ValueError, match="501"):
        parameters.window.high = 501.0


def test_a_bool_is_taken_for_a_number_that_cannot_be_read_back(parameters: Any) -> None:
    with pytest.raises(ValueError, match="True"):
        parameters.iterations = True
    assert parameters.parameterNode.GetParameter("iterations") == "True"


def test_while_the_node_is_modified_only_what_was_written_here_is_new(parameters: Any) -> None:
    node = parameters.parameterNode
    modifying = node.StartModify()
    node.SetParameter("note", "by another")
    parameters.sigma = 7.5
    assert (parameters.note, parameters.sigma) == ("none", 7.5)
    node.EndModify(modifying)
    assert parameters.note == "by another"


def test_nothing_can_be_added_to_a_pack(parameters: Any) -> None:
    with pytest.raises(AttributeError):
        parameters.window.hihg = 3.0
    with pytest.raises(ValueError, match="hihg"):
        parameters.window.setValue("hihg", 3.0)


def test_unknown_parameters_are_refused(parameters: Any) -> None:
    with pytest.raises(ValueError, match="sigmma"):
        parameters.getValue("sigmma")


def test_parameters_come_back_with_the_saved_scene(parameters: Any, host: Any, tmp_path: Any) -> None:
    from JointRegistrationMRML.scene.headless import loadScene, saveScene

    parameters.sigma, parameters.quality, parameters.folder = 7.5, Quality.FAST, pathlib.Path("/a/b")
    parameters.window.low = 3.0
    kind = type(parameters)
    saved = saveScene(host.scene, tmp_path / "scene")
    host.scene.Clear()
    loadScene(host.scene, saved)
    again = kind(host.scene.GetFirstNodeByName("Parameters"))
    assert (again.sigma, again.quality, again.folder) == (7.5, Quality.FAST, pathlib.Path("/a/b"))
    assert again.window.low == 3.0


def test_widgets_take_range_step_and_value_and_change_the_parameter(parameters: Any, host: Any) -> None:
    import ctk
    import qt

    slider, spin, combo = ctk.ctkSliderWidget(), qt.QSpinBox(), qt.QComboBox()
    combo.addItem("from the form")
    parameters.connectParametersToGui({"sigma": slider, "iterations": spin, "device": combo})
    assert (slider.minimum, slider.maximum, slider.singleStep, slider.value) == (0.5, 20.0, 0.25, 2.0)
    assert (spin.minimum, spin.maximum, spin.value) == (0, 50, 5)
    assert [combo.itemText(i) for i in range(combo.count)] == ["auto", "cpu"]
    slider.value = 3.25
    assert parameters.sigma == 3.25
    parameters.iterations = 9
    assert spin.value == 9
    parameters.device = "auto"
    assert combo.currentText == "auto"


def test_a_disconnected_panel_changes_nothing_any_more(parameters: Any) -> None:
    import qt

    edit = qt.QLineEdit()
    tag = parameters.connectParametersToGui({"note": edit})
    parameters.disconnectGui(tag)
    edit.text = "typed later"
    assert parameters.note == "none"
    parameters.note = "set later"
    assert edit.text == "typed later"


def test_a_widget_that_slicer_has_no_connector_for_is_refused(parameters: Any) -> None:
    import qt

    with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
        parameters.connectParametersToGui({"note": qt.QPlainTextEdit()})
    with pytest.raises(RuntimeError, match="Choice"):
        parameters.connectParametersToGui({"note": qt.QComboBox()})


def test_a_slider_needs_bounds_and_a_spin_box_without_them_has_none(host: Any) -> None:
    import ctk
    import qt
    import slicer

    unbounded = _wrapped(host, float)
    for slider in (ctk.ctkSliderWidget(), slicer.qMRMLSliderWidget()):
        with pytest.raises(RuntimeError):
            unbounded.connectParametersToGui({"value": slider})
    box = qt.QDoubleSpinBox()
    unbounded.connectParametersToGui({"value": box})
    assert (box.minimum, box.maximum) == (float("-inf"), float("inf"))


@pytest.mark.skipif(emulatedVersion() > (5, 6), reason="Slicer 5.8 has connectors for these")
def test_5_6_has_no_connector_for_labels_and_ctks_combo_box(parameters: Any) -> None:
    import ctk
    import qt

    for name, widget in (("note", qt.QLabel()), ("device", ctk.ctkComboBox())):
        with pytest.raises(RuntimeError, match="Unable to create GUI connector"):
            parameters.connectParametersToGui({name: widget})


_FORGET = """
import gc, sys
sys.path[:0] = {path!r}
import slicer_host
host = slicer_host.install()
import slicer
from slicer.parameterNodeWrapper import parameterNodeWrapper

@parameterNodeWrapper
class Parameters:
    note: str = ""

def bindAndForget():
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "one")
    Parameters(node).connectParametersToGui({{}})
    return node.GetID()

identifier = bindAndForget()
gc.collect()
slicer.mrmlScene.GetNodeByID(identifier).SetParameter("note", "changed")
print(host.errors)
"""


def test_a_bound_wrapper_that_is_forgotten_ends_the_process() -> None:
    """In the application; the stand-in reports an error instead."""
    script = _FORGET.format(path=sys.path)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600, check=False)
    if source() is None:
        assert "Slicer crashes here" in run.stdout
    else:
        assert run.returncode != 0
        assert run.stdout == ""


def _wrapped(host: Any, kind: Any) -> Any:
    """A wrapper of one parameter, ``value``, of type ``kind``."""
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    owner = type("Parameters", (), {"__annotations__": {"value": kind}})
    return parameterNodeWrapper(owner)(host.scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "one"))


def test_a_union_without_none_refuses_none_and_so_cannot_begin(host: Any) -> None:
    import slicer

    with pytest.raises(TypeError, match="Unable to write value 'None'"):
        _wrapped(host, Union[slicer.vtkMRMLLabelMapVolumeNode, slicer.vtkMRMLSegmentationNode])  # noqa: UP007


def test_a_union_with_none_keeps_each_type_in_its_place(host: Any) -> None:
    import slicer

    kind = Union[slicer.vtkMRMLLabelMapVolumeNode, slicer.vtkMRMLSegmentationNode, None]  # noqa: UP007
    parameters = _wrapped(host, kind)
    segmentation = host.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mask")
    parameters.value = segmentation
    assert parameters.parameterNode.GetNodeReference("value.1") is segmentation
    assert not parameters.parameterNode.HasParameter("value.0")
    parameters.value = None
    assert parameters.value is None
    with pytest.raises(TypeError):
        parameters.value = host.scene.AddNewNodeByClass("vtkMRMLTableNode", "no mask")


@pytest.fixture
def version(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets which Slicer the stand-ins behave like."""
    if source() is not None:
        pytest.skip("SLICER_SOURCE has one version")
    return lambda text: monkeypatch.setenv("SLICER_HOST_VERSION", text)


def test_unions_written_with_a_bar_are_known_from_5_10_on(host: Any, version: Any) -> None:
    version("5.8")
    with pytest.raises(Exception, match="Unable to create serializer"):
        _wrapped(host, pathlib.Path | None)
    version("5.10")
    assert _wrapped(host, pathlib.Path | None).value is None


def test_connect_gui_tells_its_tag_from_5_10_on(parameters: Any, version: Any) -> None:
    import qt

    version("5.8")
    assert parameters.connectGui(qt.QWidget()) is None
    version("5.10")
    assert parameters.connectGui(qt.QWidget()) == 1


def test_disconnecting_leaves_the_observer_of_the_node_up_to_5_10(parameters: Any, version: Any) -> None:
    node = parameters.parameterNode
    version("5.10")
    tag = parameters.connectParametersToGui({})
    observer = node.AddObserver("ModifiedEvent", lambda *_: None) - 1
    parameters.disconnectGui(tag)
    assert node.GetCommand(observer) is not None
    version("5.12")
    tag = parameters.connectParametersToGui({})
    observer = node.AddObserver("ModifiedEvent", lambda *_: None) - 1
    parameters.disconnectGui(tag)
    assert node.GetCommand(observer) is None


def test_a_wrapper_that_was_never_bound_leaves_nothing_on_its_node(host: Any) -> None:
    node = _wrapped(host, str).parameterNode
    gc.collect()
    assert not node.HasObserver("ModifiedEvent")


def test_an_observer_left_behind_is_an_error_once_the_wrapper_is_gone(parameters: Any, host: Any, version: Any) -> None:
    version("5.6")
    node, kind = parameters.parameterNode, type(parameters)
    other = kind(node)
    other.disconnectGui(other.connectParametersToGui({}))
    del other
    gc.collect()
    node.SetParameter("note", "changed")
    assert "Slicer crashes here" in host.errors.pop()
