"""Colour tables, most of which exist as long as a view is open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import vtk

from .nodes import newNode
from .open_view import OpenView

Color = tuple[float, float, float]

#: Lower, middle, upper: unlike the Jacobian's, which are dark at the ends; black is "no difference".
DIFFERENCE_COLORS: tuple[Color, ...] = ((0.30, 0.75, 1.0), (0.0, 0.0, 0.0), (1.0, 0.62, 0.18))
#: From short to long displacements, all bright enough to be seen on a dark image.
MAGNITUDE_COLORS: tuple[Color, ...] = ((0.35, 0.75, 1.0), (0.35, 0.9, 0.4), (1.0, 0.9, 0.2), (1.0, 0.3, 0.15))


def addColors(
    view: OpenView, name: str, colors: Sequence[Color], *, count: int = 256, transparentFirst: bool = False
) -> Any:
    """A colour table node that runs through ``colors`` evenly, in the scene as long as the view is open.

    Args:
        view: the view it is for.
        name: of the node.
        colors: RGB, 0..1.
        count: of entries.
        transparentFirst: whether the first entry hides what has it, as for label maps.
    """
    node = newNode("vtkMRMLColorTableNode", name)
    node.SetTypeToUser()
    node.SetNumberOfColors(count)
    at = np.linspace(0, 1, count)
    channels = [np.interp(at, np.linspace(0, 1, len(colors)), channel) for channel in zip(*colors, strict=True)]
    for index, (red, green, blue) in enumerate(zip(*channels, strict=True)):
        opacity = 0.0 if transparentFirst and index == 0 else 1.0
        node.SetColor(index, str(index), float(red), float(green), float(blue), opacity)
    return view.add(f"colors {name}", node)


def addScale(view: OpenView, name: str, colors: Sequence[Color], upTo: float) -> Any:
    """:func:`scaleNode` in the scene as long as the view is open."""
    return view.add(f"colors {name}", scaleNode(name, colors, upTo))


def scaleNode(name: str, colors: Sequence[Color], upTo: float) -> Any:
    """A procedural colour node that runs through ``colors`` from 0 to ``upTo``: what transforms are coloured by."""
    node = newNode("vtkMRMLProceduralColorNode", name)
    scale = vtk.vtkDiscretizableColorTransferFunction()
    for value, color in zip(np.linspace(0.0, upTo, len(colors)), colors, strict=True):
        scale.AddRGBPoint(float(value), *color)
    node.SetAndObserveColorTransferFunction(scale)
    return node
