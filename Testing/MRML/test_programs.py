"""The programs that no other test starts can at least be started: what they import is there."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

TESTING = Path(__file__).resolve().parents[1]
PROGRAMS = sorted(
    path
    for folder in ("Benchmarks", "Tools")
    for path in (TESTING / folder).glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8") and not path.name.startswith("test_")
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_programs_imports_are_there(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(program.parent), str(TESTING), *sys.path])
    assert runpy.run_path(str(program), run_name="not main")["__doc__"]
