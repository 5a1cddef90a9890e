"""A run's tables: ``log.csv`` and ``validation.csv``. A row is keyed by its first column, the step."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from ..files.output import atomic_file


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row, and before the first one the names of its columns."""
    new = not path.exists() or path.stat().st_size == 0
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def trim_rows(path: Path, last_step: int) -> None:
    """Drop rows of steps that were lost with their process and will be made again, and a row that was cut short."""
    if not path.exists():
        return
    head, *rows = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")] or [""]
    kept = [row for row in rows if int(row.split(",")[0]) <= last_step]
    with atomic_file(path) as temporary:
        temporary.write_text("".join([head, *kept]))
