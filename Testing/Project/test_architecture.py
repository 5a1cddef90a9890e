"""docs/architecture.md names what is there: the table of the library's modules is held against the sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "JointRegistrationLib"


def table() -> list[tuple[list[str], list[str]]]:
    """(modules, names they offer) for each row under "Modules of the library"."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split("## Modules of the library")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", section, re.MULTILINE)
    return [
        (
            re.findall(r"`(\w+)/?`", modules),
            [re.match(r"\w+", name).group() for name in re.findall(r"`([^`]+)`", offers)],
        )
        for modules, offers in rows
    ]


def names_in(module: str) -> set[str]:
    """What a module, or a package's ``__init__``, defines or hands on."""
    path = LIBRARY / f"{module}.py"
    body = ast.parse((path if path.exists() else LIBRARY / module / "__init__.py").read_text(encoding="utf-8")).body
    defined = {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    handed_on = {alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    return defined | handed_on


@pytest.mark.parametrize(("modules", "offers"), table(), ids=lambda value: ",".join(value) or "text")
def test_modules_offer_what_the_table_says(modules: list[str], offers: list[str]) -> None:
    offered = set().union(*(names_in(module) for module in modules))
    assert [name for name in offers if name not in offered] == []


def test_every_module_of_the_library_has_a_row() -> None:
    entries = {path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    described = {module for modules, _ in table() for module in modules}
    assert entries - {"__init__", "__main__"} - described == set()
