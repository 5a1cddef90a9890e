"""Images, label maps and landmark pairs as they enter and leave the library: NumPy and a grid."""

from __future__ import annotations

from collections.abc import Sequence
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


def paired_landmarks(
    fixed: tuple[npt.NDArray[np.float64], Sequence[str], str],
    moving: tuple[npt.NDArray[np.float64], Sequence[str], str],
) -> LandmarkPairs:
    """Two lists of points as pairs: by label where both have the same labels, each once, else in the lists' order.

    Args:
        fixed, moving: points (n, 3) in RAS mm, their labels, and what messages call the list.

    Raises:
        InputError: if the counts differ, or some labels of both lists stand at different places in them, so that
            labels and order contradict each other.
    """
    (fixed_ras, fixed_names, fixed_list), (moving_ras, moving_names, moving_list) = fixed, moving
    if len(fixed_names) != len(moving_names):
        raise InputError(
            f"{moving_list}: {len(moving_names)} landmarks, but {fixed_list} has {len(fixed_names)}; "
            "give the same points in both"
        )
    if len(set(fixed_names)) == len(fixed_names) and set(fixed_names) == set(moving_names):
        moving_ras = moving_ras[[list(moving_names).index(name) for name in fixed_names]]
    else:
        shared = set(fixed_names) & set(moving_names)
        apart = [
            (a, b) for a, b in zip(fixed_names, moving_names, strict=True) if a != b and (a in shared or b in shared)
        ]
        if apart:
            raise InputError(
                f"{moving_list}: its labels and those of {fixed_list} are in another order ({apart[0][0]!r} beside "
                f"{apart[0][1]!r}), but not the same on both sides; give the same labels to both points of a pair"
            )
    return LandmarkPairs(fixed_ras, moving_ras, tuple(fixed_names))
