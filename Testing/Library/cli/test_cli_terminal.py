"""What is printed cannot steer the terminal, whoever named the file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from JointRegistrationLib.cli.shared.terminal import plain, plain_line
from JointRegistrationLib.files import output_folder
from Testing.Support.cli_cases import run, write_inputs

EVIL = "\x1b]0;owned\x07\x1b[2Jknee\u202e"


def test_what_steers_is_shown_as_its_number_and_letters_stay() -> None:
    assert plain("a\tb\nKnie \u00fc \u819d") == "a\tb\nKnie \u00fc \u819d"
    assert plain(EVIL) == "\\x1b]0;owned\\x07\\x1b[2Jknee\\u202e"
    assert plain("\x9b2J\r\udcff") == "\\x9b2J\\r\\udcff"
    assert plain_line("two\nlines") == "two\\nlines"


def test_info_shows_what_a_run_holds_without_obeying_it(tmp_path: Path) -> None:
    values = {"config": {"method": EVIL}, "affine_ras": [], "ncc_after": 0.5, "inputs": {EVIL: EVIL}}
    with output_folder(tmp_path / "run", ("metrics.json",)) as folder:
        (folder / "metrics.json").write_text(json.dumps({**values, "notes": [f"good\n  note         {EVIL}"]}))
    done = run("info", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert not any(steering in done.output for steering in ("\x1b", "\x07", "\u202e"))
    assert len([line for line in done.output.splitlines() if line.startswith("  note ")]) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="such names are not possible there")
@pytest.mark.parametrize("arguments", [("info",), ("info", "x"), ("register", "--device")])
def test_errors_name_a_file_without_obeying_its_name(arguments: tuple[str, ...], tmp_path: Path) -> None:
    write_inputs(tmp_path)["fixed"].rename(tmp_path / f"{EVIL}.txt")
    done = run(*arguments, tmp_path / f"{EVIL}.txt")
    assert done.exit_code == 2
    assert "\\x1b]0;owned" in done.output
    assert "\x1b" not in done.output and "\u202e" not in done.output


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs an endless device")
def test_settings_from_a_device_without_end_are_refused(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path)
    done = run("register", inputs["fixed"], inputs["moving"], "-o", tmp_path / "out", "--config", "/dev/zero")
    assert done.exit_code == 2
    assert "/dev/zero: is a device or a pipe" in done.output
