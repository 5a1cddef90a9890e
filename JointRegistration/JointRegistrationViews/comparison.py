"""What pictures of two images need: the moving one on the fixed lattice, and which slices to show."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from JointRegistrationLib import maps
from JointRegistrationLib.geometry import Grid, transform_points
from JointRegistrationLib.image import Image
from JointRegistrationLib.preprocess import to_tensor


def onGridOf(fixed: Image, moving: Image) -> Image:
    """``moving`` sampled at the fixed lattice's positions in RAS, as it lies before registration; 0 outside."""
    values = maps.sample(to_tensor(moving.array, "cpu"), moving.grid, maps.identity(fixed.grid))
    return Image(values[0, 0].numpy(), fixed.grid, moving.name)


def telltaleOffsets(grid: Grid, interest: Mapping[int, npt.NDArray[np.bool_]]) -> dict[int, float]:
    """For each RAS axis the position, in mm, of the slice to show.

    Args:
        grid: lattice of the masks.
        interest: by RAS axis the mask, (k, j, i), that the slice across that axis should show most of.
            Where it is missing or empty, the slice goes through the centre of the field of view.
    """
    offsets = {axis: float(grid.center_ras[axis]) for axis in range(3)}
    for ijkAxis, rasAxis in enumerate(grid.ras_axes):
        mask = interest.get(rasAxis)
        if mask is None or not mask.any():
            continue
        others = tuple(axis for axis in range(3) if axis != 2 - ijkAxis)
        ijk = (np.asarray(grid.size_ijk) - 1) / 2
        ijk[ijkAxis] = int(mask.sum(axis=others).argmax())
        offsets[rasAxis] = float(transform_points(grid.ijk_to_ras, ijk)[rasAxis])
    return offsets
