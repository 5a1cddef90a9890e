"""The scripts of README and docs/tutorial.md, and the console's two forms."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer

from Testing.Support.examples import run_example
from Testing.Support.host_fixture import embedded
from Testing.Support.panel_cases import Person, newNodes, sceneContent


def addSample(person: Person) -> tuple[Any, Any]:
    """Nodes with the names of the sample pair."""
    from JointRegistrationMRML.nodes.arrays import giveDisplay
    from JointRegistrationMRML.nodes.volumes import imageFromVolume
    from Testing.Support.at_once import maskSegmentation

    fixed, moving = person.addVolumes()
    image = imageFromVolume(moving)
    labels = maskSegmentation(image.array > 50, image.grid, "Femur", (0.9, 0.8, 0.5))
    labels.SetName("Moving knee labels")
    giveDisplay(person.scene, labels)
    person.scene.AddNode(labels)
    return fixed, moving


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts without a configuration register by the quickest method."""
    pytest.importorskip("torch")
    from JointRegistrationLib.core import config
    from JointRegistrationMRML.run import register

    fast = config.RegistrationConfig(method="affine-opt", affine=config.AffineConfig(model="rigid", levels=(2,)))
    monkeypatch.setattr(register, "RegistrationConfig", lambda: fast)


@pytest.mark.usefixtures("quick")
def test_the_tutorials_script_registers(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    person.host.loadModule("JointRegistration")
    addSample(person)
    before = sceneContent(person.scene)
    run_example("docs/tutorial.md", 0, slicer=slicer)
    assert "100 %  done" in capsys.readouterr().out
    assert "Moving to fixed" in newNodes(person.scene, before)
    assert "Moving knee labels warped" in newNodes(person.scene, before)


@pytest.mark.usefixtures("quick")
def test_the_readmes_script_registers(person: Person) -> None:
    person.host.loadModule("JointRegistration")
    volumes = dict(zip(("fixed", "moving"), person.addVolumes(), strict=True))
    for name, volume in volumes.items():
        volume.SetName(name)
    before = sceneContent(person.scene)
    names = run_example("README.md", 1, getNode=slicer.util.getNode)
    assert names["outputs"].result.summary()["method"] == "affine-opt"
    assert "moving warped" in newNodes(person.scene, before)


def test_the_tutorials_asynchronous_script_calls_back(person: Person, capsys: pytest.CaptureFixture[str]) -> None:
    person.open()
    fixed, moving = person.addVolumes()
    logic = sys.modules["JointRegistration"].JointRegistrationLogic()
    names = run_example("docs/tutorial.md", 1, slicer=slicer, logic=logic, fixed=fixed, moving=moving)
    assert names["run"].running
    person.host.wait(lambda: not names["run"].running)
    assert capsys.readouterr().out == "0.5\n"


@pytest.fixture
def windowless() -> Iterator[Person]:
    """Slicer --no-main-window."""
    for host in embedded(window=False):
        yield Person(host)


def saveNode(node: Any, filename: str) -> bool:
    """As the application's: a relative path is one in the scene's folder; False where nothing could be written."""
    path = Path(slicer.mrmlScene.GetRootDirectory() or "/nowhere") / filename
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(path))
    return bool(path.parent.is_dir() and storage.WriteData(node))


@pytest.fixture
def batch(windowless: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the tutorial's batch script in an empty folder with this output, and gives the exit codes."""
    windowless.host.loadModule("JointRegistration")
    fixed, moving = windowless.addVolumes()
    volumes = {str(tmp_path / "a.nrrd"): fixed, str(tmp_path / "b.nrrd"): moving}
    codes: list[int] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slicer.util, "loadVolume", lambda path: volumes[path], raising=False)
    monkeypatch.setattr(slicer.util, "saveNode", saveNode, raising=False)
    monkeypatch.setattr(slicer.util, "exit", codes.append, raising=False)

    def run(output: str) -> list[int]:
        monkeypatch.setattr(sys, "argv", ["batch.py", "a.nrrd", "b.nrrd", output])
        run_example("docs/tutorial.md", 2, slicer=slicer)
        return codes

    run.codes = codes  # type: ignore[attr-defined]
    return run


@pytest.mark.usefixtures("quick")
def test_the_tutorials_batch_script_saves_where_it_was_started(batch: Any, tmp_path: Path) -> None:
    assert batch("out.h5") == [0]
    assert (tmp_path / "out.h5").stat().st_size > 0


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("output", ["missing/out.h5", "out.xyz"])
def test_the_tutorials_batch_script_ends_in_an_error_when_nothing_was_saved(
    batch: Any, output: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OSError, match="no folder" if "/" in output else "could not be written"):
        batch(output)
    assert batch.codes == [1]
    assert list(tmp_path.glob("out*")) == []


def test_an_asynchronous_run_can_be_cancelled_and_tells_so(person: Person) -> None:
    from JointRegistrationLib.core.errors import RegistrationCancelled

    person.open("--stay-at", "affine")
    fixed, moving = person.addVolumes()
    before = sceneContent(person.scene)
    logic = sys.modules["JointRegistration"].JointRegistrationLogic()
    failures: list[Exception] = []
    stages: list[str] = []
    run = logic.registerAsync(
        fixed,
        moving,
        onFinished=failures.append,
        onFailed=failures.append,
        progress=lambda stage, *_: stages.append(stage),
    )
    person.host.wait(lambda: "affine" in stages)
    run.cancel()
    person.host.wait(lambda: not run.running)
    assert isinstance(failures[0], RegistrationCancelled)
    assert sceneContent(person.scene) == before


def test_the_console_cannot_start_a_run_while_the_panel_has_one(person: Person) -> None:
    from JointRegistrationLib.core.errors import ResourceError

    person.open("--stay-at", "affine")
    fixed, moving = person.chooseVolumes()
    person.host.click(person.ui.registerButton)
    person.waitForStage("Affine")
    logic = sys.modules["JointRegistration"].JointRegistrationLogic()
    with pytest.raises(ResourceError, match="running already"):
        logic.registerAsync(fixed, moving, onFinished=print)
    person.host.click(person.ui.cancelButton)
    person.host.wait(lambda: not person.panel._run.running)
