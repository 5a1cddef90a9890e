"""What speaks against a result, from figures that need no labels."""

from __future__ import annotations

import dataclasses
import math

import pytest

from JointRegistrationLib.core.figures.trust import LIMITS, Evidence

SOUND = Evidence(0.95, 0.88, 0.8, 0.0, 0.03, 0.91, -0.7, 0.6)


def test_nothing_speaks_against_a_sound_result() -> None:
    assert SOUND.doubts == SOUND.notes == ()


@pytest.mark.parametrize(
    ("doubt", "change", "said"),
    [
        ("unlike", {"local_ncc_squared": LIMITS.local - 0.01}, "do not match"),
        ("shrunk", {"log2_low": LIMITS.crushed - 0.1}, "shrinks to"),
        ("overlap", {"overlap": LIMITS.overlap - 0.01}, "% of the middle of the fixed image"),
    ],
)
def test_each_doubt_is_named_and_said_with_its_figure(doubt: str, change: dict[str, float], said: str) -> None:
    evidence = dataclasses.replace(SOUND, **change)
    assert evidence.doubts == (doubt,)
    (note,) = evidence.notes
    assert note.startswith("Doubtful: ")
    assert said in note


def test_two_knees_that_match_well_may_differ_by_more_than_those_that_do_not() -> None:
    differs = dataclasses.replace(SOUND, log2_low=LIMITS.shrunk - 0.1)
    assert differs.doubts == ()
    assert dataclasses.replace(differs, local_ncc_squared=LIMITS.matched - 0.01).doubts == ("shrunk",)


def test_what_is_not_known_is_not_doubted_and_saved_as_null() -> None:
    unknown = Evidence(*[math.nan] * 8)
    assert unknown.doubts == ()
    assert set(unknown.summary().values()) == {None}
    assert SOUND.summary()["local_ncc_squared"] == 0.8
