"""What is measured of a segment: agreement, volumes, and what the map does to it; of one or of several together."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.figures.map_statistics import VolumeChange, volume_change_steps
from JointRegistrationLib.core.figures.metrics import dice_coefficient
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.result import RegistrationResult

from .surfaces import Mask, distanceSteps

_NAN = float("nan")


@dataclass(frozen=True)
class Agreement:
    """How a fixed and a moving segment lie together on the fixed grid; nan where one is missing."""

    dice: float = _NAN
    hd95Mm: float = _NAN
    assdMm: float = _NAN


@dataclass(frozen=True)
class SegmentFigures:
    """One segment, or all together: voxels and surface points pooled.

    Args:
        name, color: of the segment; RGB, 0 to 1.
        before: with the moving segment as the images lay.
        after: with the moving segment carried through the map.
        fixedMm3, movingMm3, warpedMm3: volumes, the moving one counted on the moving grid; nan if missing.
        change: of volume, by the map's Jacobian inside the fixed segment, or inside the warped one where
            there is no fixed one.
    """

    name: str
    color: tuple[float, float, float]
    before: Agreement
    after: Agreement
    fixedMm3: float
    movingMm3: float
    warpedMm3: float
    change: VolumeChange


class SegmentCount:
    """What is counted of one segment, so that several can be put together."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._common, self._sizes = [0, 0], [0, 0]
        self._distances: list[list[npt.NDArray[Any]]] = [[], []]
        self._mm3: list[list[float]] = [[], [], []]
        self._jacobian: list[npt.NDArray[Any]] = []

    @classmethod
    def of(cls, parts: Sequence[SegmentCount]) -> SegmentCount:
        """All of several segments on one grid."""
        whole = cls(parts[0]._grid)
        for part in parts:
            for when in (0, 1):
                whole._common[when] += part._common[when]
                whole._sizes[when] += part._sizes[when]
                whole._distances[when] += part._distances[when]
            for volumes, more in zip(whole._mm3, part._mm3, strict=True):
                volumes.extend(more)
            whole._jacobian += part._jacobian
        return whole

    def compareSteps(self, fixed: Mask | None, moved: Mask | None, after: bool) -> Generator[None, None, None]:
        """Count overlap and distances, if both are there; with pauses in which a window stays alive."""
        if fixed is None or moved is None:
            return
        self._common[after] = int(np.count_nonzero(fixed & moved))
        self._sizes[after] = int(np.count_nonzero(fixed)) + int(np.count_nonzero(moved))
        self._distances[after] = [(yield from distanceSteps(fixed, moved, self._grid.spacing_mm))]

    def addVolumes(
        self, fixed: Mask | None, moving: Mask | None, warped: Mask | None, result: RegistrationResult
    ) -> None:
        """Count volumes, and J inside the fixed segment, else inside the warped one."""
        grids = (result.fixed_grid, result.moving_grid, result.fixed_grid)
        for volumes, mask, grid in zip(self._mm3, (fixed, moving, warped), grids, strict=True):
            if mask is not None:
                volumes.append(float(np.count_nonzero(mask)) * grid.voxel_volume_mm3)
        region = warped if fixed is None else fixed
        if region is not None:
            self._jacobian.append(result.jacobian_determinant[region])

    def figureSteps(self, name: str, color: tuple[float, float, float]) -> Generator[None, None, SegmentFigures]:
        """The figures of what was counted, with pauses."""
        fixed, moving, warped = (sum(volumes) if volumes else _NAN for volumes in self._mm3)
        determinant = np.concatenate(self._jacobian) if self._jacobian else None
        yield
        change = VolumeChange() if determinant is None else (yield from volume_change_steps(determinant))
        yield
        before = self._agreement(False)
        yield
        return SegmentFigures(name, color, before, self._agreement(True), fixed, moving, warped, change)

    def _agreement(self, after: bool) -> Agreement:
        dice = dice_coefficient(self._common[after], self._sizes[after])
        distances = np.concatenate(self._distances[after]) if self._distances[after] else np.zeros(0)
        if len(distances) == 0:
            return Agreement(dice)
        return Agreement(dice, float(np.percentile(distances, 95)), float(distances.mean()))
