"""What speaks against a result, from figures that need no labels."""

from __future__ import annotations

import dataclasses
import math

import pytest

from JointRegistrationLib.core.figures.trust import LEAST_LOCAL, LEAST_LOG2, LEAST_OVERLAP, Evidence

SOUND = Evidence(0.95, 0.88, 0.8, 0.0, 0.03, 0.91, -0.7, 0.6)


def test_nothing_speaks_against_a_sound_result() -> None:
    assert SOUND.doubts == SOUND.notes == ()


@pytest.mark.parametrize(
    ("doubt", "change", "said"),
    [
        ("unlike", {"local_ncc_squared": LEAST_LOCAL - 0.01}, "do not match"),
        ("shrunk", {"log2_low": LEAST_LOG2 - 0.1}, "shrinks to"),
        ("overlap", {"overlap": LEAST_OVERLAP - 0.01}, "% of the fixed image is seen in both"),
    ],
)
def test_each_doubt_is_named_and_said_with_its_figure(doubt: str, change: dict[str, float], said: str) -> None:
    evidence = dataclasses.replace(SOUND, **change)
    assert evidence.doubts == (doubt,)
    (note,) = evidence.notes
    assert note.startswith("Doubtful: ")
    assert said in note


def test_what_is_not_known_is_not_doubted_and_saved_as_null() -> None:
    unknown = Evidence(*[math.nan] * 8)
    assert unknown.doubts == ()
    assert set(unknown.summary().values()) == {None}
    assert SOUND.summary()["local_ncc_squared"] == 0.8
