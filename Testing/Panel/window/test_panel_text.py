"""Texts are translated in the context of their file, cheaply, and never into something that cannot be filled in."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from Testing.Support.panel_cases import Person


@pytest.fixture
def translated(person: Person, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The translation function of the panel where the application translates by a function."""
    person.host.loadModule("JointRegistration")
    from JointRegistrationMRML import translation

    def install(translate: Callable[[str, str], str]) -> Callable[[str], str]:
        monkeypatch.setattr(sys.modules["slicer.i18n"], "translate", translate)
        monkeypatch.setattr(sys.modules["slicer.i18n"], "tr", None)  # slow in Slicer 5.6
        return translation.translator()

    return install


def test_the_context_is_the_file_s_as_slicer_s_tools_name_it(translated: Any) -> None:
    contexts = []
    tr = translated(lambda context, text: contexts.append(context) or text.upper())
    source = "def told(): return tr('Register')"
    names: dict[str, Any] = {"tr": tr, "__name__": "JointRegistrationPanel.widget"}
    exec(source, names)
    assert names["told"]() == "REGISTER"
    assert contexts == ["JointRegistrationPanel.widget"]


@pytest.mark.parametrize("wrong", ["{prozent} %", "%", "{percent} {percent2}"])
def test_a_translation_with_other_placeholders_is_not_taken(translated: Any, wrong: str) -> None:
    assert translated(lambda context, text: wrong)("{percent} %") == "{percent} %"


def test_texts_stay_as_they_are_where_nothing_is_translated(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    person.host.loadModule("JointRegistration")
    from JointRegistrationMRML import translation

    assert translation._("Cancel") == "Cancel"
    monkeypatch.delattr(sys.modules["slicer.i18n"], "translate")
    assert translation.translator()("Cancel") == "Cancel"


def test_a_method_is_explained_as_the_library_describes_it(person: Person) -> None:
    person.host.loadModule("JointRegistration")
    from JointRegistrationLib.core.config import METHOD_DESCRIPTIONS
    from JointRegistrationPanel.inputs.choices import METHOD_EXPLANATIONS
    from JointRegistrationPanel.text import sentence

    assert {name: sentence(text) for name, text in METHOD_DESCRIPTIONS.items()} == METHOD_EXPLANATIONS


def test_the_results_say_how_far_the_landmarks_are_apart_before_and_after(person: Person) -> None:
    person.host.loadModule("JointRegistration")
    from JointRegistrationLib.core.result import LandmarkErrors
    from JointRegistrationPanel.run.summary import _landmarkRows

    (row,) = _landmarkRows(LandmarkErrors(("1", "2"), (3.0, 5.0), (0.5, 1.5)))
    assert (row.name, row.value) == ("Landmarks, mean of 2", "4.00 → 1.00 mm")
    assert _landmarkRows(None) == []


def test_the_first_sentence_of_the_results_says_what_speaks_against_them(person: Person) -> None:
    person.host.loadModule("JointRegistration")
    from JointRegistrationLib.core.figures.trust import Evidence
    from JointRegistrationLib.core.result import FoldCount
    from JointRegistrationMRML.run.registration_nodes import Overlap
    from JointRegistrationPanel.run.summary import verdict

    def said(
        before: float,
        after: float,
        folds: int = 0,
        dice: float = 0.9,
        times: Any = (0.5, 2.0),
        inverse: float = 0.01,
        evidence: Any = None,
    ) -> str:
        result = types.SimpleNamespace(
            similarity_before=before,
            similarity_after=after,
            folds=FoldCount(folds, 0.1, folds),
            jacobian_determinant=np.array(times),
            inverse_error_max_mm=inverse,
            evidence=evidence,
        )
        return verdict(result, [Overlap("Femur", 0.8, dice), Overlap("Patella", 0.5, 0.6)])

    assert said(0.5, 0.9).startswith("Nothing in the figures speaks against this result.")
    assert said(0.5, 0.4) == "Look closely: the images are less alike than before."
    assert said(0.5, 0.5) == "Look closely: the images are no more alike than before."
    assert said(0.5, 0.9, folds=3) == "Look closely: the map is folded in places (Inspect, Folds)."
    assert said(0.5, 0.9, dice=0.7) == "Look closely: less overlap than before: Femur."
    assert "alike than before; less overlap" in said(0.5, 0.4, dice=0.7)
    assert said(0.5, 0.9, times=(0.02, 16.3)) == "Look closely: volumes change 0.02 to 16 times."
    assert said(0.5, 0.9, inverse=1.9) == "Look closely: the inverse is up to 1.9 mm off."
    sound = Evidence(0.9, 0.8, 0.7, 0.0, 0.05, 0.9, -0.7, 0.6)
    assert said(0.5, 0.9, evidence=sound).startswith("Nothing")
    doubtful = said(0.5, 0.9, evidence=replace(sound, local_ncc_squared=0.2, log2_low=-2.0, overlap=0.31))
    assert doubtful.startswith("Look closely: small places of the two images do not match (another contrast")
    assert "one voxel in a hundred shrinks to 0.25 of its volume or less" in doubtful
    assert doubtful.endswith("only 31 % of the middle of the fixed image is seen in both.")
    nan = float("nan")
    assert said(nan, nan, inverse=nan).startswith("Nothing")
