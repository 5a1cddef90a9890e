"""Images, label maps and landmark pairs as they enter and leave the library: NumPy and a grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .geometry import Grid

#: Fewer voxels than this along an axis are no 3D image.
MIN_SIZE = 4
#: Below this share of common field of view two images are taken not to belong together.
MIN_OVERLAP = 0.01


@dataclass(frozen=True)
class Image:
    """A scalar volume: intensities, a label map or a mask, by use.

    Args:
        array: (k, j, i) values; any integer, boolean or floating type.
        grid: where the voxels are.
        name: how messages call it, e.g. a file or node name.
        remarks: sentences about it that belong to every result, e.g. on what its file left open.

    Raises:
        InputError: if the array is not a 3D scalar array of the grid's shape.
    """

    array: npt.NDArray[Any]
    grid: Grid
    name: str = "image"
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise InputError(
                f"{self.name}: a 3D scalar volume is needed, but the array has {self.array.ndim} dimensions"
            )
        if self.array.shape != self.grid.shape:
            raise InputError(
                f"{self.name}: the array's shape {self.array.shape} is not the grid's {self.grid.shape} (k, j, i)"
            )
        if self.array.dtype.kind not in "biuf":
            raise InputError(f"{self.name}: real numbers are needed, but the values are {self.array.dtype}")


@dataclass(frozen=True)
class LandmarkPairs:
    """Corresponding points, row by row.

    Args:
        fixed_ras: (n, 3) points in the fixed image, RAS mm.
        moving_ras: (n, 3) the same anatomical points in the moving image, RAS mm.
        names: one label a pair; empty for none.

    Raises:
        InputError: if the counts differ, a point is not finite, or there is none.
    """

    fixed_ras: npt.NDArray[np.float64]
    moving_ras: npt.NDArray[np.float64]
    names: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        for which in ("fixed_ras", "moving_ras"):
            points = np.asarray(getattr(self, which), dtype=float)
            if points.ndim != 2 or points.shape[1:] != (3,) or len(points) == 0:
                raise InputError(f"landmarks: {which} must be (n, 3) with n > 0, but its shape is {points.shape}")
            if not np.all(np.isfinite(points)):
                raise InputError(f"landmarks: {which} holds a value that is not finite")
            object.__setattr__(self, which, points)
        if len(self.fixed_ras) != len(self.moving_ras):
            raise InputError(
                f"landmarks: {len(self.fixed_ras)} fixed points but {len(self.moving_ras)} moving points; "
                "give the same points in the same order in both"
            )
