"""The segments of a run: label maps that the worker brings to the fixed lattice, so that a window need not.

Imports no PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from ..core.errors import OutOfMemory
from ..core.geometry import Grid
from ..core.lattices.sampling import LabelMap, Labels, warp_label_map
from ..core.progress import CancelCheck


@dataclass(frozen=True)
class Segments:
    """Label maps as they lie in the world; the fixed ones are there to be compared with."""

    moving: tuple[LabelMap, ...] = ()
    fixed: tuple[LabelMap, ...] = ()

    def warped_bytes(self, grid: Grid) -> int:
        """Size of :func:`warp_segments` on the fixed ``grid``."""
        times = 2 if self.fixed else 1
        moving, fixed = (sum(source.labels.itemsize for source in sources) for sources in (self.moving, self.fixed))
        return grid.num_voxels * (times * moving + fixed)


@dataclass(frozen=True)
class WarpedSegments:
    """The same on the fixed lattice, (k, j, i): the moving ones through the map, and both as the images lay.

    ``moving`` is empty where there is nothing fixed to compare it with.
    """

    warped: tuple[Labels, ...] = ()
    moving: tuple[Labels, ...] = ()
    fixed: tuple[Labels, ...] = ()


def warp_segments(
    segments: Segments, grid: Grid, displacement_mm: npt.NDArray[Any], threads: int, cancelled: CancelCheck
) -> WarpedSegments:
    """Bring segments to the fixed lattice.

    Args:
        segments: in the world.
        grid: the fixed image's.
        displacement_mm: (k, j, i, 3) on ``grid``, fixed to moving, RAS mm.
        threads: how many to work with.
        cancelled: asked often; once it is True the result is incomplete.

    Raises:
        OutOfMemory: if memory runs out.
    """

    def all_of(sources: tuple[LabelMap, ...], field: npt.NDArray[Any] | None = None) -> tuple[Labels, ...]:
        return tuple(warp_label_map(source, grid, field, threads=threads, cancelled=cancelled) for source in sources)

    try:
        moving = all_of(segments.moving) if segments.fixed else ()
        return WarpedSegments(all_of(segments.moving, displacement_mm), moving, all_of(segments.fixed))
    except MemoryError as error:
        raise OutOfMemory("memory ran out while the segments were carried; close other programs") from error
