"""Colours of segments, color tables centred on zero, and colour legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import slicer
import vtk

from ..mrml import Node, Scene
from ..translation import _
from .arrays import newNode, ownedList

Color = tuple[float, float, float]

#: Lower, middle, upper: unlike the Jacobian's, which are dark at the ends; black is "no difference".
DIFFERENCE_COLORS: tuple[Color, ...] = ((0.30, 0.75, 1.0), (0.0, 0.0, 0.0), (1.0, 0.62, 0.18))
#: From short to long displacements, all bright enough to be seen on a dark image.
MAGNITUDE_COLORS: tuple[Color, ...] = ((0.35, 0.75, 1.0), (0.35, 0.9, 0.4), (1.0, 0.9, 0.2), (1.0, 0.3, 0.15))


def mixed(shares: float | npt.NDArray[np.floating[Any]], colors: Sequence[Color]) -> npt.NDArray[np.float64]:
    """(..., 3) RGB along a scale that runs through ``colors`` evenly, ``shares`` (...) from 0 to 1, else clamped."""
    at = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(shares, at, channel) for channel in zip(*colors, strict=True)], axis=-1)


def tableNode(name: str, colors: Sequence[Color], count: int = 256, transparentFirst: bool = False) -> Any:
    """A new colour table node that runs through ``colors`` evenly, in no scene yet.

    Args:
        name: of the node.
        colors: RGB, 0..1.
        count: of entries.
        transparentFirst: whether the first entry hides what has it, as for label maps.
    """
    node = newNode("vtkMRMLColorTableNode", name)
    node.SetTypeToUser()
    node.SetNumberOfColors(count)
    for index, color in enumerate(mixed(np.linspace(0, 1, count), colors).tolist()):
        node.SetColor(index, str(index), *color, 0.0 if transparentFirst and index == 0 else 1.0)
    return node


def scaleNode(name: str, colors: Sequence[Color], upTo: float) -> Any:
    """A procedural colour node that runs through ``colors`` from 0 to ``upTo``: what transforms are coloured by."""
    node = newNode("vtkMRMLProceduralColorNode", name)
    scale = vtk.vtkDiscretizableColorTransferFunction()
    for value, color in zip(np.linspace(0.0, upTo, len(colors)), colors, strict=True):
        scale.AddRGBPoint(float(value), *color)
    node.SetAndObserveColorTransferFunction(scale)
    return node


#: One colour for each side in every view; told apart by the colour-blind, and from the Jacobian's.
FIXED_COLOR = (1.0, 0.85, 0.1)
WARPED_COLOR = (0.25, 0.85, 1.0)


LEGEND_TITLE = _("Size in moving image\n(+1 twice, -1 half)")
COLOR_NAME = "Jacobian blue-white-red"

ENDS_AND_CENTER = ((0.02, 0.19, 0.58), (0.97, 0.97, 0.97), (0.58, 0.03, 0.07))
_NUM_LEGEND_LABELS = 5
# Fractions of a view. The legend's text grows with its size, whatever font size is set: at the default size it
# covers a third of a slice view. Here it stays in the lower right corner, below the letter of the direction.
_LEGEND_SIZE = (0.1, 0.33)
_LEGEND_POSITION = (0.97, 0.1)


def divergingColors() -> Any:
    """A new colour table node, in no scene yet: blue below, white in the middle, red above.

    Slicer's own diverging tables are files of the desktop application and its procedural nodes are
    not saved with a scene. A table of our own looks the same everywhere and is saved.
    """
    node = tableNode(COLOR_NAME, ENDS_AND_CENTER)
    node.SetAttribute("Category", "Registration")
    node.SetHideFromEditors(False)
    node.SaveWithSceneOn()
    return node


def sharedDivergingColors(scene: Scene) -> Any:
    """The colour table of :func:`divergingColors` in ``scene``: an earlier run's, or a new one."""
    nodes = ownedList(scene.GetNodesByClassByName("vtkMRMLColorTableNode", COLOR_NAME))
    if nodes:
        return nodes[0]
    node = scene.AddNode(divergingColors())
    node.AddDefaultStorageNode()
    node.GetStorageNode().SetDefaultWriteFileExtension("ctbl")  # before 5.10, Slicer cannot read the newer .csv
    return node


def addLegend(node: Node, title: str = LEGEND_TITLE) -> Any:
    """Give a displayed node a colour legend whose title says what the numbers mean; returns it."""
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(node)
    legend.SetTitleText(title)
    legend.SetLabelFormat("%+.1f")
    legend.SetNumberOfLabels(_NUM_LEGEND_LABELS)
    legend.SetSize(*_LEGEND_SIZE)
    legend.SetPosition(*_LEGEND_POSITION)
    legend.SetVisibility(True)
    return legend
