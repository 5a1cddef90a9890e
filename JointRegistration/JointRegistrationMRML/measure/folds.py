"""Places where a map folds, as a table node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk

from JointRegistrationLib.core.geometry import Grid, transform_points

from ..nodes.tables import column, tableNode

#: Of the table of folds.
COLUMNS = ("Fold", "R (mm)", "A (mm)", "S (mm)", "Voxels", "Volume (mm3)", "Lowest J")


@dataclass(frozen=True)
class Fold:
    """One connected region of J <= 0 (voxels that share a corner belong together).

    Args:
        position_ras: its voxel with the lowest J, fixed side, RAS mm; always inside the fold.
        voxels: how many of the fixed grid.
        volumeMm3: of these voxels.
        lowestJ: the lowest determinant in it.
    """

    position_ras: tuple[float, float, float]
    voxels: int
    volumeMm3: float
    lowestJ: float


def foldsOf(determinant: npt.NDArray[Any], grid: Grid) -> list[Fold]:
    """The folds of a map, the largest first.

    Args:
        determinant: (k, j, i) on ``grid``, of the fixed-to-moving map.
        grid: the fixed lattice.
    """
    folded = determinant <= 0
    if not folded.any():
        return []
    import SimpleITK as sitk  # takes a while to import; most maps have no folds

    start = [int(np.flatnonzero(folded.any(axis=others))[0]) for others in ((1, 2), (0, 2), (0, 1))]
    cropped = folded[tuple(slice(first, None) for first in start)].astype(np.uint8)
    components = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(cropped), True))
    places = np.argwhere(components)
    values = determinant[tuple((places + start).T)]
    labels = components[tuple(places.T)]
    found = [_fold(places[labels == n] + start, values[labels == n], grid) for n in range(1, int(labels.max()) + 1)]
    return sorted(found, key=lambda fold: (-fold.voxels, fold.position_ras))


def _fold(places: npt.NDArray[np.intp], values: npt.NDArray[Any], grid: Grid) -> Fold:
    worst = int(values.argmin())
    position = transform_points(grid.ijk_to_ras, places[worst, ::-1].astype(float))
    size = len(places)
    r, a, s = (float(x) for x in position)
    return Fold((r, a, s), size, size * grid.voxel_volume_mm3, float(values[worst]))


def foldsTableNode(folds: Sequence[Fold], name: str) -> Any:
    """A new table node, in no scene yet, with a row for each fold; :data:`COLUMNS`."""
    rows = [(n, *fold.position_ras, fold.voxels, fold.volumeMm3, fold.lowestJ) for n, fold in enumerate(folds, 1)]
    columns = []
    for index, title in enumerate(COLUMNS):
        kind = vtk.vtkIntArray if title in ("Fold", "Voxels") else vtk.vtkDoubleArray
        columns.append(column(title, (round(row[index], 3) for row in rows), kind))
    return tableNode(name, columns)
