"""A transform that is to be refined further: whether it can be, and the map that it holds."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from JointRegistrationLib.core.errors import InputError
from JointRegistrationLib.core.result import StartingMap

from .nodes import numpyView
from .steps import inSteps
from .transforms import latticeOf, storedGrid
from .translation import _


def checkStart(node: Any) -> Any:
    """The ``vtkOrientedGridTransform`` from fixed to moving points that ``node`` holds.

    Raises:
        InputError: if it holds no displacement grid on its from-parent side, or stands under another transform.
    """
    name = node.GetName()
    if node.GetParentTransformNode() is not None:
        text = _("start transform: {name} stands under {parent}; take it out from there, or harden it")
        raise InputError(text.format(name=name, parent=node.GetParentTransformNode().GetName()))
    found = storedGrid(node)
    if found is None:
        text = _("start transform: {name} holds no displacement grid; choose the transform of an earlier registration")
        raise InputError(text.format(name=name))
    transform, fromParent = found
    if not fromParent:
        text = _(
            "start transform: {name} holds the opposite direction, from moving to fixed points; choose the transform "
            "that takes the moving volume to the fixed one"
        )
        raise InputError(text.format(name=name))
    return transform


def startSteps(node: Any) -> Generator[None, None, StartingMap]:
    """The map that ``node`` holds, with pauses. Single precision is not copied: nobody may write to it meanwhile.

    Raises:
        InputError: as :func:`checkStart`.
    """
    transform = checkStart(node)
    stored, grid = numpyView(transform.GetDisplacementGrid()), latticeOf(transform, node.GetName())
    scale, shift = transform.GetDisplacementScale(), transform.GetDisplacementShift()
    if stored.dtype == np.float32 and (scale, shift) == (1, 0):
        return StartingMap(stored, grid)
    field = np.empty(stored.shape, np.float32)

    def fill(part: slice) -> None:
        field[part] = stored[part].astype(np.float64) * scale + shift

    yield from inSteps(len(field), fill)
    return StartingMap(field, grid)
