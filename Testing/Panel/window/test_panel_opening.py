"""Opening the panel, what is missing, and its installation after one question."""

from __future__ import annotations

import importlib
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import slicer

from Testing.Support.blocked_torch import BLOCKED_TORCH
from Testing.Support.panel_cases import Person
from Testing.Support.patience import patient

ROOT = Path(__file__).resolve().parents[3]

OPENING = (
    BLOCKED_TORCH
    + """
import slicer_host
host = slicer_host.install()
host.loadModule("JointRegistration")
panel = host.openModule("JointRegistration", width=400).panel
assert "torch" not in sys.modules
assert panel.ui.installFrame.visible
assert panel.ui.installText.text == "PyTorch and safetensors are needed to register and not installed yet."
assert not panel._worker.client.running and panel._worker.client.state.value == "stopped"
host.uninstall()
"""
)

#: What opens the panel; Testing/Benchmarks/speed_limits.py measures it.
OPEN = 'panel = host.openModule("JointRegistration", width=400).panel'


def runOpening(code: str = OPENING) -> subprocess.CompletedProcess[str]:
    """In a fresh process."""
    path = [str(ROOT / "Testing" / "Host"), str(ROOT), str(ROOT / "JointRegistration")]
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n" + code],
        capture_output=True,
        text=True,
        timeout=patient(20),
        check=False,
    )


def test_first_opening_without_torch_offers_to_install_it_and_starts_no_process() -> None:
    done = runOpening()
    assert done.returncode == 0, done.stderr


COUNTED = f"""
calls = []
def count(frame, event, of):
    if event == "call" and "JointRegistration" in frame.f_code.co_filename:
        calls.append(frame.f_code.co_name)
sys.setprofile(count)
{OPEN}
sys.setprofile(None)
print("calls", len(calls))
"""


def test_opening_calls_few_functions() -> None:
    """Work that a machine's speed does not change: twice what it was when this was written."""
    done = runOpening(OPENING.replace(OPEN, COUNTED))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split("calls ")[1].split()[0]) < 2400


class Installer:
    """Stands in for what is installed, and for the PyTorch extension that installs it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, there: set[str], extension: bool = True) -> None:
        from JointRegistrationPanel.install import packages

        self.there, self.asked = there, []
        monkeypatch.setattr(packages, "_isInstalled", lambda package: package.name in self.there)
        monkeypatch.setattr(slicer.util, "pip_install", self.pip)
        for name in ("torch", "safetensors"):  # another test may have imported them
            monkeypatch.delitem(sys.modules, name, raising=False)
        if extension:
            utils = types.ModuleType("PyTorchUtils")
            utils.PyTorchUtilsLogic = lambda: types.SimpleNamespace(installTorch=self.torch)
            monkeypatch.setitem(sys.modules, "PyTorchUtils", utils)
            monkeypatch.setattr(slicer.modules, "pytorchutils", object(), raising=False)

    def torch(self, **options: Any) -> None:
        self.asked.append(("torch", options))
        self.there.add("torch")

    def pip(self, requirements: str) -> None:
        self.asked.append(("pip", requirements))
        self.there.add("safetensors")


def open_with(person: Person, monkeypatch: pytest.MonkeyPatch, there: set[str], **options: Any) -> Installer:
    person.host.loadModule("JointRegistration")
    installer = Installer(monkeypatch, there, **options)
    person.open()
    return installer


def test_install_question_names_packages_versions_and_sizes_and_refusing_keeps_the_panel(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    installer = open_with(person, monkeypatch, set())
    person.chooseVolumes()
    person.picture("missing")
    person.host.answers.append("Cancel")
    person.host.click(person.ui.registerButton)
    (question,) = person.host.dialogs.asked
    for words in ("PyTorch 2.4 or newer", "GB", "safetensors 0.4 or newer", "MB", "NumPy, SimpleITK and VTK stay"):
        assert words in question
    assert installer.asked == []
    assert "Nothing was installed" in person.ui.installText.text
    assert not person.panel._run.running
    assert person.ui.registerButton.enabled
    person.picture("refused")


def test_accepting_installs_torch_by_its_extension_the_rest_by_pip_and_goes_on(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    installer = open_with(person, monkeypatch, set())
    person.chooseVolumes()
    person.host.answers.append("OK")
    person.register()
    (first, (kind, asked)) = installer.asked
    assert first == ("torch", {"askConfirmation": False, "torchVersionRequirement": ">=2.4"})
    arguments = asked if isinstance(asked, str) else " ".join(asked)  # a list from 5.12 on
    assert (kind, arguments) == ("pip", "--no-deps safetensors>=0.4")
    assert not person.ui.installFrame.visible


def test_newer_slicers_install_by_slicer_packaging(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    installer = open_with(person, monkeypatch, {"torch"})
    import qt

    packaging, turns = types.ModuleType("slicer.packaging"), []

    def install(requirements: list[str], completedCallback: Any, **options: Any) -> None:
        installer.pip((requirements, options))
        qt.QTimer.singleShot(0, lambda: turns.append(person.panel.onInstall()))  # the window is alive
        completedCallback(0)

    packaging.pip_install = install
    packaging.isPipInstallInProgress = lambda: not turns
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    person.host.answers.append("OK")
    person.fit()
    person.host.click(person.ui.installButton)
    assert turns == [False], "one at a time"
    ((_, (requirements, options)),) = installer.asked
    assert requirements == ["--no-deps", "safetensors>=0.4"]
    assert options == {"blocking": False, "requester": "Joint Registration"}
    assert not person.ui.installFrame.visible


def test_a_pip_that_fails_without_holding_the_window_up_is_told_of(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_with(person, monkeypatch, {"torch"})
    packaging = types.ModuleType("slicer.packaging")
    packaging.pip_install = lambda requirements, completedCallback, **options: completedCallback(1)
    packaging.isPipInstallInProgress = lambda: False
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    person.host.answers.append("OK")
    person.fit()
    person.host.click(person.ui.installButton)
    assert "safetensors could not be installed" in person.ui.installText.text


@pytest.mark.parametrize("logic", [types.SimpleNamespace, lambda: types.SimpleNamespace(installTorch=max)])
def test_another_pytorchutils_than_the_known_one_is_a_sentence(
    person: Person, monkeypatch: pytest.MonkeyPatch, logic: Any
) -> None:
    """One without the method, and one whose method takes other arguments."""
    open_with(person, monkeypatch, {"safetensors"})
    monkeypatch.setattr(sys.modules["PyTorchUtils"], "PyTorchUtilsLogic", logic)
    person.host.answers.append("OK")
    person.fit()
    person.host.click(person.ui.installButton)
    assert "PyTorch could not be installed" in person.ui.installText.text


def test_an_installation_that_broke_off_counts_as_missing_and_windows_paths_are_named(
    person: Person, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Windows' limit of paths leaves a folder of that name without the file that makes it a package."""
    person.host.loadModule("JointRegistration")
    from JointRegistrationPanel.install import packages

    (tmp_path / "torch_in_part" / "lib").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    package = packages.Package("torch_in_part", "PyTorch", "2.4", "")
    monkeypatch.setattr(importlib.import_module("importlib.metadata"), "version", lambda name: "2.5")
    assert packages.missingPackages([package]) == (package,)
    monkeypatch.setattr(packages, "_install", lambda package: None)
    outcome = packages.ensure([package], lambda text: True, lambda package: None)
    assert not outcome.ready
    assert outcome.text == "PyTorch was installed only in part. Restart Slicer and install it again."
    monkeypatch.setattr(packages.sys, "platform", "win32")
    outcome = packages.ensure([package], lambda text: True, lambda package: None)
    assert "LongPathsEnabled" in outcome.text


