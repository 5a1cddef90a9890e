"""The application's own Python, where the environment variable SLICER_SOURCE names a checkout of Slicer's sources.

Its parameterNodeWrapper, ScriptedLoadableModule, i18n, util, packaging and SampleData then run instead of our stand-ins
and of the slicer-core wheel's util. What stays ours is what needs C++: PythonQt, CTK, the qMRML widgets, slicer.app.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path

import slicer

_NAMES = ("util", "i18n", "ScriptedLoadableModule", "parameterNodeWrapper", "packaging")
_SAMPLE_DATA = "Modules/Scripted/SampleData/SampleData.py"
#: Loaded once a process: what an imported file has got from them stays good for the next host.
_loaded: dict[str, types.ModuleType] = {}


def source() -> Path | None:
    """The checkout; None if none is named.

    Raises:
        FileNotFoundError: what SLICER_SOURCE names is no checkout of Slicer.
    """
    named = os.environ.get("SLICER_SOURCE")
    if not named:
        return None
    if not (Path(named) / "Base" / "Python" / "slicer" / "util.py").is_file():
        raise FileNotFoundError(f"SLICER_SOURCE={named}: no Base/Python/slicer/util.py there; name a Slicer checkout")
    return Path(named)


def sourceVersion(checkout: Path) -> tuple[int, int]:
    """Major and minor version that a checkout's CMakeLists.txt sets."""
    text = (checkout / "CMakeLists.txt").read_text(encoding="utf-8")
    found = (re.search(rf'set\(Slicer_VERSION_{part} "(\d+)"\)', text) for part in ("MAJOR", "MINOR"))
    major, minor = (int(match.group(1)) for match in found)
    return major, minor


def install(checkout: Path) -> Callable[[], None]:
    """Put the checkout's modules into Python; returns what takes them away again.

    The stand-ins for C++ have to be there already: these modules use them as they are imported.
    """
    before = {name: module for name, module in sys.modules.items() if _isReplaced(name)}
    attributes = {name: vars(slicer).get(name) for name in _NAMES}
    path = list(slicer.__path__)
    for name in before:
        del sys.modules[name]
    sys.modules.update(_loaded)
    slicer.__path__.insert(0, str(checkout / "Base" / "Python" / "slicer"))
    for name in _NAMES:
        if (checkout / "Base" / "Python" / "slicer" / f"{name}.py").is_file() or name == "parameterNodeWrapper":
            setattr(slicer, name, importlib.import_module(f"slicer.{name}"))
    _importSampleData(checkout / _SAMPLE_DATA)
    _loaded.update({name: module for name, module in sys.modules.items() if _isReplaced(name)})

    def uninstall() -> None:
        for name in [name for name in sys.modules if _isReplaced(name)]:
            del sys.modules[name]
        sys.modules.update(before)
        slicer.__path__[:] = path
        for name, value in attributes.items():
            if value is not None:
                setattr(slicer, name, value)
            elif hasattr(slicer, name):
                delattr(slicer, name)

    return uninstall


def _isReplaced(name: str) -> bool:
    return name == "SampleData" or (name.startswith("slicer.") and name.split(".")[1] in _NAMES)


def _importSampleData(path: Path) -> None:
    if "SampleData" in sys.modules or not path.is_file():
        return
    spec = importlib.util.spec_from_file_location("SampleData", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["SampleData"] = module
    spec.loader.exec_module(module)
