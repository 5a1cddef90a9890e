"""Markups point lists as landmark pairs in world coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.errors import InputError
from JointRegistrationLib.image import LandmarkPairs

from .nodes import transformPoints, worldTransform
from .translation import _


def landmarksFromMarkups(fixedNode: Any, movingNode: Any, below: Any = None) -> LandmarkPairs:
    """The points of two point lists, paired by position in the list, in world coordinates.

    Args:
        fixedNode, movingNode: markups nodes.
        below: a transform node to leave out, see :func:`.nodes.worldTransform`.

    Raises:
        InputError: if a point is not placed, the counts differ, or there is none.
    """
    fixed, moving = _worldPoints(fixedNode, below), _worldPoints(movingNode, below)
    names = tuple(fixedNode.GetNthControlPointLabel(index) for index in range(len(fixed)))
    return LandmarkPairs(fixed, moving, names)


def _worldPoints(node: Any, below: Any) -> npt.NDArray[np.float64]:
    if node is None or not node.IsA("vtkMRMLMarkupsNode"):
        raise InputError(_("landmarks: a point list is needed for each of the two images"))
    points = np.zeros((node.GetNumberOfControlPoints(), 3))
    for index in range(len(points)):
        if node.GetNthControlPointPositionStatus(index) != node.PositionDefined:
            label = node.GetNthControlPointLabel(index) or index + 1
            text = _("landmarks: point {label} of {name} is not placed yet; place it or delete it")
            raise InputError(text.format(label=label, name=node.GetName()))
        node.GetNthControlPointPosition(index, points[index])
    above = worldTransform(node, below)
    return points if above is None else transformPoints(above.toWorld, points)
