"""At which resolution images are compared: the working grid, its coarser levels, and the momentum's lattice.

This module imports no PyTorch, so that a panel can say what a run will take before PyTorch is installed.
"""

from __future__ import annotations

import math

from ..geometry import Grid


def working_grid(native: Grid, max_voxels: int) -> Grid:
    """A grid over the same field of view with at most about ``max_voxels``, as isotropic as possible.

    The finest axes are thinned first: every axis gets the spacing max(native, s), s as small as the
    bound allows. A native grid within the bound is returned as it is.
    """
    if native.num_voxels <= max_voxels:
        return native
    low, high = min(native.spacing_mm), float(native.extent_mm.max())
    for _ in range(60):
        middle = 0.5 * (low + high)
        if math.prod(_size_at_spacing(native, middle)) > max_voxels:
            low = middle
        else:
            high = middle
    return native.resized(_size_at_spacing(native, high))


def shrunk_grid(grid: Grid, factor: float, min_size: int = 8) -> Grid:
    """The same field of view with spacing ``factor`` times larger, no axis below ``min_size`` voxels.

    Axes that are already coarser than the finest one are thinned less, so that coarse levels tend to
    isotropic voxels.
    """
    if factor == 1:
        return grid
    spacing = min(grid.spacing_mm) * factor
    size = [max(n, min(old, min_size)) for n, old in zip(_size_at_spacing(grid, spacing), grid.size_ijk, strict=True)]
    return grid.resized(size)


def momentum_grid(grid: Grid) -> Grid:
    """The momentum's lattice: half the size, rounded up, corner voxels kept (spec, section 4, "Resolution")."""
    return grid.resized([max((n + 1) // 2, 2) for n in grid.size_ijk])


def _size_at_spacing(grid: Grid, spacing_mm: float) -> tuple[int, int, int]:
    sizes = [
        n if s >= spacing_mm else max(2, math.ceil(extent / spacing_mm - 1e-9) + 1)
        for n, s, extent in zip(grid.size_ijk, grid.spacing_mm, grid.extent_mm, strict=True)
    ]
    return sizes[0], sizes[1], sizes[2]
