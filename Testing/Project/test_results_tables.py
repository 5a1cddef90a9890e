"""The tables of docs/results.md are written from what was measured, and say where few pairs were."""

from __future__ import annotations

from pathlib import Path

import pytest

from Testing.Benchmarks import results_tables
from Testing.Benchmarks.results_tables import BEST, Row, markdown, read


def row(method: str, group: str, pair: str, dice: float, folds_percent: float = 0.0) -> Row:
    figures = {"dice_cartilage": dice, "dice_bones": 0.9, "hd95_mm_cartilage": 1.5, "folds_percent": folds_percent}
    return {"method": method, "group": group, "pair": pair} | {name: str(value) for name, value in figures.items()}


ROWS = [
    row(BEST, "longitudinal", "a > b", 0.80),
    row(BEST, "longitudinal", "b > a", 0.84),
    row("syn", "longitudinal", "b > a", 0.83, 0.0012),
    row("other", "cross-subject", "a > c", 0.5),
]


def test_a_line_a_method_in_the_papers_order_and_others_after() -> None:
    lines = markdown(ROWS).split("\n")
    assert [line.split("|")[1].strip() for line in lines[2:5]] == ["`syn`", f"`{BEST}`", "`other`"]
    assert lines[2].startswith("| `syn` | 1 | 83.0 | 90.0 | 1.5 | 0.0012 | 0 |")
    assert lines[3].startswith(f"| `{BEST}` | 2 | 82.0 (2.8) | 90.0 | 1.5 | 0 | 0 |")
    assert lines[4].endswith("| 1 | 50.0 | 90.0 | 1.5 | 0 |")


def test_fewer_pairs_are_compared_on_the_same_pairs() -> None:
    said = markdown(ROWS).split("\n")[-1]
    assert said == f"`syn` was run on 1 longitudinal pair only: 83.0 %, where `{BEST}` has 84.0 % on the same pair."


def test_writing_replaces_what_stands_between_the_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "results.md"
    page.write_text(results_tables.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(results_tables, "PAGE", page)
    tables = [(size, program) for size in results_tables.FOLDERS for program in ("results_tables.py", "null_pairs.py")]
    for size, program in tables * 2:
        results_tables.write(size, f"{program}: the {size} table", program)
    text = page.read_text(encoding="utf-8")
    assert all(text.count(f"from here -->\n\n{p}: the {size} table\n\n<!-- {p}") == 1 for size, p in tables)
    assert "| `" + BEST + "` |" not in text


def test_nothing_measured_is_an_empty_table(tmp_path: Path) -> None:
    assert read(tmp_path / "none.csv") == []
