"""Three slice views as pictures: Slicer's own slice logic and displayable managers draw them off-screen.

They show what the slice nodes of the scene say (layers, opacity, position), so what a module sets through
slicer.util.setSliceViewerLayers is seen at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from ..qt.observers import observe

COLOURS = {"Red": "#f34a33", "Yellow": "#edd54c", "Green": "#6eb04b"}
_DELAY_MS = 40
_OVERLAYS = ("vtkMRMLSegmentationNode", "vtkMRMLTransformNode")


class SliceView(QtWidgets.QWidget):
    """One view: a coloured bar with a slider over a picture."""

    def __init__(self, name: str, sliceWidget: Any) -> None:
        super().__init__()
        self._logic, self._name = sliceWidget.sliceLogic(), name
        self._bar = QtWidgets.QLabel(name[0])
        self._bar.setAlignment(QtCore.Qt.AlignCenter)
        self._bar.setFixedWidth(22)
        self._bar.setStyleSheet(f"background: {COLOURS[name]}; color: black; font-weight: bold")
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._slider.setToolTip("Position of the slice")
        self._position = QtWidgets.QLabel()
        self._position.setMinimumWidth(70)
        self._picture = QtWidgets.QLabel()
        self._picture.setAlignment(QtCore.Qt.AlignCenter)
        self._picture.setStyleSheet("background: black; color: #909090")
        self._picture.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Ignored)
        self._slider.valueChanged.connect(self._onSlider)
        layout = QtWidgets.QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for column, widget in enumerate((self._bar, self._slider, self._position)):
            layout.addWidget(widget, 0, column)
        layout.addWidget(self._picture, 1, 0, 1, 3)
        layout.setRowStretch(1, 1)
        layout.setColumnStretch(1, 1)

    def _onSlider(self, tenths: int) -> None:
        self._logic.SetSliceOffset(tenths / 10)

    def _draw(self, renderer: Any) -> None:
        from Testing.Support.slice_plane import NORMAL_AXIS

        composite, node = self._logic.GetSliceCompositeNode(), self._logic.GetSliceNode()
        background, foreground, label = (
            slicer.mrmlScene.GetNodeByID(identifier) if identifier else None
            for identifier in (
                composite.GetBackgroundVolumeID(),
                composite.GetForegroundVolumeID(),
                composite.GetLabelVolumeID() if composite.GetLabelOpacity() > 0 else None,
            )
        )
        background, foreground = background or foreground, foreground if background else None
        if background is None or background.GetImageData() is None:
            self._picture.setText("no volume")
            self._position.setText("")
            return
        offset = self._placeSlider(background, NORMAL_AXIS[node.GetOrientation()])
        pixels = renderer.render(
            node.GetOrientation(),
            offset,
            background,
            foreground=foreground,
            foregroundOpacity=composite.GetForegroundOpacity(),
            label=label,
            overlays=_visibleOverlays(),
            longSidePx=max(64, min(self._picture.width, self._picture.height)),
        )
        self._picture.setPixmap(_pixmap(pixels))

    def _placeSlider(self, background: Any, axis: int) -> float:
        """Match the slider to the volume's extent; returns the slice's position in RAS mm."""
        from Testing.Support.slice_plane import rasBounds

        node = self._logic.GetSliceNode()
        sign = np.sign(node.GetSliceToRAS().GetElement(axis, 2)) or 1.0
        low, high = sorted(sign * rasBounds(background)[axis])
        position = float(np.clip(self._logic.GetSliceOffset(), low, high))
        blocked = self._slider.blockSignals(True)
        self._slider.setRange(round(low * 10), round(high * 10))
        self._slider.setValue(round(position * 10))
        self._slider.blockSignals(blocked)
        self._position.setText(f"{'RAS'[axis]} {position * sign:.1f} mm")
        return position * sign


class SliceViews(QtWidgets.QWidget):
    """The three views, drawn anew a moment after anything in the scene has changed."""

    def __init__(self, layoutManager: Any, applicationLogic: Any) -> None:
        super().__init__()
        from Testing.Support.slice_view import SliceViewRenderer

        self._scene, self._drawing, self._drawn = slicer.mrmlScene, False, False
        self._renderer = SliceViewRenderer(self._scene, applicationLogic)
        self._views = [SliceView(name, layoutManager.sliceWidget(name)) for name in layoutManager.sliceViewNames()]
        layout = QtWidgets.QGridLayout(self)
        for view, place in zip(self._views, ((0, 0, 1, 2), (1, 0, 1, 1), (1, 1, 1, 1)), strict=True):
            layout.addWidget(view, *place)
        self._later = QtCore.QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._draw)
        self._observed: dict[str, tuple[Any, int]] = {}
        scene = self._scene
        events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent)
        self._sceneTags = [observe(scene, event, self._onChange) for event in events]
        self._onChange()

    @property
    def drawn(self) -> bool:
        """Whether the pictures show the scene as it is."""
        return self._drawn and not self._later.active

    def _onChange(self, *_: Any) -> None:
        if not self._drawing:
            self._later.start(_DELAY_MS)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        super().resizeEvent(event)
        self._onChange()

    def _draw(self) -> None:
        self._drawing = True
        try:
            self._observeNodes()
            for view in self._views:
                view._draw(self._renderer)
            self._drawn = True
        finally:
            self._drawing = False

    def _observeNodes(self) -> None:
        """Volumes, transforms, displays and views: whatever changes a picture reports a modification."""
        scene = self._scene
        found = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
        nodes = {node.GetID(): node for node in found if not node.IsA("vtkMRMLScriptedModuleNode")}
        for identifier in set(self._observed) - set(nodes):
            node, tag = self._observed.pop(identifier)
            node.RemoveObserver(tag)
        for identifier in set(nodes) - set(self._observed):
            tag = observe(nodes[identifier], vtk.vtkCommand.AnyEvent, self._onChange)
            self._observed[identifier] = (nodes[identifier], tag)

    def _close(self) -> None:
        self._drawing = True  # nothing is drawn any more
        self._later.stop()
        for tag in self._sceneTags:
            self._scene.RemoveObserver(tag)
        for node, tag in self._observed.values():
            node.RemoveObserver(tag)
        self._observed.clear()
        self._renderer.close()


def _visibleOverlays() -> list[Any]:
    nodes = [node for name in _OVERLAYS for node in slicer.util.getNodesByClass(name)]
    return [
        n
        for n in nodes
        if n.GetDisplayNode() is not None
        and n.GetDisplayNode().GetVisibility2D()
        and n.GetDisplayNode().GetVisibility()
    ]


def _pixmap(pixels: np.ndarray) -> QtGui.QPixmap:
    height, width, _ = pixels.shape
    image = QtGui.QImage(np.ascontiguousarray(pixels).data, width, height, 3 * width, QtGui.QImage.Format_RGB888)
    return QtGui.QPixmap.fromImage(image.copy())
