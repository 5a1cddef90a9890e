"""Which program is Python, to start another process with."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from .errors import ResourceError


def python_program() -> str:
    """``sys.executable`` where it is an interpreter; in an application that embeds Python, the one beside it.

    Raises:
        ResourceError: if there is no Python interpreter.
    """
    name = Path(sys.executable or "").name.lower()
    if name.startswith("python"):  # python3.11, python.exe, PythonSlicer
        return sys.executable
    folders = [Path(sys.executable).parent] if sys.executable else []
    folders += [Path(sys.prefix) / "bin", Path(sys.prefix).parent.parent / "bin"]
    for candidate in ("PythonSlicer", "python3", "python"):
        found = shutil.which(candidate, path=os.pathsep.join(map(str, folders))) or shutil.which(candidate)
        if found:
            return found
    raise ResourceError("no Python interpreter was found to start another process with; reinstall Slicer")
