"""Moving the views to a place, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .nodes import ownedList
from .open_view import OpenView


def keepCameras(view: OpenView) -> None:
    """Let the cameras of the 3D views stand again where they stand now, once the view is closed."""
    for camera in ownedList(view.scene.GetNodesByClass("vtkMRMLCameraNode")):
        view.record.keep(
            camera,
            lambda camera=camera: (camera.GetPosition(), camera.GetFocalPoint(), camera.GetViewUp()),
            lambda place, camera=camera: _putCamera(camera, *place),
        )


def _putCamera(camera: Any, position: Sequence[float], focalPoint: Sequence[float], up: Sequence[float]) -> None:
    camera.SetPosition(*position)
    camera.SetFocalPoint(*focalPoint)
    camera.SetViewUp(*up)
    camera.ResetClippingRange()


def centreViews(scene: Any, ras: Sequence[float]) -> None:
    """Centre every slice view on a point (world RAS mm), zoom unchanged, and put the crosshair there."""
    for node in ownedList(scene.GetNodesByClass("vtkMRMLSliceNode")):
        node.JumpSliceByCentering(*ras)
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*ras)
