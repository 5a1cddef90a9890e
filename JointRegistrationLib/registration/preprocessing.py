"""What happens to images before they are compared: checks, normalisation, resampling."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core.errors import InputError
from ..core.figures.intensity import LEAST_VARIED, constant_slices, normalize, share_varied
from ..core.figures.knee_size import size_remark
from ..core.geometry import transform_points
from ..core.image import MIN_OVERLAP, MIN_SIZE, Image
from ..core.lattices.onto_grid import on_grid_of
from ..ops.separable.resampling import resample, to_tensor

#: A mask of less than this cannot say how a knee lies.
_LEAST_MASK_ML = 5.0
#: The share of slices without any image beyond which a field of view is remarkable.
_MOST_EMPTY = 0.25


__all__ = [
    "check_image",
    "check_mask",
    "check_overlap",
    "normalize",
    "remarks_on",
    "resample",
    "to_tensor",
]


def check_image(image: Image) -> None:
    """Refuse an image that cannot be registered.

    Raises:
        InputError: if it has too few slices, holds NaN or infinity, or has one value in all but a few voxels.
    """
    if min(image.grid.size_ijk) < MIN_SIZE:
        raise InputError(
            f"{image.name}: at least {MIN_SIZE} voxels are needed along every axis, "
            f"but the size is {image.grid.size_ijk}; give a full 3D volume"
        )
    if image.array.dtype.kind == "f" and not np.isfinite(image.array).all():
        bad = int(np.size(image.array) - np.isfinite(image.array).sum())
        raise InputError(
            f"{image.name}: it holds NaN or infinite values ({bad} of {image.array.size} voxels); "
            "replace them, for example by 0"
        )
    low, high = image.array.min(), image.array.max()
    if low == high:
        raise InputError(
            f"{image.name}: every voxel has the value {low}, so there is nothing to align; give another image"
        )
    varied = share_varied(image.array)
    if varied < LEAST_VARIED:
        raise InputError(
            f"{image.name}: all but {round(varied * image.array.size)} of its {image.array.size} voxels have the same "
            "value, so there is nothing to align; give another image"
        )


def check_mask(mask: Image, image: Image) -> Image:
    """The mask on the image's grid, see :func:`.onto_grid.on_grid_of`.

    Raises:
        InputError: if no voxel of it is set there, or it lies outside the image.
    """
    placed = on_grid_of(mask, image)
    if not np.any(placed.array > 0):
        raise InputError(f"{mask.name}: the mask is empty; set it to 1 where {image.name} should be compared")
    return placed


def remarks_on(image: Image, mask: Image | None = None) -> tuple[str, ...]:
    """Describe what is remarkable about an image and its mask that can be used: sentences for the result's notes."""
    empty, slices = constant_slices(image.array)
    found = [*image.remarks, size_remark(image.name, image.grid)]
    if empty > _MOST_EMPTY * slices:
        found.append(
            f"{image.name}: {empty} of its {slices} slices along one axis are empty: part of the knee is missing"
        )
    if mask is not None:
        found += mask.remarks
        voxels = np.count_nonzero(mask.array > 0)
        volume_ml = voxels * image.grid.voxel_volume_mm3 / 1000
        if volume_ml < _LEAST_MASK_ML:
            found.append(
                f"{mask.name} marks only {voxels} voxels ({volume_ml:.2g} ml) of {image.name}: "
                "too little to align a knee by"
            )
    return tuple(remark for remark in found if remark)


def check_overlap(fixed: Image, moving: Image, affine_ras: npt.ArrayLike | None = None) -> None:
    """Refuse two images whose fields of view have next to nothing in common under ``affine_ras``.

    Raises:
        InputError: with a way out.
    """
    matrix = np.eye(4) if affine_ras is None else np.asarray(affine_ras, dtype=float)
    if fixed.grid.overlap(moving.grid, matrix) < MIN_OVERLAP:
        apart = float(np.linalg.norm(transform_points(matrix, fixed.grid.center_ras) - moving.grid.center_ras))
        raise InputError(
            f"{moving.name} does not overlap {fixed.name}: the centres of their fields of view are {apart:.0f} mm "
            "apart; align them by centre (initialization 'center'), by landmarks, or by an initial transform"
        )
