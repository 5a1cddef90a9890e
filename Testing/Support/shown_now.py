"""Pictures of what the slice views of a scene show now: their layers, and every visible overlay."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from Testing.Support.slice_plane import nodesOfClass

_OVERLAYS = ("vtkMRMLSegmentationNode", "vtkMRMLTransformNode")


def pictureOf(
    renderer: Any, composite: Any, orientation: str, offsetRas: float, fitTo: Any, longSidePx: int = 560
) -> npt.NDArray[np.uint8]:
    """What a slice view with these layers shows, (height, width, 3) uint8 RGB.

    Args:
        renderer: a :class:`.slice_view.SliceViewRenderer`.
        composite: the view's ``vtkMRMLSliceCompositeNode``; it has a background.
        orientation, offsetRas, fitTo, longSidePx: see its ``render``.
    """
    scene = composite.GetScene()

    def layer(identifier: str | None) -> Any:
        return scene.GetNodeByID(identifier) if identifier else None

    return renderer.render(
        orientation,
        offsetRas,
        layer(composite.GetBackgroundVolumeID()),
        foreground=layer(composite.GetForegroundVolumeID()),
        foregroundOpacity=composite.GetForegroundOpacity(),
        label=layer(composite.GetLabelVolumeID()),
        overlays=visibleOverlays(scene),
        fitTo=fitTo,
        longSidePx=longSidePx,
    )


def visibleOverlays(scene: Any) -> list[Any]:
    """The segmentations and transforms that slice views draw."""
    nodes = [node for kind in _OVERLAYS for node in nodesOfClass(scene, kind)]
    return [node for node in nodes if _isVisible(node.GetDisplayNode())]


def _isVisible(display: Any) -> bool:
    return display is not None and bool(display.GetVisibility()) and bool(display.GetVisibility2D())
