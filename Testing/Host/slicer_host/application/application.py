"""``slicer.app``: the application object, and the settings it keeps in a folder of its own."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from ..qt.version import emulatedVersion
from .core_io import qSlicerCoreIOManager


class qSlicerApplication(QtWidgets.QApplication):
    """One a process, as Qt wants it; each install() gives it another scene and settings folder."""

    mrmlSceneChanged = QtCore.Signal(object)
    startupCompleted = QtCore.Signal()
    _pythonQtSignals = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def __init__(self) -> None:
        super().__init__([sys.argv[0] or "Slicer"])
        self._scene: Any = None
        self._applicationLogic: Any = None
        self._layoutManager: Any = None
        self._moduleManager: Any = None
        self._folder = Path()
        self._rendersPaused = 0
        self._environment = dict(os.environ)
        self.setApplicationName("Slicer")
        self.setOrganizationName("SlicerHost")
        self.setStyle("Fusion")

    def _setUp(self, headless: Any, folder: Path, layoutManager: Any, moduleManager: Any) -> None:
        self._scene, self._applicationLogic = headless.scene, headless.applicationLogic
        self._layoutManager, self._moduleManager, self._folder = layoutManager, moduleManager, folder
        self._rendersPaused = 0
        self._coreIOManager = qSlicerCoreIOManager(self._scene)
        scenes = folder / "scenes"
        scenes.mkdir(exist_ok=True)
        self._scene.SetRootDirectory(str(scenes))
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, str(folder))
        QtCore.QSettings().setValue("Developer/SelfTestDisplayMessageDelay", 100)  # as at its first start
        self.setFont(QtGui.QFont(self.font().family(), 9))

    def mrmlScene(self) -> Any:
        return self._scene

    def applicationLogic(self) -> Any:
        return self._applicationLogic

    def layoutManager(self) -> Any:
        return self._layoutManager

    def moduleManager(self) -> Any:
        return self._moduleManager

    def coreIOManager(self) -> qSlicerCoreIOManager:
        return self._coreIOManager

    def moduleLogic(self, name: str) -> Any:
        return self._applicationLogic.GetModuleLogic(name)

    def settings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def userSettings(self) -> QtCore.QSettings:
        return QtCore.QSettings()

    def revisionUserSettings(self) -> QtCore.QSettings:
        return QtCore.QSettings("SlicerHost", "Slicer-revision")

    def testingEnabled(self) -> bool:
        return False

    def startupEnvironment(self) -> QtCore.QProcessEnvironment:
        environment = QtCore.QProcessEnvironment()
        for name, value in self._environment.items():
            environment.insert(name, value)
        return environment

    def pauseRender(self) -> None:
        self._rendersPaused += 1

    def resumeRender(self) -> None:
        self._rendersPaused = max(0, self._rendersPaused - 1)

    majorVersion = property(lambda self: emulatedVersion()[0])
    minorVersion = property(lambda self: emulatedVersion()[1])
    temporaryPath = property(lambda self: str(self._folder))
    cachePath = property(lambda self: str(self._folder / "cache"))
    slicerHome = property(lambda self: str(self._folder / "home"))
    extensionsInstallPath = property(lambda self: str(self._folder / "extensions"))
    os = property(lambda self: {"Darwin": "macosx", "Windows": "win"}.get(platform.system(), "linux"))
    arch = property(lambda self: "amd64" if platform.machine() in ("x86_64", "AMD64") else platform.machine())
    mainApplicationName = property(lambda self: "Slicer")


def application() -> qSlicerApplication:
    """The process's application object, made at the first call."""
    existing = QtWidgets.QApplication.instance()
    return existing if isinstance(existing, qSlicerApplication) else qSlicerApplication()
