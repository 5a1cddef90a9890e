"""Moving the views to a place, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .nodes.arrays import ownedList


def centreViews(scene: Any, ras: Sequence[float]) -> None:
    """Centre every slice view on a point (world RAS mm), zoom unchanged, and put the crosshair there."""
    for node in ownedList(scene.GetNodesByClass("vtkMRMLSliceNode")):
        node.JumpSliceByCentering(*ras)
    crosshair = scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    if crosshair is not None:
        crosshair.SetCrosshairRAS(*ras)
