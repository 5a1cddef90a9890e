"""The tests that ctest runs inside desktop Slicer, run here too, so that they do not rot.

In processes of their own in which nothing can import PyTorch, as on the machines that build extensions; once in an
application without a main window.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from Testing.Support.patience import patient

ROOT = Path(__file__).resolve().parents[3]

RUN = """
import sys, unittest
import slicer_host
host = slicer_host.install(window=sys.argv[1] == "window")
module = host.loadModule("JointRegistration")
import JointRegistrationInSlicerTest as inSlicer
load = unittest.defaultTestLoader.loadTestsFromTestCase
suite = unittest.TestSuite([load(module.JointRegistrationTest), load(inSlicer.JointRegistrationInSlicerTest)])
result = unittest.TextTestRunner().run(suite)
import qt
learnt = qt.QSettings().value("JointRegistration/secondsPerWork/cpu")
assert learnt is None, f"a stub's speed was kept: {learnt}"
host.uninstall()
assert result.wasSuccessful()
assert "torch" not in sys.modules
print("ran", result.testsRun, "skipped", sorted({reason for _, reason in result.skipped}))
"""


def withoutTorch(folder: Path) -> dict[str, str]:
    """An environment in which this project and the host are found, and PyTorch is not."""
    blocked = folder / "blocked"
    blocked.mkdir()
    for name in ("torch", "safetensors"):
        (blocked / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name!r}', name={name!r})\n")
    (blocked / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "def find_spec(name, package=None):\n"
        "    return None if name in ('torch', 'safetensors') else found(name, package)\n"
        "importlib.util.find_spec = find_spec\n"
    )
    paths = [blocked, ROOT, *(ROOT / name for name in ("JointRegistration", "Testing/Host", "Testing/Slicer"))]
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "QT_QPA_PLATFORM": "offscreen"}


@pytest.mark.parametrize("window", ["window", "no window"])
def test_tests_for_desktop_slicer_pass_where_pytorch_is_not_installed(window: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, window],
        env=withoutTorch(tmp_path),
        capture_output=True,
        text=True,
        timeout=patient(30),
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.endswith(
        "ran 9 skipped ['PyTorch and safetensors are needed to register and not installed yet.']\n"
    ), done.stdout
