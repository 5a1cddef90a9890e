"""The embedded application of Testing/Host for tests: the fixture ``host``, and what is said where it cannot run."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

#: What has to be installed and is not; the tests are left out then.
MISSING = [name for name in ("slicer", "PySide6") if importlib.util.find_spec(name) is None]

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Host"))
if not MISSING and sys.platform.startswith("linux"):
    os.environ["QT_QPA_PLATFORM"] = "offscreen"  # a test never opens a window on somebody's screen
if not MISSING:
    importlib.import_module("slicer_host.qt.pythonqt")  # before a test imports PySide6: its enums are numbers then


def embedded(window: bool = True) -> Iterator[Any]:
    """An embedded Slicer around an empty scene; unanswered dialogs and errors in slots fail the test.

    Args:
        window: whether it has a main window and slice views.
    """
    import slicer_host

    before = _ownModules()
    installed = slicer_host.install(window=window)
    failed = True
    try:
        yield installed
        failed = False
    finally:
        installed.uninstall(check=not failed)
        _takeBack(before)


def _ownModules() -> dict[str, ModuleType]:
    """The extension's modules that are imported."""
    return {name: module for name, module in sys.modules.items() if name.startswith("JointRegistration")}


def _takeBack(before: dict[str, ModuleType]) -> None:
    """Undo what a reload did: test files hold the modules of before, and patch them."""
    if any(sys.modules.get(name) is not module for name, module in before.items()):
        for name in _ownModules():
            del sys.modules[name]
        sys.modules.update(before)


@pytest.fixture
def host() -> Iterator[Any]:
    """See :func:`embedded`."""
    yield from embedded()


def reportHeader(folder: str) -> str:
    """One line above the report."""
    if MISSING:
        return f"Testing/{folder} left out: {' and '.join(MISSING)} not installed"
    checkout = os.environ.get("SLICER_SOURCE")
    return f"Testing/{folder} on slicer-core and PySide6" + (f", with the Python of {checkout}" if checkout else "")
