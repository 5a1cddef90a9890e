"""What was found apart from its structure: small pieces that no knee has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..core.geometry import Grid
from ..core.structures import LABELS

_BONES = ("femur", "tibia", "patella")
#: A smaller piece of cartilage is none: 1 mm of thickness over a square of 5 mm.
_LEAST_CARTILAGE_MM3 = 25.0


def without_islands(labels: npt.NDArray[np.uint8], grid: Grid) -> npt.NDArray[np.uint8]:
    """Each bone's largest piece, and of each cartilage the pieces that are not tiny: worn cartilage may lie in several.

    Args:
        labels: (k, j, i) on ``grid``, numbered as in :data:`~.structures.LABELS`.
    """
    kept = labels.copy()
    for name, number in LABELS.items():
        box = _box(labels == number)
        if box is None:
            continue
        mask = (labels[box] == number).astype(np.uint8)
        pieces = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(mask)))
        sizes = np.bincount(sitk.GetArrayViewFromImage(pieces).ravel())[1:]  # the largest first
        last = 1 if name in _BONES else max(1, int(np.sum(sizes * grid.voxel_volume_mm3 >= _LEAST_CARTILAGE_MM3)))
        kept[box][sitk.GetArrayViewFromImage(pieces) > last] = 0
    return kept


def _box(mask: npt.NDArray[np.bool_]) -> tuple[slice, slice, slice] | None:
    """The part of the array that ``mask`` touches; None if it is empty."""
    sides = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(found):
            return None
        sides.append(slice(int(found[0]), int(found[-1]) + 1))
    return sides[0], sides[1], sides[2]
