"""The Python examples of README and docs, to be run as a person would who copies them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

#: How many examples each page has, and where they are run. A new one needs a test of its own.
RUN_BY = {
    "README.md": ("Project/test_readme.py", "Panel/window/test_panel_console.py"),
    "docs/architecture.md": ("Project/test_public_api.py",),  # a signature
    "docs/inspection.md": (
        "MRML/inspection/test_inspection.py",
        "MRML/measure/test_scene_nodes.py",
        "MRML/inspection/test_placing.py",
    ),
    "docs/phantom.md": ("Library/phantom/test_phantom_pairs.py",),
    "docs/tutorial.md": ("Panel/window/test_panel_console.py",) * 3,
}


def examples(page: str) -> list[str]:
    """Return the Python blocks of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```py(?:thon)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run_example(page: str, number: int, **names: Any) -> dict[str, Any]:
    """Run one block; ``names`` are what it takes for granted. Return all names after it."""
    exec(compile(examples(page)[number], f"{page}, example {number}", "exec"), names)
    return names
