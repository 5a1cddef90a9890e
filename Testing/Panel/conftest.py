"""Fixtures of the panel's tests; without slicer-core or PySide6 they are left out, and the report says so."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_MISSING = [name for name in ("slicer", "PySide6") if importlib.util.find_spec(name) is None]
if _MISSING:
    collect_ignore_glob = ["test_*.py"]
elif sys.platform.startswith("linux"):
    os.environ["QT_QPA_PLATFORM"] = "offscreen"  # a test never opens a window on somebody's screen

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Host"))


@pytest.fixture
def host() -> Iterator[Any]:
    """An embedded Slicer around an empty scene; unanswered dialogs and errors in slots fail the test."""
    import slicer_host

    installed = slicer_host.install()
    failed = True
    try:
        yield installed
        failed = False
    finally:
        installed.uninstall(check=not failed)


@pytest.fixture
def person(host: Any) -> Any:
    """Somebody in front of the panel, which registers with a stub."""
    from panel_cases import Person

    return Person(host)


def pytest_report_header() -> str:
    """One line above the report."""
    if _MISSING:
        return f"Testing/Panel left out: {' and '.join(_MISSING)} not installed"
    return "Testing/Panel on slicer-core and PySide6"
