"""One slice plane through a scene: where it lies, which volumes it blends, and their blended image.

Slicer's slice logic does the work (reslicing, window/level, colour tables, blending), on the CPU and
without OpenGL; who draws the result on what is the renderers' business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import slicer
import vtk

ORIENTATIONS = ("Sagittal", "Coronal", "Axial")

#: The RAS axis that each orientation's slices are stacked along.
NORMAL_AXIS = {"Sagittal": 0, "Coronal": 1, "Axial": 2}

#: The RAS axes that run across and up the picture, and the letters at its left, right and upper edge.
IN_PLANE = {"Sagittal": (1, 2, "APS"), "Coronal": (0, 2, "RLS"), "Axial": (0, 1, "RLA")}

_VIEW_NAME = "JointRegistrationOffScreen"


class SlicePlane:
    """A slice logic with view nodes of its own, which are never saved. Close it before the scene goes.

    Args:
        scene: the MRML scene that holds the volumes.
        appLogic: its application logic.
    """

    def __init__(self, scene: Any, appLogic: Any) -> None:
        self._scene = scene
        _ensureOrientationPresets(scene)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(appLogic)
        self.logic.SetMRMLScene(scene)
        self.logic.AddSliceNode(_VIEW_NAME)
        self._appLogic = appLogic
        if appLogic.GetSliceLogics() is None:
            appLogic.SetSliceLogics(vtk.vtkCollection())
        appLogic.GetSliceLogics().AddItem(self.logic)  # displayable managers ask there for a view's layers
        self.node = self.logic.GetSliceNode()
        self.node.SetMappedInLayout(1)
        for node in self._ownNodes():
            node.SetSaveWithScene(False)
            node.SetHideFromEditors(True)

    def place(self, orientation: str, offsetRas: float, bounds: np.ndarray, longSidePx: int) -> tuple[int, int]:
        """Put the plane parallel to the RAS axes so that ``bounds`` (3, 2; RAS mm) fill the picture.

        Returns:
            The picture's width and height in pixels, the longer one ``longSidePx``.
        """
        across, up, _ = IN_PLANE[orientation]
        extent = bounds[:, 1] - bounds[:, 0]
        scale = longSidePx / max(extent[across], extent[up])
        width, height = (max(1, round(extent[axis] * scale)) for axis in (across, up))
        center = bounds.mean(axis=1)
        center[NORMAL_AXIS[orientation]] = offsetRas
        wasModifying = self.node.StartModify()
        self.node.SetOrientation(orientation)
        for axis in range(3):
            self.node.GetSliceToRAS().SetElement(axis, 3, center[axis])
        self.node.SetDimensions(width, height, 1)
        self.node.SetFieldOfView(width / scale, height / scale, 1.0)
        self.node.SetXYZOrigin(0.0, 0.0, 0.0)
        self.node.UpdateMatrices()
        self.node.EndModify(wasModifying)
        return width, height

    def setLayers(self, background: Any, foreground: Any, foregroundOpacity: float, label: Any = None) -> None:
        """Blend the volume node ``foreground`` (or None) over ``background``, and a label map (or None) over both."""
        composite = self.logic.GetSliceCompositeNode()
        # As an interaction: colour legends follow only changes of layers that a user could have made.
        self.logic.StartSliceCompositeNodeInteraction(composite.BackgroundVolumeFlag | composite.ForegroundVolumeFlag)
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID() if foreground else None)
        composite.SetForegroundOpacity(foregroundOpacity if foreground else 0.0)
        composite.SetLabelVolumeID(label.GetID() if label else None)
        self.logic.EndSliceCompositeNodeInteraction()

    def imageConnection(self) -> Any:
        """VTK output port of the blended RGBA image."""
        self.logic.UpdatePipeline()
        return self.logic.GetImageDataConnection()

    def close(self) -> None:
        """Remove the view nodes."""
        nodes = self._ownNodes()
        self._appLogic.GetSliceLogics().RemoveItem(self.logic)
        self.logic.SetMRMLScene(None)
        for node in nodes:
            if node.GetScene() is not None:
                self._scene.RemoveNode(node)

    def _ownNodes(self) -> list[Any]:
        logic = self.logic
        nodes = (
            logic.GetSliceModelNode(),
            logic.GetSliceModelDisplayNode(),
            logic.GetSliceModelTransformNode(),
            logic.GetSliceDisplayNode(),
            logic.GetSliceCompositeNode(),
            logic.GetSliceNode(),
        )
        return [node for node in nodes if node is not None]


@contextmanager
def onlyVisible(scene: Any, shown: Sequence[Any]) -> Iterator[None]:
    """Hide every display of the scene that belongs to none of the nodes ``shown``; undo it afterwards."""
    shownIDs = {node.GetID() for node in shown}
    displays = [node for node in nodesOfClass(scene, "vtkMRMLDisplayNode") if node.GetDisplayableNode()]
    before = [(node, node.GetVisibility(), node.GetVisibility2D()) for node in displays]
    try:
        for node in displays:
            visible = node.GetDisplayableNode().GetID() in shownIDs
            node.SetVisibility(visible)
            node.SetVisibility2D(visible)
        yield
    finally:
        for node, visibility, visibility2D in before:
            node.SetVisibility(visibility)
            node.SetVisibility2D(visibility2D)


def nodesOfClass(scene: Any, className: str) -> list[Any]:
    """The scene's nodes of that class, subclasses included."""
    collection = scene.GetNodesByClass(className)
    collection.UnRegister(None)
    return [collection.GetItemAsObject(n) for n in range(collection.GetNumberOfItems())]


def rasBounds(volumeNode: Any) -> np.ndarray:
    """(3, 2) lowest and highest RAS mm of the volume's voxels, their outer faces included."""
    bounds = np.zeros(6)
    volumeNode.GetRASBounds(bounds)
    return bounds.reshape(3, 2)


def _ensureOrientationPresets(scene: Any) -> None:
    patientRightIsScreenLeft = True
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, patientRightIsScreenLeft)
