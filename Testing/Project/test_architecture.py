"""docs/architecture.md names what is there: its tables of folders are held against the sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "JointRegistrationLib": ROOT / "JointRegistrationLib",
    **{name: ROOT / "JointRegistration" / name for name in ("JointRegistrationMRML", "JointRegistrationPanel")},
    "JointRegistrationDemo": ROOT / "JointRegistration" / "JointRegistrationDemo",
}


def table(package: str) -> dict[str, tuple[str, list[str]]]:
    """(what it is for, what is inside) of each folder or file in the table of a package."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split(f"### {package}\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| `(\w+)/?` \| (.*) \| (.*?) ?\|$", section, re.MULTILINE)
    return {name: (purpose, re.findall(r"`(\w+/?)`", inside)) for name, purpose, inside in rows}


def first_sentences(path: Path) -> str:
    """The first paragraph of a module's docstring, as one line."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ").rstrip(".")


def inside(folder: Path) -> list[str]:
    """The modules and folders of a package."""
    files = [path.stem for path in folder.glob("*.py") if path.stem not in ("__init__", "__main__")]
    return [*files, *(f"{path.parent.name}/" for path in folder.glob("*/__init__.py"))]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_of_a_package_has_its_row(package: str) -> None:
    assert sorted(table(package)) == sorted(name.rstrip("/") for name in inside(PACKAGES[package]))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_row_says_what_its_folder_says_and_names_all_that_is_inside(package: str) -> None:
    for name, (purpose, named) in table(package).items():
        folder = PACKAGES[package] / name
        module = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        assert purpose == first_sentences(module), name
        assert sorted(named) == sorted(inside(folder) if folder.is_dir() else []), name
