"""Whether a field of view can be one of a knee: one rule for files, scenes and the command line. Imports no PyTorch."""

from __future__ import annotations

import numpy as np

from ..geometry import Grid

#: What a field of view of a knee is, in mm: its longest and its shortest side.
_LONGEST_MM, _SHORTEST_MM = (70.0, 450.0), (30.0, 300.0)
_COARSEST_SPACING_MM = 8.0
_LARGEST_ANISOTROPY = 12.0

#: The kinds of :func:`unusual_size`: the spacing was probably lost; the size is no knee's; slices are too far apart.
LOST_SPACING, NO_KNEE, COARSE = "lost spacing", "no knee", "coarse"


def unusual_size(grid: Grid) -> str | None:
    """Return what is unusual for a knee about a grid's size, one of the kinds above; None if nothing is."""
    spacing, extent = np.asarray(grid.spacing_mm), grid.extent_mm
    if not _within(extent.max(), _LONGEST_MM) or not _within(extent.min(), _SHORTEST_MM):
        return LOST_SPACING if np.allclose(spacing, 1.0) else NO_KNEE
    if spacing.max() > _COARSEST_SPACING_MM or spacing.max() > _LARGEST_ANISOTROPY * spacing.min():
        return COARSE
    return None


def size_text(grid: Grid) -> str:
    """The field of view in mm, for messages."""
    return " x ".join(f"{side:.0f}" if side >= 10 else f"{side:.2g}" for side in grid.extent_mm)


def voxel_text(grid: Grid) -> str:
    """The spacing in mm, for messages."""
    return " x ".join(f"{s:.3g}" for s in grid.spacing_mm)


def size_remark(name: str, grid: Grid) -> str | None:
    """A sentence on an unusual size; None if it is usual."""
    kind = unusual_size(grid)
    if kind == LOST_SPACING:
        return (
            f"{name} has voxels of exactly 1 x 1 x 1 mm and measures {size_text(grid)} mm: its spacing was probably "
            "lost in a conversion"
        )
    if kind == NO_KNEE:
        return f"{name} measures {size_text(grid)} mm, which is unusual for a knee: check its spacing"
    if kind == COARSE:
        return f"{name} has voxels of {voxel_text(grid)} mm: between such slices little can be aligned"
    return None


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] <= value <= bounds[1]
