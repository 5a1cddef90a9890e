"""The segments of a run: label maps that the worker brings to the fixed lattice, so that a window need not.

Imports no PyTorch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import OutOfMemory
from ..core.geometry import Grid
from ..core.lattices.sampling import LabelMap, Labels, warp_label_map
from ..core.progress import CancelCheck


def file_names(kind: str, count: int) -> list[str]:
    """Return the names of the label maps of one kind in a job's folder, without suffix."""
    return [f"{kind}_labels_{number}" for number in range(count)]


@dataclass(frozen=True)
class Segments:
    """Label maps as they lie in the world; the fixed ones are there to be compared with."""

    moving: tuple[LabelMap, ...] = ()
    fixed: tuple[LabelMap, ...] = ()

    @property
    def arrays(self) -> dict[str, Labels]:
        """The labels by the names of their files."""
        return _by_name(moving=[source.labels for source in self.moving], fixed=[s.labels for s in self.fixed])

    def warped_bytes(self, grid: Grid) -> int:
        """Size of :func:`warp_segments` on the fixed ``grid``."""
        times = 2 if self.fixed else 1
        moving, fixed = (sum(source.labels.itemsize for source in sources) for sources in (self.moving, self.fixed))
        return grid.num_voxels * (times * moving + fixed)

    def matrices(self) -> dict[str, list[Any]]:
        """Return what the arrays do not say, for JSON: the matrices to their indices."""
        both = {"moving": self.moving, "fixed": self.fixed}
        return {kind: [np.asarray(source.ras_to_ijk).tolist() for source in both[kind]] for kind in both}


@dataclass(frozen=True)
class WarpedSegments:
    """The same on the fixed lattice, (k, j, i): the moving ones through the map, and both as the images lay.

    ``moving`` is empty where there is nothing fixed to compare it with.
    """

    warped: tuple[Labels, ...] = ()
    moving: tuple[Labels, ...] = ()
    fixed: tuple[Labels, ...] = ()

    @property
    def arrays(self) -> dict[str, Labels]:
        """The labels by the names of their files."""
        return _by_name(warped=self.warped, moving=self.moving, fixed=self.fixed)

    def counts(self) -> dict[str, int]:
        """Count the label maps of each kind."""
        return {"warped": len(self.warped), "moving": len(self.moving), "fixed": len(self.fixed)}


def _by_name(**kinds: Sequence[Labels]) -> dict[str, Labels]:
    named = [zip(file_names(kind, len(found)), found, strict=True) for kind, found in kinds.items()]
    return dict(itertools.chain(*named))


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
