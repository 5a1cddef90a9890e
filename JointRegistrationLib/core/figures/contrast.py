"""Whether two images are of one kind, seen before anything is aligned. Imports no PyTorch."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..geometry import FloatArray, transform_points
from ..image import Image
from .intensity import normalize

#: Cells of this size say how bright a place is whatever lies in it; knees that lie a few mm apart share most of them.
_CELL_MM = 12.0
#: Voxels along a cell that are enough for its mean.
_SAMPLES = 3
_Cells = tuple[npt.NDArray[np.float64], FloatArray]
#: Fewer common cells say nothing.
_LEAST_CELLS = 200
#: Below the first two images are taken for negatives, below the second for images of two kinds. Of one kind, a few mm
#: and degrees apart, they reach 0.6 to 0.9 (0.7 and 0.8 on real pairs), turned by 30 degrees 0.3 to 0.4.
NEGATIVE, UNLIKE = -0.2, 0.3


def contrast_remark(fixed: Image, moving: Image, affine_ras: FloatArray | None = None) -> str:
    """Say that the two images are not of one kind; empty if they are, or if it cannot be told.

    Args:
        fixed, moving: the images; a few of their voxels are looked at.
        affine_ras: 4x4, fixed to moving points, another way to lay them besides as they lie and on one centre.
    """
    found = kinds_correlation(fixed, moving, affine_ras)
    if not found < UNLIKE:
        return ""
    said = f"(correlation {found:.2f} before anything is aligned)"
    if found < NEGATIVE:
        return (
            f"{moving.name} looks like a negative of {fixed.name} {said}: what is bright in one is dark in the other, "
            "and the result cannot be relied on; take images of one kind, or invert one of them"
        )
    return (
        f"{moving.name} and {fixed.name} hardly look alike {said}: another contrast, or far out of place; look at the "
        "result closely, take images of one kind, or bring them together first"
    )


def kinds_correlation(fixed: Image, moving: Image, affine_ras: FloatArray | None = None) -> float:
    """The greatest :func:`coarse_ncc`: as the images lie, on one centre, under ``affine_ras``; nan if none is known."""
    centred = np.eye(4)
    centred[:3, 3] = moving.grid.center_ras - fixed.grid.center_ras
    starts = (np.eye(4), centred) if affine_ras is None else (np.eye(4), centred, affine_ras)
    cells = _cells(fixed), _cells(moving)
    known = (found for start in starts if not math.isnan(found := _ncc(*cells, start)))
    return max(known, default=math.nan)


def coarse_ncc(fixed: Image, moving: Image, affine_ras: FloatArray | None = None) -> float:
    """Pearson's correlation of the means in cells of 12 mm, where both images are; nan for fewer than 200 cells."""
    return _ncc(_cells(fixed), _cells(moving), np.eye(4) if affine_ras is None else affine_ras)


def _ncc(fixed: _Cells, moving: _Cells, affine_ras: FloatArray) -> float:
    (cells, to_ras), (others, other_to_ras) = fixed, moving
    k, j, i = np.indices(cells.shape).reshape(3, -1)
    points = transform_points(to_ras, np.stack([i, j, k], axis=-1).astype(float))
    there = transform_points(np.asarray(affine_ras), points)
    index = np.rint(transform_points(np.linalg.inv(other_to_ras), there)).astype(int)
    inside = np.all((index >= 0) & (index < others.shape[::-1]), axis=1)
    if np.count_nonzero(inside) < _LEAST_CELLS:
        return float("nan")
    a, b = cells.ravel()[inside], others[tuple(index[inside, ::-1].T)]
    a, b = a - a.mean(), b - b.mean()
    root = np.sqrt((a * a).mean() * (b * b).mean())
    return float((a * b).mean() / root) if root > 0 else float("nan")


def _cells(image: Image) -> _Cells:
    """Means of some voxels in each cell, (k, j, i), and the 4x4 from a cell's index to its centre, RAS."""
    lattice = zip(image.grid.size_ijk, image.grid.spacing_mm, strict=True)
    size = [min(n, max(1, round(_CELL_MM / spacing))) for n, spacing in lattice]
    counts = [n // width for n, width in zip(image.grid.size_ijk, size, strict=True)]
    taken = [
        (width * np.arange(count)[:, None] + np.linspace(0, width - 1, _SAMPLES).round().astype(int)).ravel()
        for count, width in zip(counts[::-1], size[::-1], strict=True)
    ]
    few = image.array[np.ix_(*taken)]
    bright = normalize(few) if few.min() < few.max() else np.zeros(few.shape)
    i, j, k = counts
    cells = bright.reshape(k, _SAMPLES, j, _SAMPLES, i, _SAMPLES).mean(axis=(1, 3, 5), dtype=np.float64)
    first = (np.array(size) - 1) / 2
    matrix = image.grid.ijk_to_ras @ np.diag([*size, 1.0])
    matrix[:3, 3] = transform_points(image.grid.ijk_to_ras, first)
    return cells, matrix
