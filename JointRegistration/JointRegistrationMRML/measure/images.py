"""Two images on one lattice, compared voxel by voxel: signed difference, checkerboard, edges."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image

from ..pauses import inParallel, slabs

FloatVolume = npt.NDArray[np.float32]

_RANGE_SAMPLES = 1_000_000  # enough for a percentile
#: Edges are sought on a lattice of at most so many voxels: on a finer one it takes seconds and noise has edges.
_EDGE_VOXELS = 6_000_000
_EDGE_SIGMA_MM = 0.8
_EDGE_WEAK, _EDGE_STRONG = 0.06, 0.14  # slopes in brightness ranges per mm


def brightnessRange(image: Image) -> tuple[float, float]:
    """The 0.1 and 99.9 percentile: the range that the registration itself compares."""
    some = image.array.ravel()[:: max(1, image.array.size // _RANGE_SAMPLES)]
    low, high = np.percentile(some, [0.1, 99.9])
    return float(low), float(high)


def inRange(image: Image, bounds: tuple[float, float]) -> FloatVolume:
    """Values with ``bounds`` sent to 0 and 1, clamped."""
    low, high = bounds
    scale = np.float32(1 / max(high - low, float(np.finfo(np.float32).tiny)))
    result = np.empty(image.array.shape, np.float32)

    def fill(part: slice) -> None:
        scaled = image.array[part].astype(np.float32)
        scaled -= np.float32(low)
        scaled *= scale
        np.clip(scaled, 0, 1, out=result[part])

    inParallel(fill, slabs(len(result), result.nbytes))
    return result


def differencePercent(fixed: Image, other: Image, otherRange: tuple[float, float]) -> Image:
    """Fixed minus other, each in percent of its brightness range; 0 where ``other`` has no data.

    Args:
        fixed, other: on one lattice.
        otherRange: of the image that ``other`` was resampled from; resampling smooths its own away.
    """
    difference, subtracted = inRange(fixed, brightnessRange(fixed)), inRange(other, otherRange)

    def subtract(part: slice) -> None:
        difference[part] -= subtracted[part]
        difference[part] *= 100
        difference[part][other.array[part] == 0] = 0

    inParallel(subtract, slabs(len(difference), difference.nbytes))
    return Image(difference, fixed.grid, f"{fixed.name} - {other.name}")


def checkerboard(fixed: Image, other: Image, otherRange: tuple[float, float], squareMm: float) -> Image:
    """Cubes of about ``squareMm`` that show the two images in turn, both scaled to 0..1."""
    import SimpleITK as sitk

    pattern = [max(2, round(extent / squareMm)) for extent in fixed.grid.extent_mm]
    arrays = (inRange(fixed, brightnessRange(fixed)), inRange(other, otherRange))
    mixed = sitk.CheckerBoard(*(sitk.GetImageFromArray(array) for array in arrays), pattern)
    return Image(sitk.GetArrayFromImage(mixed), fixed.grid, f"{fixed.name} / {other.name}")


def edges(image: Image) -> Image:
    """Detect where brightness changes most: 1 on Canny edges, 0 elsewhere, unsigned bytes.

    The lattice is ``image``'s, or one of joined voxels with the same field of view if it is large.
    """
    import SimpleITK as sitk

    factors = _joined(image.grid)
    scaled = sitk.GetImageFromArray(inRange(image, brightnessRange(image)))
    scaled.SetSpacing(image.grid.spacing_mm)
    joined = sitk.BinShrink(scaled, factors)
    found = sitk.CannyEdgeDetection(joined, _EDGE_WEAK, _EDGE_STRONG, [_EDGE_SIGMA_MM**2] * 3)
    array = sitk.GetArrayFromImage(found).astype(np.uint8)
    return Image(array, _joinedGrid(image.grid, factors), f"{image.name} edges")


def _joined(grid: Grid) -> list[int]:
    """How many voxels along i, j, k to join, the finest axis first, until there are few enough."""
    factors = np.ones(3, int)
    while grid.num_voxels / factors.prod() > _EDGE_VOXELS:
        factors[np.argmin(np.asarray(grid.spacing_mm) * factors)] += 1
    return [int(factor) for factor in factors]


def _joinedGrid(grid: Grid, factors: list[int]) -> Grid:
    """The lattice of the joined voxels' centres."""
    matrix = grid.ijk_to_ras
    toFine = np.diag([*map(float, factors), 1.0])
    toFine[:3, 3] = (np.asarray(factors) - 1) / 2
    size = [n // factor for n, factor in zip(grid.size_ijk, factors, strict=True)]
    return Grid.from_ijk_to_ras(size, matrix @ toFine)
