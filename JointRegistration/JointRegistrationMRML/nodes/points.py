"""Markups point lists as landmark pairs in world coordinates."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.image import LandmarkPairs, paired_landmarks

from ..mrml import PointsNode, TransformNode
from ..translation import _
from .world import transformPoints, worldTransform


def landmarksFromMarkups(
    fixedNode: PointsNode, movingNode: PointsNode, leftOut: TransformNode | None = None
) -> LandmarkPairs:
    """The points of two point lists, paired by the rule of :func:`.image.paired_landmarks`, in world coordinates.

    Args:
        fixedNode, movingNode: markups nodes.
        leftOut: a transform node to leave out, see :func:`.world.worldTransform`.

    Raises:
        InputError: if a point is not placed, the points cannot be paired, or there is none.
    """
    fixed, moving = (
        (
            _worldPoints(node, leftOut),
            [_pairOf(node.GetNthControlPointLabel(n)) for n in pointIndices(node)],
            node.GetName(),
        )
        for node in (fixedNode, movingNode)
    )
    return paired_landmarks(fixed, moving)


def _pairOf(label: str) -> str:
    """The name of a pair: of points that were placed by the panel, F1 and M1, the number."""
    return label[1:] if re.fullmatch(r"[FM]\d+", label) else label


def pointIndices(node: PointsNode) -> list[int]:
    """Return the control points of a list that count: all but the one that follows the mouse during placing."""
    every = range(node.GetNumberOfControlPoints())
    return [index for index in every if node.GetNthControlPointPositionStatus(index) != node.PositionPreview]


def _worldPoints(node: PointsNode, leftOut: TransformNode | None) -> npt.NDArray[np.float64]:
    if node is None or not node.IsA("vtkMRMLMarkupsNode"):
        raise InputError(_("landmarks: a point list is needed for each of the two images"))
    indices = pointIndices(node)
    points = np.zeros((len(indices), 3))
    for row, index in enumerate(indices):
        if node.GetNthControlPointPositionStatus(index) != node.PositionDefined:
            label = node.GetNthControlPointLabel(index) or index + 1
            text = _("landmarks: point {label} of {name} is not placed yet; place it or delete it")
            raise InputError(text.format(label=label, name=node.GetName()))
        node.GetNthControlPointPosition(index, points[row])
    above = worldTransform(node, leftOut)
    return points if above is None else transformPoints(above.toWorld, points)
