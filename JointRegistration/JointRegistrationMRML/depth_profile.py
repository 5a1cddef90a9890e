"""What the map does at each depth of a cartilage: how far it moves tissue, and how much it changes its volume."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from JointRegistrationLib.core.geometry import transform_points
from JointRegistrationLib.core.result import RegistrationResult

from .mask_surface import Mask, Points, nearestPoints
from .pauses import inSteps
from .thickness import Thickness

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

    voxels: Points
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
        thickness: of this cartilage on its bone, see :func:`.thickness.cartilageThickness`.
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


def _movedMm(points: Points, displacementMm: Points, affineRas: Points) -> Points:
    """(n,) how far the map moves points, on the fixed side, once the affine part is undone."""
    there = transform_points(np.linalg.inv(affineRas), points + displacementMm)
    return np.linalg.norm(there - points, axis=1)


def _means(bins: Points, values: Points) -> tuple[Points, Points]:
    """Counts and means in each bin; values in no bin are left out."""
    count = len(DEPTH_EDGES_MM) - 1
    inside = (bins >= 0) & (bins < count)
    voxels = np.bincount(bins[inside], minlength=count)
    sums = np.bincount(bins[inside], values[inside], count)
    enough = voxels >= max(MIN_VOXELS, MIN_SHARE * voxels.sum())
    return voxels, np.where(enough, sums / np.maximum(voxels, 1), np.nan)
