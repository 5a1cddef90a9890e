"""Child interpreters import nothing of the current folder, on every Python, and run what they are told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from JointRegistrationLib.core.system.children import PythonCommand, code_command, module_command

PLANTED = ("click", "vtk", "numpy", "JointRegistrationLib", "runpy", "sitecustomize", "random")


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, full of modules that tell when they are run."""
    for name in PLANTED:
        (tmp_path / f"{name}.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path)!r}, 'ran').touch()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    return tmp_path


def done(command: PythonCommand, **more: object) -> subprocess.CompletedProcess[str]:
    program, arguments, environment = command
    return subprocess.run(
        [program, *arguments], env={**environment, **more}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("safe", ["1", ""], ids=["as given", "where Python knows no safe path"])
def test_nothing_of_the_current_folder_is_run(safe: str, trap: Path) -> None:
    """Before 3.11 Python does not know the variable: there the first line alone must do."""
    code = "import random, click, numpy, JointRegistrationLib; print(*sys.argv[1:])"
    ended = done(code_command(code, "a", "b c"), PYTHONSAFEPATH=safe)
    assert (ended.returncode, ended.stdout) == (0, "a b c\n"), ended.stderr
    ended = done(module_command("JointRegistrationLib", "--version"), PYTHONSAFEPATH=safe)
    assert ended.returncode == 0 and "version" in ended.stdout, ended.stderr
    assert not (trap / "ran").exists()


def test_without_that_it_would_be_run(trap: Path) -> None:
    """The trap works: it is what ``python -c`` does."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    subprocess.run([sys.executable, "-c", "import click"], env=environment, check=False, capture_output=True)
    assert (trap / "ran").exists()
