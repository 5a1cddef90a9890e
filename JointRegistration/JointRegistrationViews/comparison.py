"""Two images on one lattice, compared voxel by voxel: signed difference and checkerboard."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from JointRegistrationLib import maps
from JointRegistrationLib.geometry import Grid, transform_points
from JointRegistrationLib.image import Image
from JointRegistrationLib.preprocess import to_tensor

FloatVolume = npt.NDArray[np.float32]


def onGridOf(fixed: Image, moving: Image) -> Image:
    """``moving`` sampled at the fixed lattice's positions in RAS, as it lies before registration; 0 outside."""
    values = maps.sample(to_tensor(moving.array, "cpu"), moving.grid, maps.identity(fixed.grid))
    return Image(values[0, 0].numpy(), fixed.grid, moving.name)


def brightnessRange(image: Image) -> tuple[float, float]:
    """The 0.1 and 99.9 percentile: the range that the registration itself compares."""
    low, high = np.percentile(image.array, [0.1, 99.9])
    return float(low), float(high)


def inRange(image: Image, bounds: tuple[float, float]) -> FloatVolume:
    """Values with ``bounds`` sent to 0 and 1, clamped."""
    low, high = bounds
    scaled = (image.array.astype(np.float32) - low) / max(high - low, np.finfo(np.float32).tiny)
    return np.clip(scaled, 0, 1, dtype=np.float32)


def differencePercent(fixed: Image, other: Image, otherRange: tuple[float, float]) -> Image:
    """Fixed minus other, each in percent of its brightness range; 0 where ``other`` has no data.

    Args:
        fixed, other: on one lattice.
        otherRange: of the image that ``other`` was resampled from; resampling smooths its own away.
    """
    difference = 100 * (inRange(fixed, brightnessRange(fixed)) - inRange(other, otherRange))
    difference[other.array == 0] = 0
    return Image(difference, fixed.grid, f"{fixed.name} - {other.name}")


def checkerboard(fixed: Image, other: Image, otherRange: tuple[float, float], squareMm: float) -> Image:
    """Cubes of about ``squareMm`` that show the two images in turn, both scaled to 0..1."""
    pattern = [max(2, round(extent / squareMm)) for extent in fixed.grid.extent_mm]
    arrays = (inRange(fixed, brightnessRange(fixed)), inRange(other, otherRange))
    mixed = sitk.CheckerBoard(*(sitk.GetImageFromArray(array) for array in arrays), pattern)
    return Image(sitk.GetArrayFromImage(mixed), fixed.grid, f"{fixed.name} / {other.name}")


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
