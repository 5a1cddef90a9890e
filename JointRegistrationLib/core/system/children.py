"""Python programs as child processes, in which nothing of the current folder is imported.

``python -m`` and ``python -c`` put the current folder before all others, so that a ``click.py`` that lies there by
chance, or was planted, would run. From Python 3.11 an environment variable forbids that; before, the folder is taken
off the path by the first line that runs.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import ResourceError

_ISOLATED = "import sys\nif sys.path[:1] == ['']: del sys.path[0]\n"
_MODULE = "import runpy\ndel sys.argv[0]\nrunpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)\n"


class PythonCommand(NamedTuple):
    """How to start a child: program, arguments, and the whole environment."""

    program: str
    arguments: list[str]
    environment: dict[str, str]


def module_command(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> PythonCommand:
    """The command that runs a module, as ``python -m`` would; see :func:`code_command`."""
    return code_command(_MODULE, module, *arguments, environment=environment)


def code_command(code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> PythonCommand:
    """The command that runs ``code``, on the Python that runs this (in Slicer: PythonSlicer).

    Args:
        code: Python; ``sys`` is imported already.
        arguments: its ``sys.argv[1:]``.
        environment: to start from; None for this process's own. The library is added to ``PYTHONPATH``.

    Raises:
        ResourceError: if there is no Python interpreter.
    """
    values = dict(os.environ if environment is None else environment)
    library = str(Path(__file__).resolve().parents[3])
    # An empty entry would stand for the current folder.
    paths = [path for path in values.get("PYTHONPATH", "").split(os.pathsep) if path and path != library]
    values["PYTHONPATH"] = os.pathsep.join([*paths, library])
    values["PYTHONSAFEPATH"] = "1"
    values["PYTHONIOENCODING"] = "utf-8"
    return PythonCommand(python_program(), ["-c", _ISOLATED + code, *arguments], values)


def python_program() -> str:
    """``sys.executable`` where it is an interpreter; in an application that embeds Python, the one beside it.

    Raises:
        ResourceError: if there is none.
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
    raise ResourceError("no Python interpreter was found to run the registration process with; reinstall Slicer")
