"""A run's tables: ``log.csv`` and ``validation.csv``."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row, and before the first one the names of its columns."""
    new = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def trim_rows(path: Path, last_step: int) -> None:
    """Drop rows of steps that were lost with their process and will be made again."""
    if path.exists():
        head, *rows = path.read_text().splitlines(keepends=True)
        kept = [row for row in rows if int(row.split(",")[0]) <= last_step]
        path.write_text("".join([head, *kept]))
