"""Fixtures of the MRML tests; without slicer-core these tests are left out, and the report says so."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("slicer") is None:
    collect_ignore_glob = ["*test_*.py"]
else:
    from Testing.Support.known_scene import (  # noqa: F401
        FIXED_GRID,
        GRIDS,
        MOVING_GRID,
        addVolume,
        grid,
        headless,
        knee,
        knownResult,
        latticePoints,
        pointsInside,
        rng,
        scene,
        sceneState,
        smoothField,
    )


def pytest_report_header() -> str:
    """One line above the report."""
    if importlib.util.find_spec("slicer") is None:
        return "Testing/MRML left out: slicer-core is not installed"
    return "Testing/MRML on slicer-core"
