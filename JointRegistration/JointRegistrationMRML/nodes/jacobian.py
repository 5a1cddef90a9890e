"""The local volume change of a map as a coloured volume with a legend, and its folds as a segment.

The determinant J of the fixed-to-moving map says how much larger the moving anatomy is than the fixed
one at a fixed point. It is shown as log2 J: 0 is no change, +1 twice as large in the moving image, -1
half as large. Where J <= 0 the map folds and the logarithm has no value: such voxels get
:data:`.LOG2_JACOBIAN_FLOOR` and are what the segment "Folds" holds.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.result import LOG2_JACOBIAN_FLOOR, log2_jacobian

from ..mrml import DisplayableNode
from ..pauses import inParallel, inThread, slabs
from .segments.segmentations import maskSegmentationSteps
from .volumes import volumeFromImage

FOLDS_NAME = "Folds"
FOLDS_COLOR = (1.0, 0.85, 0.0)  # told from both ends of the colour table
_HALF_WINDOWS = (0.2, 0.4, 0.6, 1.0, 1.4, 2.0, 3.0)  # halves of them still have one decimal on the legend
_WINDOW_SAMPLES = 1_000_000  # enough for a percentile


def jacobianSteps(determinant: npt.NDArray[Any], grid: Grid, name: str) -> Generator[None, None, Any]:
    """A new scalar volume node of :func:`.log2_jacobian`, in no scene yet; see :func:`showJacobian`. With pauses."""
    values = np.empty(determinant.shape, np.float32)

    def fill(part: slice) -> None:
        values[part] = log2_jacobian(determinant[part])

    yield from inThread(lambda: inParallel(fill, slabs(len(values), values.nbytes)))
    return volumeFromImage(Image(values, grid, name), name, share=True)


def foldsSteps(determinant: npt.NDArray[Any], grid: Grid, name: str) -> Generator[None, None, Any]:
    """A new segmentation node, in no scene yet, whose segment "Folds" is where the determinant is <= 0. With pauses."""
    folded = yield from inThread(lambda: determinant <= 0)
    node = yield from maskSegmentationSteps(folded, grid, FOLDS_NAME, FOLDS_COLOR)
    node.SetName(name)
    return node


def halfWindow(values: npt.NDArray[Any]) -> float:
    """Half the width of a display window centred on 0 that holds 99 % of the unfolded log2 values."""
    some = values.ravel()[:: max(1, values.size // _WINDOW_SAMPLES)]
    unfolded = np.abs(some[some > LOG2_JACOBIAN_FLOOR])
    if unfolded.size == 0:
        return _HALF_WINDOWS[-1]
    needed = float(np.percentile(unfolded, 99))
    return next((half for half in _HALF_WINDOWS if half >= needed), _HALF_WINDOWS[-1])


def showJacobian(node: DisplayableNode, colorNode: Any, values: npt.NDArray[Any]) -> None:
    """Show a log2 Jacobian volume (in the scene, with a display node) in ``colorNode``, 0 in the middle."""
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colorNode.GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevel(2 * halfWindow(values), 0.0)
    display.SetInterpolate(True)
