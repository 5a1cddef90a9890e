"""The extension uses only names that desktop Slicer has.

``confirmed_names.json`` holds those that were seen in a running Slicer 5.6.2. After a change of the sources that adds
one, look it up in the record (slicer-api.json, see :mod:`slicer_host.qt.recorded_api`) and write the list anew:
``python Testing/Host/confirmed_names.py``. VTK and MRML are those of slicer-core.
"""

from __future__ import annotations

import json

import pytest
import slicer
import vtk
from confirmed_names import FILE, ofApplication, recorded
from slicer_host.qt.recorded_api import UNLISTED, recordFile
from used_names import methodNames, signalNames, usedNames

CONFIRMED = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.skipif(recordFile() is None, reason="needs slicer-api.json; set JOINTREG_SLICER_API to its path")
def test_confirmed_names_were_seen_in_the_application() -> None:
    for owner, names in CONFIRMED.items():
        assert set(names) <= recorded(owner), owner


def test_every_name_of_the_application_that_is_used_was_confirmed() -> None:
    for owner, names in ofApplication().items():
        assert names <= set(CONFIRMED.get(owner, [])), f"{owner}: see the head of this file"


def test_the_reader_of_sources_finds_names_of_every_kind() -> None:
    used = usedNames()
    assert "installFrame" not in used["QFrame"]
    assert {"clicked", "setEnabled"} <= used["QPushButton"]  # of controls of the form
    assert {"start", "connect"} <= used["QTimer"]  # of what is made on the spot
    assert "start" in used["QProcess"]
    assert "NotRunning" in used["QProcess"]  # constants
    assert {"vtkMRMLTransformNode", "vtkSegment"} <= used["slicer"]  # also where they are but words
    assert "WithinRange" in used["slicer.parameterNodeWrapper"]  # imported
    assert {"timeout()", "finished(int,QProcess::ExitStatus)"} <= signalNames()


def test_qt_has_the_other_names_of_qt(host: object) -> None:
    import qt

    for owner, names in usedNames().items():
        if owner == "qt":
            assert not {name for name in names if not hasattr(qt, name)}
        elif owner.startswith("Q") and owner not in CONFIRMED:
            assert not {name for name in names if not hasattr(getattr(qt, owner), name)} - UNLISTED, owner


def test_vtk_and_mrml_classes_have_the_names_that_are_taken_from_them() -> None:
    for owner, names in usedNames().items():
        if owner.startswith("vtk") and owner != "vtk":
            kind = getattr(slicer, owner, None) or getattr(vtk, owner)
            assert not {name for name in names if not hasattr(kind, name)}, owner
    assert not {name for name in usedNames()["vtk"] if not hasattr(vtk, name)}


#: Of Python's own, of ours, of Qt's, and of other extensions, in the style of VTK.
OTHERS = {"JointRegistrationLogic", "PyTorchUtilsLogic", "SampleDataLogic"}
OTHERS |= {"ExcludeUserInputEvents", "FailedToStart", "NotRunning", "ResizeToContents", "Window"}


def test_every_name_in_the_style_of_vtk_is_one_of_some_class_of_vtk_or_mrml() -> None:
    named = {name for name in usedNames()["vtk"] if name.startswith("vtk")}
    ofData = {"vtkCollection", "vtkDataArray", "vtkFieldData", "vtkPointData", "vtkPlot", "vtkVariant"}
    kinds = [getattr(vtk, name) for name in named | ofData]
    kinds += [value for name in dir(slicer) if isinstance(value := getattr(slicer, name), type)]
    known = set().union(*(dir(kind) for kind in kinds))
    assert methodNames() - known == OTHERS
