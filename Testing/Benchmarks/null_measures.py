"""What a registration made of a pair whose truth is known: ``null_cases.py`` makes the pairs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from null_cases import BONE, CARTILAGE, NullPair, Planted

from JointRegistrationLib.core.figures.metrics import displacement_transform
from JointRegistrationLib.core.geometry import Grid, transform_points
from JointRegistrationLib.core.result import LOG2_JACOBIAN_FLOOR
from JointRegistrationLib.registration.native_grids import jacobian

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

PARTS = {"bone": BONE, "cartilage": CARTILAGE}
_OF_PART = ("log2j_low", "log2j_high", "log2j_99", "lnj_mean", "back_lnj_mean", "round_mean_mm", "round_95_mm")
COLUMNS = (
    "error_mean_mm",
    "error_95_mm",
    *(f"{part}_{name}" for part in PARTS for name in _OF_PART),
    "loss_there_mm",
    "loss_elsewhere_mm",
    "loss_elsewhere_95_mm",
    "folds",
)
#: Points at which a round trip is followed.
_ROUND_POINTS = 100_000


def measured(pair: NullPair, forward_mm: Field, backward_mm: Field) -> dict[str, float]:
    """The figures of one method, by column; nan where a pair has no such part.

    Args:
        pair: what was registered.
        forward_mm: (k, j, i, 3) on the fixed grid, fixed to moving, RAS mm.
        backward_mm: the same of the pair the other way round, on the moving grid.

    Returns:
        ``error_*``: distance from the truth in tissue near the joint. Of bone and cartilage: ``log2j_low``, ``_high``
        between which 99 % of log2 J lie, ``log2j_99`` below which 99 % of its magnitudes lie, the mean of ln J in
        either order, and ``round_*``: how far a point ends from where it began after both maps. ``loss_*``: cartilage
        that is lost according to the map, in the middle of the regions where it was thinned, and where it was not.
    """
    grid = pair.fixed.grid
    wrong = errors_mm(pair, forward_mm)
    determinant, folds = jacobian(grid, forward_mm)
    back_determinant, _ = jacobian(pair.moving.grid, backward_mm)
    figures = {"error_mean_mm": float(wrong.mean()), "error_95_mm": float(np.percentile(wrong, 95))}
    for name, value in PARTS.items():
        mask = pair.fixed_parts.array == value
        if not mask.any():
            figures |= {f"{name}_{column}": float("nan") for column in _OF_PART}
            continue
        log2 = log2_of(determinant[mask])
        back = log2_of(back_determinant[pair.moving_parts.array == value])
        round_trip = round_trip_mm(mask, grid, forward_mm, backward_mm, pair.moving.grid)
        values = (
            *np.percentile(log2, (0.5, 99.5)),
            np.percentile(np.abs(log2), 99),
            np.log(2) * log2.mean(),
            np.log(2) * back.mean(),
            round_trip.mean(),
            np.percentile(round_trip, 95),
        )
        figures |= {f"{name}_{column}": float(v) for column, v in zip(_OF_PART, values, strict=True)}
    return {**figures, **found_loss(pair.planted, forward_mm, grid), "folds": float(folds.count)}


def errors_mm(pair: NullPair, forward_mm: Field) -> Points:
    """Distance between where the map and where the truth send each voxel of tissue near the joint, (n,)."""
    points = transform_points(pair.fixed.grid.ijk_to_ras, np.argwhere(pair.tissue)[:, ::-1])
    there = transform_points(pair.truth_ras, points)
    return np.asarray(np.linalg.norm(points + forward_mm[pair.tissue] - there, axis=-1))


def log2_of(determinant: Field) -> Points:
    """log2 of determinants; folds count as :data:`LOG2_JACOBIAN_FLOOR`."""
    return np.asarray(np.log2(np.maximum(determinant.astype(float), 2.0**LOG2_JACOBIAN_FLOOR)))


def round_trip_mm(
    mask: npt.NDArray[np.bool_], grid: Grid, forward_mm: Field, backward_mm: Field, moving_grid: Grid
) -> Points:
    """How far each voxel of the mask, or some of them, ends from itself: there by the one map, back by the other."""
    voxels = np.argwhere(mask)[:, ::-1]
    voxels = voxels[np.random.default_rng(0).permutation(len(voxels))[:_ROUND_POINTS]]
    points = transform_points(grid.ijk_to_ras, voxels)
    there = displacement_transform(forward_mm, grid)(points)
    return np.asarray(np.linalg.norm(displacement_transform(backward_mm, moving_grid)(there) - points, axis=-1))


def found_loss(planted: Planted | None, forward_mm: Field, grid: Grid) -> dict[str, float]:
    """Thickness between free surface and bone in the fixed image, less that between where the map sends both."""
    names = ("loss_there_mm", "loss_elsewhere_mm", "loss_elsewhere_95_mm")
    if planted is None:
        return dict.fromkeys(names, float("nan"))
    through = displacement_transform(forward_mm, grid)
    before = np.linalg.norm(planted.surface_ras - planted.bone_ras, axis=-1)
    after = np.linalg.norm(through(planted.surface_ras) - through(planted.bone_ras), axis=-1)
    found = before - after
    there, elsewhere = found[planted.loss_mm > 0.99 * planted.loss_mm.max()], found[planted.loss_mm == 0]
    values = (there.mean(), elsewhere.mean(), np.percentile(np.abs(elsewhere), 95))
    return {name: float(value) for name, value in zip(names, values, strict=True)}
