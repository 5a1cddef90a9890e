"""The segments of a run: label maps that the worker brings to the fixed lattice, so that a window need not.

Imports no PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from ..core.errors import OutOfMemory
from ..core.geometry import Grid
from ..core.lattices.sampling import LabelMap, warp_label_map
from ..core.lattices.segments import RunSegments, SegmentLayers
from ..core.progress import CancelCheck


def warped_bytes(segments: RunSegments, grid: Grid) -> int:
    """Size of :func:`warp_segments` on the fixed ``grid``."""
    moving, fixed = (
        0 if layers is None else sum(layer.labels.itemsize for layer in layers.layers)
        for layers in (segments.moving, segments.fixed)
    )
    return grid.num_voxels * (moving if segments.fixed is None else 2 * moving + fixed)


def warp_segments(
    segments: RunSegments, grid: Grid, displacement_mm: npt.NDArray[Any], threads: int, cancelled: CancelCheck
) -> RunSegments:
    """Bring segments to the fixed lattice; the moving ones as they lie only where there are fixed ones to compare.

    Args:
        segments: fixed and moving ones, without a bend.
        grid: the fixed image's.
        displacement_mm: (k, j, i, 3) on ``grid``, fixed to moving, RAS mm.
        threads: how many to work with.
        cancelled: asked often; once it is True the result is incomplete.

    Raises:
        OutOfMemory: if memory runs out.
    """

    def there(own: SegmentLayers | None, field: npt.NDArray[Any] | None = None) -> SegmentLayers | None:
        if own is None:
            return None
        found = (warp_label_map(layer, grid, field, threads=threads, cancelled=cancelled) for layer in own.layers)
        return SegmentLayers(tuple(LabelMap(labels, grid) for labels in found), own.segments)

    try:
        before = None if segments.fixed is None else there(segments.moving)
        return RunSegments(there(segments.fixed), None, before, there(segments.moving, displacement_mm))
    except MemoryError as error:
        raise OutOfMemory("memory ran out while the segments were carried; close other programs") from error
