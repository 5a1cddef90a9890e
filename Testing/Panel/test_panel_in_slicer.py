"""The tests that ctest runs inside desktop Slicer, run here in the host too, so that they do not rot."""

from __future__ import annotations

import importlib.util
import unittest
from pathlib import Path

from panel_cases import Person

FILE = Path(__file__).resolve().parents[1] / "Slicer" / "JointRegistrationInSlicerTest.py"


def test_tests_for_desktop_slicer_pass_in_the_host(person: Person) -> None:
    person.host.loadModule("JointRegistration")
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    names = unittest.TestLoader().getTestCaseNames(loaded.JointRegistrationInSlicerTest)
    # The time to open is measured in a process of its own, see test_panel_opening.py.
    for name in set(names) - {"test_opening_takes_less_than_300_ms_and_imports_no_torch"}:
        result = unittest.TestResult()
        loaded.JointRegistrationInSlicerTest(name).run(result)
        assert result.wasSuccessful(), (name, result.failures + result.errors)
