"""What was found apart from its structure: small pieces that no knee has."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from ..core.figures.metrics import bounding_box
from ..core.geometry import Grid
from ..core.structures import LABELS

#: A smaller piece of cartilage is none: 1 mm of thickness over a square of 5 mm.
_LEAST_CARTILAGE_MM3 = 25.0


def without_islands(labels: npt.NDArray[np.uint8], grid: Grid) -> npt.NDArray[np.uint8]:
    """Each bone's largest piece, and of each cartilage the pieces that are not tiny: worn cartilage may lie in several.

    Args:
        labels: (k, j, i) on ``grid``, numbered as in :data:`~.structures.LABELS`.
    """
    kept = labels.copy()
    for name, number in LABELS.items():
        mask = labels == number
        if not mask.any():
            continue
        box = bounding_box(mask)
        pieces = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.GetImageFromArray(mask[box].astype(np.uint8))))
        sizes = np.bincount(sitk.GetArrayViewFromImage(pieces).ravel())[1:]  # the largest first
        whole = int(np.sum(sizes * grid.voxel_volume_mm3 >= _LEAST_CARTILAGE_MM3)) if "cartilage" in name else 1
        kept[box][sitk.GetArrayViewFromImage(pieces) > max(1, whole)] = 0
    return kept
