"""The command line killed wherever it is: nothing lost, nothing mixed, nothing left over.

``JOINTREG_FAULTS`` multiplies the number of kills; ``make faults`` sets it.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from JointRegistrationLib.files import read_metrics
from JointRegistrationLib.files.manifest import MANIFEST_NAME, read_manifest
from Testing.Support.cli_cases import ALL_NAMES, write_inputs

ROOT = Path(__file__).resolve().parents[3]
TIMES = int(os.environ.get("JOINTREG_FAULTS", "1"))
FEW = '{"method": "affine-opt", "affine": {"levels": [2], "iterations": 3, "model": "rigid"}}'
_GOLDEN = 0.6180339887  # spreads any number of moments evenly

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="forks a process that has loaded PyTorch, and sends SIGKILL"
)


class CommandLine:
    """The program, warm."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "Testing" / "Support" / "warm_command_line.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )

    def run(self, *arguments: object, kill_after_s: float | None = None) -> dict[str, Any]:
        """Its exit code and how long it took."""
        assert self._process.stdin is not None and self._process.stdout is not None
        order = {"arguments": [str(argument) for argument in arguments], "kill_after_s": kill_after_s}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def program() -> Iterator[CommandLine]:
    program = CommandLine()
    yield program
    program.close()


def moments(count: int, seconds: float) -> list[float]:
    """Times spread over a run and a little beyond it."""
    return [(number * _GOLDEN % 1.0) * 1.05 * seconds for number in range(1, count + 1)]


def believed(out: Path) -> str:
    """The moving image of the run that a reader believes, after every file was compared with the manifest."""
    manifest = read_manifest(out)
    manifest.check(*manifest.files)
    visible = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert visible == {*manifest.files, MANIFEST_NAME, "notes.txt"}
    assert set(manifest.files) | {MANIFEST_NAME, "warped_labels.nrrd"} == ALL_NAMES
    return Path(read_metrics(out)["inputs"]["moving"]).name


def test_40_kills_over_an_earlier_run(program: CommandLine, tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path)
    other = {"moving.nrrd": "fixed.nii.gz", "fixed.nii.gz": "moving.nrrd"}
    (tmp_path / "few.json").write_text(FEW)
    out = tmp_path / "out"

    def register(moving: str, kill_after_s: float | None = None) -> dict[str, Any]:
        options = ("-o", out, "--overwrite", "--config", tmp_path / "few.json", "--device", "cpu")
        return program.run("register", inputs["fixed"], tmp_path / moving, *options, kill_after_s=kill_after_s)

    register("moving.nrrd")
    (out / "notes.txt").write_text("mine")
    seconds = register("moving.nrrd")["seconds"]
    current = believed(out)
    ends = []
    for moment in moments(40 * TIMES, seconds):
        wanted = other[current]
        end = register(wanted, kill_after_s=moment)["exit_code"]
        found = believed(out)
        assert found in (wanted, current)
        assert found == wanted or end != 0, "a run that ended well is there"
        ends.append(end)
        current = found
    assert ends.count(-9) > len(ends) / 2
    assert register(other[current])["exit_code"] == 0
    assert believed(out) == other[current]
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")], "nothing is left over"
    assert (out / "notes.txt").read_text() == "mine"


def test_10_kills_of_an_evaluation(program: CommandLine, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    (tmp_path / "few.json").write_text(FEW)
    rows = [f"group {n},moving.nrrd,fixed.nii.gz,moving_labels.nrrd,fixed_labels.nii.gz" for n in range(4)]
    (tmp_path / "pairs.csv").write_text(
        "\n".join(["group,moving,fixed,moving_labels,fixed_labels", *rows]) + "\n", encoding="utf-8"
    )

    def evaluate(table: str, kill_after_s: float | None = None) -> dict[str, Any]:
        options = ("-o", tmp_path / table, "--config", tmp_path / "few.json", "--device", "cpu")
        arguments = ("evaluate", tmp_path / "pairs.csv", "--methods", "none,affine-opt", *options)
        return program.run(*arguments, kill_after_s=kill_after_s)

    seconds = evaluate("whole.csv")["seconds"]
    for moment in moments(10 * TIMES, seconds):
        evaluate("killed.csv", kill_after_s=moment)
    assert evaluate("killed.csv")["exit_code"] == 0
    whole, killed = ([*csv.DictReader((tmp_path / name).open(newline=""))] for name in ("whole.csv", "killed.csv"))
    kept = ("group", "pair", "method", "dice_1", "ncc")
    assert [[row[name] for name in kept] for row in killed] == [[row[name] for name in kept] for row in whole]
    assert not list(tmp_path.glob(".*"))
