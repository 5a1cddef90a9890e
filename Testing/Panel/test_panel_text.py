"""Texts are translated in the context of their file, cheaply, and never into something that cannot be filled in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from panel_cases import Person


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
    from JointRegistrationLib.config import METHOD_DESCRIPTIONS
    from JointRegistrationPanel.choices import METHOD_EXPLANATIONS
    from JointRegistrationPanel.text import sentence

    assert {name: sentence(text) for name, text in METHOD_DESCRIPTIONS.items()} == METHOD_EXPLANATIONS


def test_the_results_say_how_far_the_landmarks_are_apart_before_and_after(person: Person) -> None:
    person.host.loadModule("JointRegistration")
    from JointRegistrationLib.result import LandmarkErrors
    from JointRegistrationPanel.summary import _landmarkRows

    (row,) = _landmarkRows(LandmarkErrors(("1", "2"), (3.0, 5.0), (0.5, 1.5)))
    assert (row.name, row.value) == ("Landmarks, mean of 2", "4.00 → 1.00 mm")
    assert _landmarkRows(None) == []
