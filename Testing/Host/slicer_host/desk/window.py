"""The window: the module's panel on the left, slice views on the right, and a menu to get data in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .slice_views import SliceViews


class Desk:
    """Builds the main window of ``host`` around a module's panel."""

    def __init__(self, host: Any, moduleName: str) -> None:
        self._host = host
        self.widget = host.openModule(moduleName)
        host.finishStartup()
        self.window = host.mainWindow
        self.window.setWindowTitle(f"{slicer.util.getModule(Path(moduleName).stem).title}: embedded application")
        self.views = SliceViews(host.layoutManager, host.headless.applicationLogic)
        split = QtWidgets.QSplitter(QtCore.Qt.Horizontal)
        split.addWidget(_scrolled(self.widget.parent))
        split.addWidget(self.views)
        split.setStretchFactor(1, 1)
        split.setSizes([430, 850])
        self.window.setCentralWidget(split)
        self._addMenu()
        self.window.resize(1280, 860)
        self.window.show()

    def _addMenu(self) -> None:
        menu = self.window.menuBar().addMenu("&File")
        self._addAction(menu, "&Open images...", "Ctrl+O", self.openImages)
        self._addAction(menu, "&Save scene...", "Ctrl+S", self.saveScene)
        for category, sources in slicer.modules.sampleDataSources.items():
            for source in sources:
                text = f"Sample data: {category}"
                self._addAction(menu, text, "Ctrl+K", lambda *_, source=source: self.addSample(source))
        self._addAction(menu, "&Close scene", "Ctrl+W", lambda *_: slicer.mrmlScene.Clear())
        self._addAction(menu, "&Quit", "Ctrl+Q", self.window.close)

    def _addAction(self, menu: Any, text: str, keys: str, slot: Any) -> None:
        action = QtGui.QAction(text, self.window)
        action.setShortcut(QtGui.QKeySequence(keys))
        action.triggered.connect(slot)
        menu.addAction(action)

    def addSample(self, source: Any) -> list[Any]:
        """Add a registered sample, as a click in Sample Data does; shows its first volume."""
        with slicer.util.tryWithErrorDisplay("The sample could not be added.", waitCursor=True):
            nodes = source.customDownloader(source)
        self._show(nodes)
        return nodes

    def openImages(self, *_: Any) -> None:
        """Ask for image files and add them as volumes."""
        paths, _filter = QtWidgets.QFileDialog.getOpenFileNames(self.window, "Open images")
        for path in paths:
            with slicer.util.tryWithErrorDisplay(f"{path} could not be opened."):
                self._show([loadVolume(Path(path))])

    def saveScene(self, *_: Any) -> None:
        """Ask for a file name and save the scene as .mrb, for desktop Slicer."""
        from JointRegistrationMRML.scene.headless import saveScene

        path = QtWidgets.QFileDialog.getSaveFileName(self.window, "Save scene", "scene.mrb")
        if path:
            with slicer.util.tryWithErrorDisplay("The scene could not be saved."):
                saveScene(slicer.mrmlScene, path)

    def _show(self, nodes: list[Any]) -> None:
        volumes = [node for node in nodes if node.IsA("vtkMRMLVolumeNode")]
        if volumes:
            slicer.util.setSliceViewerLayers(background=volumes[0], fit=True)

    def close(self) -> None:
        """Let go of the views before the scene goes."""
        self.views._close()
        self.window.takeCentralWidget()


def loadVolume(path: Path) -> Any:
    """A volume node in the scene from an image file."""
    from JointRegistrationLib.files import read_image
    from JointRegistrationMRML.nodes.volumes import volumeFromImage

    image = read_image(path)
    node = slicer.mrmlScene.AddNode(volumeFromImage(image, path.name.partition(".")[0]))
    node.CreateDefaultDisplayNodes()
    return node


def _scrolled(page: QtWidgets.QWidget) -> QtWidgets.QScrollArea:
    area = QtWidgets.QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(QtCore.Qt.ScrollBarAlwaysOff)
    area.setMinimumWidth(400)
    area.setWidget(page)
    return area
