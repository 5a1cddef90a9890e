"""Figures that speak against a result by themselves."""

from __future__ import annotations

import numpy as np
import pytest

from JointRegistrationLib.core.figures.extremes import find_extremes


@pytest.mark.parametrize(
    ("times", "error_mm", "words"),
    [
        ((0.11, 9.9), 0.99, []),
        ((0.02, 16.3), 0.1, ["volumes change 0.02 to 16 times, more than 0.1 to 10"]),
        ((0.09, 1.0), 1.9, ["volumes change 0.09 to 1 times", "the inverse is up to 1.9 mm off, more than 1 mm"]),
        ((0.5, 10.5), float("nan"), ["volumes change 0.5 to 10 times"]),
        ((-0.2, 2.0), 0.1, []),  # folds are counted by themselves
    ],
)
def test_what_is_beyond_the_limits_is_a_note(times, error_mm, words):
    notes = find_extremes(np.array(times, np.float32).reshape(1, 1, 2), error_mm).notes
    assert len(notes) == len(words)
    assert all(note.startswith("Look closely: ") and word in note for note, word in zip(notes, words, strict=True))
