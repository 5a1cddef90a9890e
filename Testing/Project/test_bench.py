"""The benchmark's tables: medians and ratios, programs that were stopped, targets met and missed, and where they go."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Benchmarks"))

import bench
import bench_report as report
import bench_targets as targets
import peers
from bench_runs import Measured


def run(method: str, seconds: float, dice: float = math.nan, *, ours: bool = False, cut_off: bool = False) -> Measured:
    known = not cut_off
    cpu, memory = (2 * seconds, 500.0) if known else (math.nan, math.nan)
    folds = 3.0 if math.isfinite(dice) else math.nan
    return Measured(method, "a > b", ours, seconds, cpu, memory, dice, folds, "", cut_off)


COMPARISON = report.Comparison(
    (192, 192, 80),
    41.0,
    [
        run("greedy", 20.0, 68.0),
        run("avsm:vsvf_steps=3", 1.0, 66.0, ours=True),
        run("avsm:vsvf_steps=3:refine=20", 9.0, 70.0, ours=True),
        run("syn", 600.0, cut_off=True),
        run("avsm:vsvf_steps=3", 3.0, ours=True),
        run("avsm:vsvf_steps=3", 2.0, ours=True),
        run("greedy", 40.0),
    ],
)


def rows(text: str) -> dict[str, list[str]]:
    """The cells of a Markdown table by their first."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells}


def test_a_table_has_medians_spread_and_ratios_with_ours_first() -> None:
    found = rows(report.tables([COMPARISON], "phantom", [], "A machine."))
    assert list(found)[2:] == ["none", "avsm:vsvf_steps=3", "avsm:vsvf_steps=3:refine=20", "greedy", "syn"]
    assert found["avsm:vsvf_steps=3"] == ["3", "2 (1 - 3)", "4", "1", "0.50", "66.0", "3"]
    assert found["greedy"] == ["2", "30 (20 - 40)", "60", "15", "0.50", "68.0", "3"]


def test_a_program_that_was_stopped_has_a_lower_bound_and_nothing_else() -> None:
    text = report.tables([COMPARISON], "phantom", ["elastix did not install"], "A machine.")
    assert rows(text)["syn"] == ["1", "> 600", "", "> 3e+02", "", "", ""]
    assert "was stopped after that time" in text and "elastix did not install." in text


def test_targets_beside_other_programs_are_met_missed_or_open() -> None:
    faster, no_lower = targets.faster_than("greedy", 10, COMPARISON)
    assert (faster.measured, faster.verdict) == ("15 times", "met")
    assert (no_lower.measured, no_lower.verdict) == ("avsm 66.0 %, greedy 68.0 %", "missed by 2.0 points")
    assert targets.faster_than("greedy", 20, COMPARISON)[0].verdict == "missed by a factor of 1.3"
    (stopped,) = targets.faster_than("syn", 100, COMPARISON)  # its Dice is not known
    assert (stopped.measured, stopped.verdict) == ("more than 300 times", "met")
    assert targets.faster_than("syn", 1000, COMPARISON)[0].verdict == "open"
    assert targets.faster_than("demons", 10, COMPARISON) == []


def test_a_limit_is_met_or_missed_by_so_much() -> None:
    assert targets.at_most("warm", 6, 5.0, "s", 7.5) == targets.Row("warm: at most 6 s", "5 s (7.5 CPU s)", "met")
    assert targets.at_most("warm", 6, 7.25, "s").verdict == "missed by 1.2 s"


def test_tables_and_picture_replace_what_stood_between_the_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(report, "PICTURE", tmp_path / "picture.png")
    report.PAGE.write_text(f"Before\n{report.BEGIN}\nold\n{report.END}\nAfter\n")
    for text in ("first", "second"):
        report.write(text, [COMPARISON])
    page = report.PAGE.read_text()
    assert page.startswith("Before\n") and page.endswith("\nAfter\n")
    assert "second" in page and "first" not in page and "old" not in page and "(images/picture.png)" in page
    assert report.PICTURE.read_bytes().startswith(b"\x89PNG")


def test_rounds_repeat_what_fits_and_never_what_was_stopped_or_failed(tmp_path: Path) -> None:
    calls = []

    def job(name: str, *found: Measured):
        def called(score: bool) -> list[Measured]:
            calls.append((name, score))
            if name == "failing":
                raise peers.PeerError("no such file")
            return list(found)

        return called

    measuring = bench.Bench(minutes=1.0, repeats=2, raw=tmp_path / "raw" / "bench.json")
    measuring.rounds(
        {
            "quick": job("quick", run("quick", 1.0)),
            "stopped": job("stopped", run("stopped", 600.0, cut_off=True)),
            "failing": job("failing"),
        }
    )
    assert calls == [("quick", True), ("stopped", True), ("failing", True), ("quick", False)]
    assert measuring.failures == ["failing: no such file"]
    assert [one.method for one in measuring.runs] == ["quick", "stopped", "quick"]
    assert (tmp_path / "raw" / "bench.json").exists()
