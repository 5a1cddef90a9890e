"""The module file on a real MRML scene. Only Slicer's three base classes, which the wheel lacks, are stood in for."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import types
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

from JointRegistrationMRML.scene.headless import createHeadlessScene
from Testing.Support.known_scene import FIXED_GRID, Knee, addVolume
from Testing.Support.patience import patient

ROOT = Path(__file__).resolve().parents[3]
MODULE_FILE = ROOT / "JointRegistration" / "JointRegistration.py"


class ModuleBase:
    def __init__(self, parent: Any) -> None:
        self.parent = parent


class WidgetBase:
    pass


class LogicBase:
    pass


class TestBase(unittest.TestCase):
    __test__ = False


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    base = types.ModuleType("slicer.ScriptedLoadableModule")
    base.ScriptedLoadableModule = ModuleBase
    base.ScriptedLoadableModuleWidget = WidgetBase
    base.ScriptedLoadableModuleLogic = LogicBase
    base.ScriptedLoadableModuleTest = TestBase
    monkeypatch.setitem(sys.modules, "slicer.ScriptedLoadableModule", base)
    headless = createHeadlessScene()
    monkeypatch.setattr(slicer, "mrmlScene", headless.scene, raising=False)
    spec = importlib.util.spec_from_file_location("JointRegistration", MODULE_FILE)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    yield loaded
    headless.scene.Clear()


def test_descriptor_tells_slicer_what_it_lists(module: Any) -> None:
    parent = types.SimpleNamespace()
    module.JointRegistration(parent)
    assert parent.title == "Joint Registration"
    assert parent.categories == ["Registration"]
    assert parent.helpText
    assert parent.acknowledgementText
    assert not hasattr(parent, "hidden")


def test_unusable_input_is_refused_in_a_sentence_and_leaves_the_scene_alone(module: Any) -> None:
    from JointRegistrationLib.core.errors import InputError

    fixed = addVolume(slicer.mrmlScene, np.ones(FIXED_GRID.shape, np.float32), FIXED_GRID, "fixed")
    nodesBefore = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(InputError, match="moving volume is not selected"):
        module.JointRegistrationLogic().register(fixed, None)
    with pytest.raises(InputError, match="unknown argument 'outputTransfrom'"):
        module.JointRegistrationLogic().register(fixed, None, outputTransfrom=fixed)
    assert slicer.mrmlScene.GetNumberOfNodes() == nodesBefore


def test_named_arguments_reach_the_run(module: Any, knee: Knee) -> None:
    table = knee.scene.AddNewNodeByClass("vtkMRMLTableNode", "mine")
    outputs = module.JointRegistrationLogic().register(
        knee.nodes.fixed,
        knee.nodes.moving,
        scene=knee.scene,
        movingSegmentation=knee.nodes.movingSegmentation,
        outputTable=table,
        runner=knee.run,
        device="cpu",
    )
    assert outputs.nodes.resultsTable is table
    assert table.GetCellText(0, 0) == "method"
    assert outputs.nodes.warpedSegmentation is not None


def test_a_source_checkout_finds_its_library_without_help() -> None:
    code = (
        "import sys, types\n"
        f"sys.path[:] = [p for p in sys.path if p not in ('', {str(ROOT)!r})]\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        "base = types.ModuleType('slicer.ScriptedLoadableModule')\n"
        "for name in ('', 'Widget', 'Logic', 'Test'): setattr(base, 'ScriptedLoadableModule' + name, object)\n"
        "sys.modules['slicer.ScriptedLoadableModule'] = base\n"
        f"sys.path.insert(0, {str(MODULE_FILE.parent)!r})\n"
        "before = list(sys.path)\n"
        "import JointRegistration\n"
        "assert sys.path == before, 'importing the module changed the path'\n"
        "JointRegistration.JointRegistrationLogic()\n"
        "import JointRegistrationLib.core.geometry\n"
        f"assert sys.path[-1] == {str(ROOT)!r}, sys.path\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, timeout=patient(10), check=False
    )
    assert done.returncode == 0, done.stderr