def test_a_missing_pytorch_extension_is_named_and_nothing_is_asked(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_with(person, monkeypatch, {"safetensors"}, extension=False)
    person.fit()
    person.host.click(person.ui.installButton)
    assert "Extensions Manager" in person.ui.installText.text
    assert person.host.dialogs.asked == []
    person.picture("no-extension")


def test_a_failing_installation_is_a_sentence_and_can_be_tried_again(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_with(person, monkeypatch, {"torch"})

    def offline(requirements: str) -> None:
        raise subprocess.CalledProcessError(1, "pip install")

    monkeypatch.setattr(slicer.util, "pip_install", offline)
    person.host.answers.append("OK")
    person.fit()
    person.host.click(person.ui.installButton)
    assert "safetensors could not be installed" in person.ui.installText.text
    assert "online" in person.ui.installText.text
    assert person.ui.installButton.visible


def test_what_takes_effect_after_a_restart_only_is_said_so(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    installer = open_with(person, monkeypatch, {"torch"})
    monkeypatch.setattr(installer, "pip", lambda requirements: None)
    monkeypatch.setattr(slicer.util, "pip_install", lambda requirements: None)
    person.host.answers.append("OK")
    person.fit()
    person.host.click(person.ui.installButton)
    assert "Restart Slicer" in person.ui.installText.text


def test_a_package_in_use_asks_for_a_restart(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    open_with(person, monkeypatch, {"torch"})
    monkeypatch.setitem(sys.modules, "safetensors", types.ModuleType("safetensors"))
    person.host.answers.append("OK")
    person.fit()
    person.host.click(person.ui.installButton)
    assert person.ui.installText.text == "Restart Slicer now: an older safetensors is in use."


def test_versions_are_compared_by_number_and_without_importing() -> None:
    pytest.importorskip("torch")
    from JointRegistrationPanel.install.packages import Package, missingPackages

    assert missingPackages([Package("torch", "PyTorch", "1.13", "")]) == ()
    for package in (Package("torch", "PyTorch", "99", ""), Package("no_such_package", "none", "1", "")):
        assert missingPackages([package]) == (package,)


def test_reload_takes_up_the_packages_too_and_ends_the_old_panels_worker(person: Person) -> None:
    old = person.open()
    person.chooseVolumes()
    person.host.wait(lambda: old._worker.client.ready is not None)
    packages = sys.modules["JointRegistration"].PACKAGES
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in packages}
    try:
        slicer.modules.JointRegistrationWidget.onReload()
        person.host.processEvents()
        new = slicer.modules.JointRegistrationWidget.panel
        assert type(new) is not type(old)
        assert old._worker.client.state.value == "stopped"
        assert new.ui.fixedVolumeSelector.currentNode().GetName() == "Fixed knee"
        slicer.modules.JointRegistrationWidget.cleanup()
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
            del sys.modules[name]
        sys.modules.update(kept)
