"""The row of the panel that says what is missing, and installs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import slicer

from ..messages import tint
from ..text import _
from . import packages as packagesModule


class InstallView:
    """Shows which of ``packages`` are missing; ``confirm`` asks a person before anything is downloaded."""

    def __init__(self, ui: Any, packages: Sequence[packagesModule.Package], confirm: Callable[[str], bool]) -> None:
        self._packages = packages
        self._frame, self._text, self._button = ui.installFrame, ui.installText, ui.installButton
        self._confirm = confirm
        self._missing: tuple[packagesModule.Package, ...] = ()
        self._installing = False
        tint(self._frame, "info")

    @property
    def missing(self) -> bool:
        """Return whether something has to be installed, as of the last :meth:`look`."""
        return bool(self._missing)

    def look(self, text: str = "") -> None:
        """Look again, without importing anything; ``text`` is shown instead of what is missing."""
        self._missing = packagesModule.missingPackages(self._packages)
        self._frame.setVisible(bool(self._missing or text))
        self._button.setVisible(bool(self._missing))
        if self._missing or text:
            self._text.setText(text or packagesModule.missingText(self._missing))

    def install(self) -> bool:
        """Ask, then install; whether all is there now. The window may be alive meanwhile, and ask again: not then."""
        if self._installing:
            return False
        self._installing = True
        self._button.setEnabled(False)
        try:
            outcome = packagesModule.ensure(self._packages, self._confirm, self._onInstalling)
        finally:
            self._installing = False
            self._button.setEnabled(True)
        self.look(outcome.text)
        return outcome.ready

    def _onInstalling(self, package: packagesModule.Package) -> None:
        self._text.setText(_("Installing {name}; this may take some minutes...").format(name=package.title))
        self._frame.setVisible(True)
        slicer.app.processEvents()  # so that the sentence is seen: the installation keeps the window busy
