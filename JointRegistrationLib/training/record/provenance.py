"""What made a run: its configuration as it is saved and compared, and the commit of the code."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError
from ...core.serialization import from_dict, from_json, to_json
from ...core.system.reading import read_text
from ...files.output import atomic_file
from ..config import TrainingConfig
from ..segmenter.config import SegmentTrainingConfig

AnyConfig = TrainingConfig | SegmentTrainingConfig


def read_config(path: Path) -> AnyConfig:
    """A training configuration from a JSON file.

    Raises:
        FileError: if it cannot be read; ConfigError: if it holds a wrong value.
    """
    text = read_text(path, "give a JSON file of settings")
    if '"part"' in text:  # which only the segmenter's trainings say
        return from_json(SegmentTrainingConfig, text)
    return from_json(TrainingConfig, text)


def asdict_json(config: Any) -> dict[str, Any]:
    """A configuration as it comes back from JSON: lists for tuples."""
    values: dict[str, Any] = json.loads(to_json(config))
    return values


def same_config(saved: dict[str, Any], config: Any) -> bool:
    """Return whether a saved configuration, read with today's defaults for settings it lacks, is ``config``."""
    try:
        return asdict_json(from_dict(type(config), saved)) == asdict_json(config)
    except ConfigError:  # a setting that this version does not know
        return False


def current_commit() -> str:
    """The commit of the code, or ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


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
