"""Label maps carried through a displacement field and the transforms above a node, with pauses.

The work is the library's, see :mod:`JointRegistrationLib.core.lattices.sampling`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.lattices.sampling import LabelMap, Labels, LabelWarper

from ...pauses import inParallel, inSteps
from ..world import WorldTransform, transformPoints

_FIRST_ROWS = 16


def warpLabelsSteps(
    labels: Labels,
    labelGrid: Grid,
    grid: Grid,
    displacementMm: npt.NDArray[Any] | None = None,
    above: WorldTransform | None = None,
) -> Generator[None, None, Labels]:
    """A label map on another grid, with pauses in which a window stays alive.

    Args:
        labels: (k, j, i), see :class:`JointRegistrationLib.core.lattices.sampling.LabelMap`.
        labelGrid: their lattice, below ``above``.
        grid: where they are wanted, in the world.
        displacementMm: (k, j, i, 3) on ``grid``, from there to the labels, RAS mm; None for none.
        above: the transforms above the labels; None for none.

    Returns:
        (k, j, i) on ``grid``, of the type of ``labels``.
    """
    bend = (
        None if above is None or above.matrix is not None else lambda points: transformPoints(above.fromWorld, points)
    )
    warper = LabelWarper(labelMap(labels, labelGrid, above), grid, displacementMm, bend)
    yield from inSteps(warper.prepare_count, warper.prepare)
    yield from inSteps(warper.fill_count, lambda rows: inParallel(warper.fill, warper.parts(rows)), _FIRST_ROWS)
    return warper.result


def labelMap(labels: Labels, labelGrid: Grid, above: WorldTransform | None = None) -> LabelMap:
    """Labels with the way from the world to them, as far as it is linear: a bent ``above`` is left out."""
    fromWorld = np.eye(4) if above is None or above.matrix is None else np.linalg.inv(above.matrix)
    return LabelMap(labels, labelGrid.ras_to_ijk @ fromWorld)
