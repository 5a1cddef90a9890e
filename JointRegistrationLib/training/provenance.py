"""What made a run: its configuration as it is saved and compared, and the commit of the code."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..core.serialization import from_dict, from_json, to_json
from ..system.reading import read_text
from .config import TrainingConfig
from .segment_config import SegmentTrainingConfig

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
    """Whether a saved configuration, read with today's defaults for settings it lacks, is ``config``."""
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
