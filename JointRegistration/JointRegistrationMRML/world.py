"""Volumes and points between a node's own coordinates and the world."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.geometry import Grid

from .nodes import gridOf, transformPoints, worldTransform
from .volumes import ijkToRasOf


def ownGrid(node: Any) -> Grid:
    """A volume's lattice in its own coordinates, without the transforms above it; raises GeometryError if invalid."""
    return gridOf(node.GetName(), node.GetImageData().GetDimensions(), ijkToRasOf(node))


def toWorld(node: Any, points: npt.NDArray[np.float64], below: Any) -> npt.NDArray[np.float64]:
    """Points (n, 3) of a node, in the world; ``below`` as for :func:`.nodes.worldTransform`."""
    above = worldTransform(node, below)
    return points if above is None else transformPoints(above.toWorld, points)


def fromWorld(node: Any, points: npt.NDArray[np.float64], below: Any, itself: bool = False) -> npt.NDArray[np.float64]:
    """World points in the coordinates of ``node``, or of what stands under the transform node ``itself``.

    A transform node that was only just made holds no transform yet: it changes nothing.
    """
    above = worldTransform(node, below)
    points = points if above is None else transformPoints(above.fromWorld, points)
    own = node.GetTransformFromParent() if itself else None
    return points if own is None else transformPoints(own, points)
