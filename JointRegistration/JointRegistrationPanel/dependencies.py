"""What the worker needs beyond Slicer, and its installation, once a person has agreed.

Nothing here imports a package in order to look for it: the panel has to open at once, and a package that
is imported can no longer be replaced. NumPy, SimpleITK and VTK are Slicer's and are never touched.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from .text import _


@dataclass(frozen=True)
class Package:
    """A package that the worker imports: its name, the least version, and how much there is to download."""

    name: str
    title: str
    minimum: str
    size: str

    @property
    def requirement(self) -> str:
        """In pip's words."""
        return f"{self.name}>={self.minimum}"


TORCH = Package("torch", "PyTorch", "2.4", _("200 MB, or up to 3 GB with support of an NVIDIA GPU"))
SAFETENSORS = Package("safetensors", "safetensors", "0.4", _("0.5 MB"))
PACKAGES = (TORCH, SAFETENSORS)


@dataclass(frozen=True)
class Outcome:
    """Whether all is there now; if not, or if Slicer must be restarted first, ``text`` says so."""

    ready: bool
    text: str = ""


def missingPackages(packages: Sequence[Package]) -> tuple[Package, ...]:
    """Those that are not installed, or too old."""
    return tuple(package for package in packages if not _isInstalled(package))


def _isInstalled(package: Package) -> bool:
    try:
        if importlib.util.find_spec(package.name) is None:
            return False
        version = importlib.import_module("importlib.metadata").version(package.name)
    except (ImportError, ValueError):  # PackageNotFoundError is an ImportError
        return False
    return _release(version) >= _release(package.minimum)


def _release(version: str) -> tuple[int, ...]:
    """The leading numbers: (2, 13, 0) of "2.13.0+cpu"."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def missingText(missing: Sequence[Package]) -> str:
    """One sentence for the panel."""
    names = _(" and ").join(package.title for package in missing)
    verb = _("is") if len(missing) == 1 else _("are")
    return _("{names} {verb} needed to register and not installed yet.").format(names=names, verb=verb)


def question(missing: Sequence[Package]) -> str:
    """What a person is asked before anything is downloaded."""
    lines = [f"{package.title} {package.minimum} " + _("or newer") + f": {package.size}" for package in missing]
    how = _("PyTorch is chosen to fit your GPU by the PyTorch extension. ") if TORCH in missing else ""
    return (
        _("To register, these packages have to be downloaded and installed into Slicer's Python:")
        + "\n\n"
        + "\n".join(lines)
        + "\n\n"
        + how
        + _("NumPy, SimpleITK and VTK stay as they are. This is asked once; it may take some minutes.")
    )


def askInWindow(text: str) -> bool:
    """The one pop-up of this module."""
    return bool(slicer.util.confirmOkCancelDisplay(text, windowTitle=_("Joint Registration")))


def ensure(
    packages: Sequence[Package], confirm: Callable[[str], bool], installing: Callable[[Package], None]
) -> Outcome:
    """Install what is missing, if a person agrees.

    Args:
        packages: what is needed.
        confirm: asked once, with :func:`question`.
        installing: told of each package before it is installed.
    """
    missing = missingPackages(packages)
    if not missing:
        return Outcome(True)
    if TORCH in missing and _torchLogic() is None:
        return Outcome(False, _EXTENSION_MISSING)
    if not confirm(question(missing)):
        return Outcome(False, _("Nothing was installed. ") + missingText(missing))
    inUse = {package for package in missing if package.name in sys.modules}
    for package in missing:
        installing(package)
        try:
            _install(package)
        except (subprocess.CalledProcessError, ImportError, OSError, RuntimeError, ValueError) as error:
            return Outcome(False, _failure(package, error))
    importlib.invalidate_caches()
    return _installed(missing, inUse)


def _installed(wanted: Sequence[Package], inUse: set[Package]) -> Outcome:
    """What there is to say after an installation: nothing, or that Slicer must be restarted."""
    if inUse:
        return Outcome(False, _("Restart Slicer now: an older {name} is in use.").format(name=_names(inUse)))
    left = missingPackages(wanted)
    if left:
        text = _("Restart Slicer, then register: {name} takes effect after that.")
        return Outcome(False, text.format(name=_names(left)))
    return Outcome(True)


_EXTENSION_MISSING = _(
    "PyTorch is missing, and so is the PyTorch extension, which installs it. Open the Extensions Manager, install "
    "the extension called PyTorch, restart Slicer and come back here."
)


def _names(packages: Sequence[Package] | set[Package]) -> str:
    return ", ".join(sorted(package.title for package in packages))


def _failure(package: Package, error: Exception) -> str:
    return _(
        "{name} could not be installed ({error}). Check that this computer is online and has disk space, and try "
        "again; the Python console shows what pip said."
    ).format(name=package.title, error=error)


def _install(package: Package) -> None:
    if package is TORCH:
        _torchLogic().installTorch(askConfirmation=False, torchVersionRequirement=f">={package.minimum}")
        return
    try:
        packaging = importlib.import_module("slicer.packaging")  # from 5.12 on
    except ImportError:
        slicer.util.pip_install(f"--no-deps {package.requirement}")
    else:
        packaging.pip_ensure(
            [package.requirement], prompt_install=False, prompt_restart=False, requester="Joint Registration"
        )


def _torchLogic() -> Any:
    """The logic of the PyTorch extension; None if it is not installed."""
    if not hasattr(slicer.modules, "pytorchutils"):
        return None
    return importlib.import_module("PyTorchUtils").PyTorchUtilsLogic()
