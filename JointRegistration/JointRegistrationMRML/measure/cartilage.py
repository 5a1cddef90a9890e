"""Which cartilage lies on which bone, and what is measured of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.result import RegistrationResult

from ..pauses import inSteps
from .surfaces import Mask, Points, nearestPoints
from .thickness import Thickness, ThicknessChange

#: How the cartilage of a bone is called, and the bone itself, in lower case.
_STEMS = (("femoral", "femur"), ("tibial", "tibia"), ("patellar", "patella"))


@dataclass(frozen=True)
class CartilagePair:
    """Names of a cartilage's and its bone's segment; without a bone, thickness is that of spheres within."""

    cartilage: str
    bone: str | None = None


@dataclass(frozen=True)
class CartilageFigures:
    """Thickness of one cartilage, mm; nan and None where a segmentation is missing.

    Args:
        pair: its segments.
        color: of the cartilage's segment, RGB, 0 to 1.
        fixedMeanMm, movingMeanMm, warpedMeanMm: means over the area; the moving one in the moving image.
        change: along the registration, at points of the fixed surface.
        profile: of the map, by depth in the fixed cartilage; None without its bone.
    """

    pair: CartilagePair
    color: tuple[float, float, float]
    fixedMeanMm: float
    movingMeanMm: float
    warpedMeanMm: float
    change: ThicknessChange | None
    profile: DepthProfile | None = None


def guessedPairs(names: Sequence[str]) -> tuple[CartilagePair, ...]:
    """Segments called "... cartilage", each with the segment of its bone where one is named so.

    Known are femur, tibia and patella: "Medial tibial cartilage" lies on "Tibia" or "Tibial bone".
    """
    return tuple(CartilagePair(name, _boneOf(name, names)) for name in names if "cartilage" in name.lower())


def _boneOf(cartilage: str, names: Sequence[str]) -> str | None:
    for stems in _STEMS:
        if any(stem in cartilage.lower() for stem in stems):
            bones = [name for name in names if "cartilage" not in name.lower()]
            return next((name for name in bones if any(stem in name.lower() for stem in stems)), None)
    return None


#: Edges of the bins of depth, mm; deeper voxels are left out.
DEPTH_EDGES_MM = np.arange(0.0, 6.01, 0.5)
#: A bin with fewer voxels, or with a smaller share of the cartilage, says nothing.
MIN_VOXELS, MIN_SHARE = 20, 0.005


@dataclass(frozen=True)
class DepthProfile:
    """Means over the voxels of a fixed cartilage, by their distance from its bone; nan in bins of few voxels.

    Args:
        voxels: (n,) in each bin of :data:`DEPTH_EDGES_MM`.
        movedMm: (n,) length of the displacement beyond the affine part.
        log2Jacobian: (n,) of log2 J; folded voxels are left out.
        withoutAffine: whether the affine part was known, and so left out of ``movedMm``.
    """

    voxels: npt.NDArray[np.intp]
    movedMm: Points
    log2Jacobian: Points
    withoutAffine: bool


def depthSteps(
    cartilage: Mask, thickness: Thickness, result: RegistrationResult
) -> Generator[None, None, DepthProfile]:
    """The profile of one cartilage, with pauses in which a window stays alive.

    The depth of a voxel is the distance from its centre to the nearest point of the bone-cartilage interface.

    Args:
        cartilage: (k, j, i) on the fixed grid.
        thickness: of this cartilage on its bone, see :func:`.thicknessSteps`.
        result: of the run.
    """
    places = np.argwhere(cartilage)
    points = transform_points(result.fixed_grid.ijk_to_ras, places[:, ::-1].astype(float))
    interface = thickness.surface.points[thickness.covered]
    depth = np.full(len(points), np.inf)

    def measure(part: slice) -> None:
        nearest = interface[nearestPoints(points[part], interface)]
        depth[part] = np.linalg.norm(points[part] - nearest, axis=1)

    if len(interface):
        yield from inSteps(len(points), measure, least=20_000)
    index = tuple(places.T)
    known = bool(np.isfinite(result.affine_ras).all())
    moved = _movedMm(points, result.displacement_field_mm[index], result.affine_ras if known else np.eye(4))
    determinant = result.jacobian_determinant[index]
    unfolded = determinant > 0
    bins = np.digitize(depth, DEPTH_EDGES_MM) - 1
    voxels, movedMm = _means(bins, moved)
    _, log2 = _means(bins[unfolded], np.log2(determinant[unfolded]))
    return DepthProfile(voxels, movedMm, log2, known)


def _movedMm(points: Points, displacementMm: npt.NDArray[np.floating[Any]], affineRas: Points) -> Points:
    """(n,) how far the map moves points, on the fixed side, once the affine part is undone."""
    there = transform_points(np.linalg.inv(affineRas), points + displacementMm)
    lengths: Points = np.linalg.norm(there - points, axis=1)
    return lengths


def _means(bins: npt.NDArray[np.intp], values: npt.NDArray[np.floating[Any]]) -> tuple[npt.NDArray[np.intp], Points]:
    """Counts and means in each bin; values in no bin are left out."""
    count = len(DEPTH_EDGES_MM) - 1
    inside = (bins >= 0) & (bins < count)
    voxels = np.bincount(bins[inside], minlength=count)
    sums = np.bincount(bins[inside], values[inside], count)
    enough = voxels >= max(MIN_VOXELS, MIN_SHARE * voxels.sum())
    return voxels, np.where(enough, sums / np.maximum(voxels, 1), np.nan)
