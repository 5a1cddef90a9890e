"""What desktop Slicer offers to Python, as recorded from a running one, where that record is at hand.

The record (slicer-api.json) is not part of the repository: the environment variable JOINTREG_SLICER_API
names it, or it lies in ``../shared/design`` of the checkout. With it, the host refuses names and signals
that PySide6 has and the application has not. Without it the host works, less strictly.
"""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

_BESIDE_CHECKOUT = Path(__file__).resolve().parents[5] / "shared" / "design" / "slicer-api.json"
#: Resolved by PythonQt on demand, so that its own listing leaves them out.
UNLISTED = {"exec_", "name", "connect", "disconnect", "className", "delete"}


def recordFile() -> Path | None:
    """Where the record is; None if there is none."""
    path = Path(os.environ.get("JOINTREG_SLICER_API", _BESIDE_CHECKOUT))
    return path if path.is_file() else None


@functools.cache
def record() -> dict[str, Any]:
    """The whole record; empty if there is none."""
    path = recordFile()
    return {} if path is None else json.loads(path.read_text(encoding="utf-8"))


@functools.cache
def namesOf(className: str) -> frozenset[str] | None:
    """The names that the application shows on objects of a class; None where the record does not say."""
    entry = record().get("classes", {}).get(className)
    return None if entry is None else frozenset(entry["names"]) | UNLISTED


@functools.cache
def signalsOf(className: str) -> frozenset[str] | None:
    """The signatures of a class's signals; None where the record does not say."""
    entry = record().get("classes", {}).get(className)
    return None if entry is None else frozenset(signal["sig"] for signal in entry["signals"])
