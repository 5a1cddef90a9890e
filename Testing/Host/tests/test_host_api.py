"""The host offers nothing that desktop Slicer lacks: its names against those read off a running Slicer."""

from __future__ import annotations

from typing import Any

import pytest
from slicer_host.qt.application_python import source
from slicer_host.qt.recorded_api import record, recordFile

pytestmark = pytest.mark.skipif(
    recordFile() is None, reason="needs slicer-api.json; set JOINTREG_SLICER_API to its path"
)


def _public(owner: Any) -> set[str]:
    return {name for name in vars(owner) if not name.startswith("_")}


def _standIns() -> dict[str, type]:
    from slicer_host.application import slicer_additions
    from slicer_host.widgets import ctk_module

    return {kind.__name__: kind for kind in (*ctk_module.WIDGETS, *slicer_additions.WIDGETS)}


def _ownNames(kind: type) -> set[str]:
    """What the stand-in and its bases in the host define; Qt's own names are Qt's.

    Overrides of Qt's protected methods are listed by the application too, under other classes.
    """
    from PySide6 import QtWidgets

    own = set().union(*(_public(base) for base in kind.__mro__ if base.__module__.startswith("slicer_host")))
    return own - set(dir(QtWidgets.QWidget)) - {"staticMetaObject"}


@pytest.mark.parametrize("name", ["ctkCollapsibleButton", "qMRMLNodeComboBox"])
def test_the_comparison_sees_the_names_that_stand_ins_add(host: Any, name: str) -> None:
    assert len(_ownNames(_standIns()[name])) > 5


def test_widgets_have_no_other_names_properties_or_signals(host: Any) -> None:
    from PySide6 import QtCore

    for name, kind in _standIns().items():
        recorded = record()["classes"].get(name)
        if recorded is None:
            assert name == "qMRMLWidget", f"{name} is not in the record"
            assert _ownNames(kind) == {"mrmlScene", "setMRMLScene", "mrmlSceneChanged"}
            continue
        assert _ownNames(kind) <= set(recorded["names"]), name
        properties = {
            n for n in _ownNames(kind) if any(isinstance(vars(b).get(n), QtCore.Property) for b in kind.__mro__)
        }
        assert properties <= {entry["name"] for entry in recorded["properties"]}, name
        signals = {entry["sig"] for entry in recorded["signals"]}
        assert set(getattr(kind, "_pythonQtSignals", {})) <= signals, name


def test_modules_of_slicer_have_no_other_names(host: Any) -> None:
    import slicer
    from slicer_host.application.slicer_additions import additions

    api = record()
    added = set(additions(host))
    assert added <= set(api["slicer"]), added - set(api["slicer"])
    if source() is None:  # else it is the application's own, of another version than the record's
        wrapper = _public(slicer.parameterNodeWrapper)
        assert wrapper <= set(api["parameterNodeWrapper"]["dir"]), wrapper
    assert "pip_install" in api["slicer.util"]


def test_the_application_object_has_no_other_names(host: Any) -> None:
    from slicer_host.application.application import qSlicerApplication

    own = _public(qSlicerApplication) - {"staticMetaObject"}
    assert own <= set(record()["slicer.app"]), own - set(record()["slicer.app"])


def test_base_classes_of_modules_have_no_other_names(host: Any) -> None:
    from slicer_host.application import scripted_module

    for name, recorded in record()["ScriptedLoadableModule"].items():
        own = _public(getattr(scripted_module, name))
        assert own <= set(recorded), f"{name}: {own - set(recorded)}"


def test_names_that_only_pyside_has_are_refused(host: Any) -> None:
    import qt

    with pytest.raises(AttributeError, match="PySide6"):
        qt.QPushButton("go").screen  # noqa: B018
    assert not qt.QCheckBox().connect("checkStateChanged(Qt::CheckState)", lambda: None)  # Qt 6.7 and later
    from slicer_host.qt.connections import refused

    refused.clear()
