"""The program as a process of its own: start-up, what reaches the terminal, signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from JointRegistrationLib import __version__
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.files import write_image
from Testing.Support.cli_cases import write_inputs
from Testing.Support.patience import patient

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = [sys.executable, "-m", "JointRegistrationLib"]
_ENDLESS = '{"iterations": 10000, "tolerance": 0.0}'
SLOW_CONFIG = f'{{"method": "vsvf-opt", "affine": {_ENDLESS}, "vsvf": {_ENDLESS}}}'


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def program(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=patient(20), env=environment())


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    return write_inputs(tmp_path)


# -- start-up and the terminal --------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("--help",), ("register", "--help"), ("info", "-h")])
def test_help_answers_at_once(arguments: tuple[str, ...]) -> None:
    before = os.times().children_user
    done = program(*arguments)
    assert os.times().children_user - before < 0.5
    assert done.returncode == 0
    assert "Usage: joint-registration" in done.stdout
    assert done.stderr == ""


def test_help_imports_neither_torch_nor_simpleitk() -> None:
    code = (
        "import sys; from JointRegistrationLib.cli import cli; cli(['--help'], standalone_mode=False); "
        "sys.exit(bool({'torch', 'SimpleITK'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


#: Slow to import, and nothing that a registration needs: PyTorch's compiler with its algebra, and what others use.
UNNEEDED = (
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "scipy",
    "matplotlib",
    "pandas",
    "JointRegistrationLib.training",
)


def test_a_registration_imports_nothing_it_does_not_need(inputs: dict[str, Path], tmp_path: Path) -> None:
    """By the default method, which predicts and then optimises; PyTorch's compiler alone would take over a second."""
    config = tmp_path / "few.json"
    config.write_text('{"affine": {"iterations": 2}, "network": {"refine": 1}, "vsvf": {"iterations": 2}}')
    paths = (inputs["fixed"], inputs["moving"], "-o", tmp_path / "out", "--config", config)
    arguments = [*map(str, paths)]
    code = (
        "import sys; from JointRegistrationLib.cli.register import register; "
        f"register({arguments}, standalone_mode=False); "
        f"print('imported:', *sorted(set({UNNEEDED}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["imported:"]


@pytest.mark.parametrize(("given", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_waiting_threads_sleep_unless_the_user_says_otherwise(given: str | None, expected: str, tmp_path: Path) -> None:
    """The policy is set before PyTorch is loaded, which reads it once."""
    (tmp_path / "torch.py").write_text("import os; print(os.environ.get('OMP_WAIT_POLICY')); raise SystemExit(0)")
    variables = {name: value for name, value in environment().items() if name != "OMP_WAIT_POLICY"}
    variables |= {"OMP_WAIT_POLICY": given} if given else {}
    variables["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [*PROGRAM, "train", "--preset", "affine", "--output-dir", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patient(20), env=variables)
    assert done.stdout == f"{expected}\n", done.stderr


def test_version() -> None:
    assert program("--version").stdout.strip() == f"joint-registration, version {__version__}"


@pytest.mark.parametrize("name", ["bad.mha", "bad.h5", "bad.tfm", "bad.nii.gz"])
def test_only_one_sentence_reaches_the_terminal(name: str, tmp_path: Path) -> None:
    """ITK's and HDF5's own messages on standard error stay away."""
    if name == "bad.mha":
        write_image(Image(np.eye(8, dtype=np.float32)[None].repeat(8, 0), Grid((8, 8, 8))), tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-100])
    else:
        (tmp_path / name).write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 3000)
    done = program("info", tmp_path / name)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith(f"Error: {tmp_path / name}")


# -- Ctrl-C ---------------------------------------------------------------------------------------------------


def started(inputs: dict[str, Path], out: Path, *, until: str) -> subprocess.Popen[str]:
    """A long run, returned when it reports the stage ``until``."""
    config = inputs["fixed"].parent / "slow.json"
    config.write_text(SLOW_CONFIG)
    command = [*PROGRAM, "register", *map(str, (inputs["fixed"], inputs["moving"])), "-o", str(out)]
    process = subprocess.Popen(
        [*command, "--config", str(config)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(until):
            return process
    raise AssertionError(f"ended before the stage {until}")


@pytest.mark.parametrize(
    ("number", "existing"),
    [(signal.SIGINT, False), (signal.SIGTERM, True)],
    ids=["Ctrl-C, new folder", "terminate, existing folder"],
)
def test_stopping_a_run(number: signal.Signals, existing: bool, inputs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "results" / "out"
    if existing:
        out.mkdir(parents=True)
        (out / "notes.txt").write_text("mine")
    process = started(inputs, out, until="affine")
    process.send_signal(number)
    process.send_signal(number)  # an impatient second one changes nothing
    stdout, stderr = process.communicate(timeout=patient(20))
    assert process.returncode == 3
    assert stdout == ""
    assert [line for line in stderr.splitlines() if "%)" not in line] == ["Error: cancelled; nothing was written"]
    left = sorted(path.name for path in tmp_path.rglob("*") if path not in inputs.values())
    assert left == (["notes.txt", "out", "results", "slow.json"] if existing else ["slow.json"])
