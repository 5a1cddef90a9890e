"""``make index``: what the Extensions Index refuses is found, and only what needs a public address is left."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from Testing.Tools.extensions_index import refusals

ROOT = Path(__file__).resolve().parents[2]
FILES = (
    "CMakeLists.txt",
    "JointRegistration.json",
    "README.md",
    "LICENSE.txt",
    "JointRegistration/JointRegistration.py",
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that the checks read."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def faults(root: Path) -> list[str]:
    return [refusal.what for refusal in refusals(root) if not refusal.needs_address]


def test_only_what_needs_a_public_address_is_left() -> None:
    assert faults(ROOT) == []
    open_ones = " ".join(refusal.what for refusal in refusals())
    for name in ("scm_url", "EXTENSION_HOMEPAGE", "EXTENSION_ICONURL", "EXTENSION_SCREENSHOTURLS", "topic"):
        assert name in open_ones


def test_with_addresses_only_the_topic_is_left(copy: Path) -> None:
    address = "https://example.org/someone/SlicerJointRegistration"
    cmake = copy / "CMakeLists.txt"
    edit(cmake, 'EXTENSION_HOMEPAGE "NA"', f'EXTENSION_HOMEPAGE "{address}/"')
    edit(cmake, 'EXTENSION_ICONURL "NA"', f'EXTENSION_ICONURL "{address}/Resources/JointRegistration.png"')
    edit(cmake, 'EXTENSION_SCREENSHOTURLS "NA"', f'EXTENSION_SCREENSHOTURLS "{address}/a.png {address}/b.jpg"')
    entry = json.loads((copy / "JointRegistration.json").read_text(encoding="utf-8"))
    (copy / "JointRegistration.json").write_text(json.dumps(entry | {"scm_url": f"{address}.git"}), encoding="utf-8")
    (left,) = refusals(copy)
    assert "topic" in left.what


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("CMakeLists.txt", "project(JointRegistration)", "project(Other)", "another name"),
        ("JointRegistration.json", '"tier"', '"tear"', "does not know: tear"),
        ("JointRegistration.json", '"Registration"', '"Knees"', "different categories"),
        ("JointRegistration.json", "/SlicerJointRegistration", "/JointRegistration", "must begin with Slicer"),
        ("README.md", "## How to cite", "## Thanks", "How to cite"),
        ("README.md", "- **Joint Registration**", "- Joint Registration", "sentence for each module"),
        ("JointRegistration/JointRegistration.py", "\nPACKAGES", "\nsys.path.append('x')\nPACKAGES", "file scope"),
        ("JointRegistration/JointRegistration.py", "\nimport slicer", "\nimport torch\nimport slicer", "torch"),
    ],
)
def test_what_the_index_refuses_is_named(copy: Path, name: str, old: str, new: str, words: str) -> None:
    edit(copy / name, old, new)
    assert any(words in what for what in faults(copy)), faults(copy)


# -- Qt 6 -------------------------------------------------------------------------------------------------------

#: Gone in Qt 6, or reached otherwise: classes, layout margins, overloads told apart by their C++ signature, and
#: ``exec`` without the underscore, which Python reserves in PythonQt.
NOT_IN_BOTH = (
    r"\bQRegExp\b|\bQDesktopWidget\b|\bQMatrix\b|\bQTextCodec\b|\bQStringRef\b|\bQSound\b|\bQSignalMapper\b|"
    r"\bsetMargin\(|\.margin\b|\.desktop\(\)|screenGeometry|\.exec\(|\bMidButton\b|\bWA_NoBackground\b|"
    r"currentIndexChanged\(QString\)|valueChanged\(QString\)|buttonClicked\(int\)|\.\w*event\.pos\(\)"
)


def test_the_panel_uses_nothing_that_qt_5_or_qt_6_lacks() -> None:
    found = [
        f"{path.name}: {match[0]}"
        for folder in ("JointRegistrationPanel", "JointRegistrationMRML", "Resources/UI")
        for path in (ROOT / "JointRegistration" / folder).rglob("*")
        if path.suffix in (".py", ".ui")
        for match in re.finditer(NOT_IN_BOTH, path.read_text(encoding="utf-8"))
    ]
    assert found == []
