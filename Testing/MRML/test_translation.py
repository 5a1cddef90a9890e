"""What a person reads goes through translation, as literals that Slicer's tools can find."""

from __future__ import annotations

import ast
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import slicer

from JointRegistrationMRML.checks.problems import sentence
from JointRegistrationMRML.translation import translator

MODULE = Path(__file__).resolve().parents[2] / "JointRegistration"
SOURCES = sorted([*MODULE.glob("JointRegistrationMRML/**/*.py"), *MODULE.glob("JointRegistrationPanel/**/*.py")])
#: Where the text stands among the arguments of what is shown to a person.
SHOWN = {
    "Problem": (1,),
    "Remedy": (1,),
    "ViewKind": (0,),
    "PlotText": (3, 4, 5),
    "KeyFigure": (0, 2),
    "Measure": (0, 3),
    "MeasureGroup": (0,),
    "compared": (0, 3),
    "Table": (0, 1),
    "_table": (0, 1, 2),
    "ColorBar": (1, 2),
    "_facts": (0,),
}
#: Errors' texts are translated where they are made.
TRANSLATED = {"_", sentence.__name__}
#: Nothing, or a number with its unit.
_SAME_EVERYWHERE = re.compile(r"[\d\s.,%]*(mm)?")


def calls(source: str) -> Iterator[tuple[str, ast.Call]]:
    """(function's name, call), of functions called by a plain name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node


def untranslated(source: str) -> list[int]:
    """Lines in which a text is shown that holds a literal outside a translation."""
    return [
        call.lineno
        for name, call in calls(source)
        for place in SHOWN.get(name, ())
        if len(call.args) > place and any(_literals(call.args[place]))
    ]


def _literals(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Compare):
        return  # a condition is not shown
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        if not _SAME_EVERYWHERE.fullmatch(_wordsOf(node)):
            yield ast.unparse(node)
    elif isinstance(node, ast.Call):
        translated = isinstance(node.func, ast.Name) and node.func.id in TRANSLATED
        yield from () if translated else _literals(node.func)  # what is filled in is no text of ours
    else:
        for child in ast.iter_child_nodes(node):
            yield from _literals(child)


def _wordsOf(node: ast.expr) -> str:
    """A literal without what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value for part in node.values if isinstance(part, ast.Constant))
    return str(ast.literal_eval(node))


def unreadable(source: str) -> list[int]:
    """Lines in which something else than one literal is to be translated: no tool finds it."""
    return [
        call.lineno
        for name, call in calls(source)
        if name == "_" and not (len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and not call.keywords)
    ]


def test_the_scanner_tells_translated_texts_from_others() -> None:
    assert untranslated("Problem(E, 'Choose.')") == untranslated("Problem(E, f'{name} is empty.')") == [1]
    assert untranslated("Problem(E, 'A {n}.'.format(n=n))") == untranslated("Problem(E, 'a' if x else _('b'))") == [1]
    assert untranslated("Problem(E, _('a') if x == 'b' else _('c'))") == []
    assert untranslated("Problem(E, _('A {n}.').format(n='b'), Remedy(K, _('c')))\nProblem(E, sentence(error))") == []
    assert untranslated("Table(_('a'), 'b', (), ())") == untranslated("Measure(_('a'), '', '', f'{n} voxels')") == [1]
    assert untranslated("Measure(_('a'), '', f'{n} mm', '')") == untranslated("ColorBar(c, '0 mm', f'{x} mm')") == []
    assert unreadable("_(f'{name}')") == unreadable("_(text)") == unreadable("_('a' + b)") == [1]
    assert unreadable("_('a {name}' ' b').format(name=name)") == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_is_shown_is_translated_as_literals(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert (untranslated(source), unreadable(source)) == ([], [])


def test_texts_stay_as_they_are_without_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(slicer, "app", raising=False)
    module = types.ModuleType("slicer.i18n")
    monkeypatch.setitem(sys.modules, "slicer.i18n", module)  # as where Python runs without the application
    assert translator()("{name} is empty.") == "{name} is empty."
