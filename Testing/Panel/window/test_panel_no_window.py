"""An application without a main window (``Slicer --no-main-window``): no layout manager, no slice views."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import slicer

from Testing.Support.host_fixture import embedded
from Testing.Support.panel_cases import Person, newNodes, sceneContent


@pytest.fixture
def host() -> Iterator[Any]:
    """An embedded Slicer without a window."""
    yield from embedded(window=False)


@pytest.fixture
def logic(person: Person) -> Any:
    """The console's logic; runs in the background go to the stub."""
    person.host.loadModule("JointRegistration")
    from JointRegistrationPanel.run import worker
    from JointRegistrationPanel.selftests import tests

    worker._Shared.worker = tests.stubWorker()
    yield sys.modules["JointRegistration"].JointRegistrationLogic()
    worker.closeSharedWorker()


def test_this_application_has_neither_window_nor_views(person: Person) -> None:
    assert slicer.app.layoutManager() is None
    assert slicer.util.mainWindow() is None
    assert person.scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode") == 0


def test_the_console_registers(person: Person, logic: Any) -> None:
    pytest.importorskip("torch")
    from JointRegistrationLib.core.config import AffineConfig, RegistrationConfig

    fixed, moving = person.addVolumes()
    config = RegistrationConfig(method="affine-opt", affine=AffineConfig(model="rigid", levels=(2,)))
    outputs = logic.register(fixed, moving, config, device="cpu")
    assert outputs.result.similarity_after > 0.98
    assert outputs.nodes.warpedVolume.GetDisplayNode() is not None


def test_the_console_registers_in_the_background(person: Person, logic: Any) -> None:
    fixed, moving = person.addVolumes()
    finished: list[Any] = []
    run = logic.registerAsync(fixed, moving, onFinished=finished.append)
    person.host.wait(lambda: not run.running)
    assert finished[0].nodes.transform.GetScene() is person.scene


def test_the_panel_registers_inspects_and_discards(person: Person) -> None:
    person.open()
    person.chooseVolumes()
    before = sceneContent(person.scene)
    outputs = person.register()
    assert newNodes(person.scene, before)
    inspect = person.panel.inspect
    person.openSection("results")
    for name in ("checkerboard", "jacobian", "flicker"):
        assert inspect.openView(name) is not None, inspect.ui.viewText.text
    person.panel._run.onDiscard()
    person.host.wait(lambda: not person.panel._run.running)
    assert sceneContent(person.scene) == before
    assert outputs.nodes.transform.GetScene() is None
