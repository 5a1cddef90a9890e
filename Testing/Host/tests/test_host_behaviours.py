"""The list of what the host takes from the application names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parents[1]


def test_every_behaviour_in_the_list_is_kept_by_a_test_that_exists() -> None:
    rows = [line for line in (HERE / "behaviours.md").read_text(encoding="utf-8").splitlines() if line.count("|") >= 4]
    kept = [row.rsplit("|", 2)[1] for row in rows if not row.startswith(("| ---", "| Behaviour"))]
    named = {name for cell in kept for name in re.findall(r"`(test_\w+)`", cell)}
    defined = {
        name for path in HERE.glob("tests/test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    }
    assert len(named) > 20
    assert named <= defined
    assert all("test_" in cell or cell.strip() == "not emulated" for cell in kept)
