"""Fixtures of the panel's tests; without slicer-core or PySide6 they are left out, and the report says so."""

from __future__ import annotations

from typing import Any

import pytest

from Testing.Support.host_fixture import MISSING, host, reportHeader  # noqa: F401

if MISSING:
    collect_ignore_glob = ["*test_*.py"]


@pytest.fixture
def person(host: Any) -> Any:  # noqa: F811
    """Somebody in front of the panel, which registers with a stub."""
    from Testing.Support.panel_cases import Person

    return Person(host)


def pytest_report_header() -> str:
    """One line above the report."""
    return reportHeader("Panel")
