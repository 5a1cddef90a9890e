"""Masks and label maps on the grid of the image they belong to. Imports no PyTorch."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..errors import InputError
from ..geometry import Grid, transform_points
from ..image import Image
from .sampling import warp_label_image

_SAME_MM = 1e-2
#: At most this share of the marked voxels may lie outside the image, or they were drawn for another one.
_MOST_OUTSIDE = 0.1
_SAMPLES = 200_000


def on_grid_of(labels: Image, image: Image) -> Image:
    """A mask or label map on the grid of ``image``; as it is if it lies there already.

    On another grid it is resampled label by label: each one's indicator linearly, and the largest wins. A remark of
    the result says so.

    Raises:
        InputError: if part of it lies outside the image: then it is not known to be meant for it.
    """
    if labels.grid.is_close(image.grid, _SAME_MM):
        return labels
    check_belongs(labels, image)
    whole = (
        labels if labels.array.dtype.kind in "biu" else dataclasses.replace(labels, array=labels.array.astype(np.int64))
    )
    if whole.array.dtype.kind == "b":
        whole = dataclasses.replace(whole, array=whole.array.astype(np.uint8))
    remark = f"{labels.name} lies on other voxels than {image.name} and was resampled onto them, label by label"
    return dataclasses.replace(warp_label_image(whole, image.grid), remarks=(*labels.remarks, remark))


def check_belongs(labels: Image, image: Image) -> None:
    """Refuse a mask or label map that lies outside the image's field of view.

    Raises:
        InputError: naming both grids.
    """
    if labels.grid.is_close(image.grid, _SAME_MM):
        return
    marked = np.flatnonzero(labels.array)
    marked = marked[:: max(1, len(marked) // _SAMPLES)]
    outside = _share_outside(labels.grid, marked, image.grid)
    if outside > _MOST_OUTSIDE:
        raise InputError(
            f"{labels.name}: {100 * outside:.0f} % of what it marks lie outside {image.name} "
            f"({image.grid.describe()}; its own grid: {labels.grid.describe()}); give the one that was drawn on it"
        )


def _share_outside(grid: Grid, marked: np.ndarray[tuple[int], np.dtype[np.intp]], other: Grid) -> float:
    if len(marked) == 0:
        return 0.0
    indices = np.column_stack(np.unravel_index(marked, grid.shape)[::-1]).astype(np.float64)
    there = transform_points(other.ras_to_ijk @ grid.ijk_to_ras, indices)
    size = np.asarray(other.size_ijk)
    return float(np.any((there < -0.5) | (there > size - 0.5), axis=1).mean())
