"""The embedded host's fixture; without slicer-core or PySide6 these tests are left out, and the report says so."""

from __future__ import annotations

from Testing.Support.host_fixture import MISSING, host, reportHeader  # noqa: F401

if MISSING:
    collect_ignore_glob = ["*test_*.py"]


def pytest_report_header() -> str:
    """One line above the report."""
    return reportHeader("Host")
