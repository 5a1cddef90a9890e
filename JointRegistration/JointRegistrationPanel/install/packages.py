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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import slicer

from ..text import _


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


#: What an installation may raise; the last two come from another PyTorchUtils than the one that we know.
_FAILURES = (
    subprocess.CalledProcessError, ImportError, OSError, RuntimeError, ValueError, TypeError, AttributeError,
)  # fmt: skip
_POLL_S = 0.01

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
        spec = importlib.util.find_spec(package.name)
        if spec is None or spec.origin is None:  # a folder without __init__: an installation broke off
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
    """Return what a person is asked before anything is downloaded."""
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
    try:
        noExtension = TORCH in missing and _torchLogic() is None
    except _FAILURES as error:
        return Outcome(False, _failure(TORCH, error))
    if noExtension:
        return Outcome(False, _EXTENSION_MISSING)
    if not confirm(question(missing)):
        return Outcome(False, _("Nothing was installed. ") + missingText(missing))
    inUse = {package for package in missing if package.name in sys.modules}
    for package in missing:
        installing(package)
        try:
            _install(package)
        except _FAILURES as error:
            return Outcome(False, _failure(package, error))
    importlib.invalidate_caches()
    return _installed(missing, inUse)


def _installed(wanted: Sequence[Package], inUse: set[Package]) -> Outcome:
    """What there is to say after an installation: nothing, or that Slicer must be restarted."""
    if inUse:
        return Outcome(False, _("Restart Slicer now: an older {name} is in use.").format(name=_names(inUse)))
    left = missingPackages(wanted)
    broken = [package for package in left if _isBroken(package)]
    if broken:
        text = _("{name} was installed only in part.{advice} Restart Slicer and install it again.")
        return Outcome(False, text.format(name=_names(broken), advice=_pathAdvice()))
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
        "again; the Python console shows what pip said.{advice}"
    ).format(name=package.title, error=error, advice=_pathAdvice())


def _pathAdvice() -> str:
    """On Windows, what ends most installations of PyTorch that break off."""
    if sys.platform != "win32":
        return ""
    return " " + _(
        "Windows may refuse its long paths: switch LongPathsEnabled on, or install Slicer into a short folder such as "
        "C:\\Slicer."
    )


def _isBroken(package: Package) -> bool:
    try:
        spec = importlib.util.find_spec(package.name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is None


def _install(package: Package) -> None:
    if package is TORCH:
        _torchLogic().installTorch(askConfirmation=False, torchVersionRequirement=f">={package.minimum}")
        return
    try:
        packaging = importlib.import_module("slicer.packaging")  # from 5.12 on
    except ImportError:
        slicer.util.pip_install(f"--no-deps {package.requirement}")
    else:
        _installAlive(packaging, package.requirement)


def _installAlive(packaging: Any, requirement: str) -> None:
    """Install by ``slicer.packaging`` with the window alive; ``CalledProcessError`` if pip fails."""
    codes: list[int] = []
    arguments = ["--no-deps", requirement]
    packaging.pip_install(arguments, blocking=False, requester=_("Joint Registration"), completedCallback=codes.append)
    while packaging.isPipInstallInProgress():  # the callback alone would not do: it is not called in Slicer's tests
        slicer.app.processEvents()
        time.sleep(_POLL_S)
    if codes and codes[-1] != 0:
        raise subprocess.CalledProcessError(codes[-1], "pip install")


def _torchLogic() -> Any:
    """The logic of the PyTorch extension; None if it is not installed."""
    if not hasattr(slicer.modules, "pytorchutils"):
        return None
    return importlib.import_module("PyTorchUtils").PyTorchUtilsLogic()
