"""Thickness of cartilage from label masks, and how it differs between two knees along a registration.

On a bone: the distance from each point of the bone-cartilage interface to the nearest point of the outer
surface (Stammberger et al., Magn Reson Med 41:529-536, 1999). The interface is the surface of the bone, the
outer surface that of bone and cartilage together: both are solids, so that smoothing their stairs does not
thin the cartilage between. Bone without cartilage has thickness 0.

Without a bone: the diameter of the largest sphere inside the cartilage that touches it at a point of its
surface (after the local thickness of Hildebrand and Rueegsegger, J Microsc 185:67-75, 1997), found with the
shrinking ball of Ma, Bae and Choi, Vis Comput 28:7-19, 2012. Parts of a single voxel's thickness are not seen.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import vtk

from JointRegistrationLib.core.errors import GeometryError
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.lattices.sampling import values_at

from ..nodes.arrays import numpyView, vtkImage
from ..pauses import inSteps
from .surfaces import Mask, Points, Surface, nearestPoints, noSurface, surfaceSteps

#: Points this far around the cartilage still belong to the surface on which thickness is known, as 0.
MARGIN_MM = 10.0
#: Where the registration takes a point further than this from the other bone's surface, they do not correspond.
MAX_DISTANCE_MM = 3.0

_COVERED = 0.25  # smoothed cartilage on a surface point: 0.5 under cartilage, half of that at its border
_LARGEST_RADIUS_MM = 6.0
_BALL_STEPS = 12
_SMALLEST_ANGLE = np.cos(np.deg2rad(40.0))  # contacts nearer to each other than that are the surface's noise


@dataclass(frozen=True)
class Thickness:
    """Thickness at the points of a surface.

    Args:
        surface: of the bone around the cartilage, or of the cartilage where no bone was given.
        valuesMm: (n,) at its points; 0 where the bone is bare.
        covered: (n,) where there is cartilage.
    """

    surface: Surface
    valuesMm: Points
    covered: Mask

    @property
    def meanMm(self) -> float:
        """The mean over the covered area; nan if there is none."""
        return areaMean(self.valuesMm[self.covered], self.surface.areas()[self.covered])


@dataclass(frozen=True)
class ThicknessChange:
    """Thickness of the moving cartilage at the corresponding point, minus that of the fixed one.

    Args:
        surface: part of the fixed surface: where either knee has cartilage and a counterpart was found.
        fixedMm, movingMm: (n,) thickness at its points and at the corresponding points.
        unmatchedPercent: covered fixed area without a counterpart.
    """

    surface: Surface
    fixedMm: Points
    movingMm: Points
    unmatchedPercent: float

    @property
    def changeMm(self) -> Points:
        """(n,) positive where the moving cartilage is thicker."""
        return self.movingMm - self.fixedMm

    @property
    def meanMm(self) -> float:
        """The mean over the surface; nan if it is empty."""
        return areaMean(self.changeMm, self.surface.areas())


def thicknessSteps(cartilage: Mask, bone: Mask | None, grid: Grid) -> Generator[None, None, Thickness]:
    """Thickness of a cartilage: on its bone if there is one, else by spheres within it. With pauses.

    Args:
        cartilage, bone: (k, j, i) on ``grid``. Gaps of one voxel between them count as bone.
        grid: any.

    Raises:
        GeometryError: if a mask does not lie on the grid.
    """
    for mask in (cartilage, bone):
        if mask is not None and mask.shape != grid.shape:
            raise GeometryError(f"thickness: masks of shape {grid.shape} are needed, but one's is {mask.shape}")
    if not cartilage.any():
        return Thickness(noSurface(), np.zeros(0), np.zeros(0, bool))
    box, part = _around(cartilage, grid)
    yield
    if bone is None:
        return (yield from _bySpheres(cartilage[box], part))
    return (yield from _onBone(cartilage[box], bone[box], part))


def thicknessChangeSteps(
    fixed: Thickness, moving: Thickness, displacementMm: npt.NDArray[Any], grid: Grid
) -> Generator[None, None, ThicknessChange]:
    """The change of thickness from a fixed to a moving cartilage along the map between them, with pauses.

    Args:
        fixed: in the fixed image's world.
        moving: in the moving image's world.
        displacementMm: (k, j, i, 3) on ``grid``, fixed to moving, RAS mm.
        grid: the fixed lattice.

    Raises:
        GeometryError: if the field does not lie on its grid.
    """
    points = fixed.surface.points
    there = np.empty_like(points)

    def move(part: slice) -> None:
        there[part] = points[part] + values_at(displacementMm, grid, points[part])

    yield from inSteps(len(points), move, first=1000)
    movingMm, covered, distance = _at(moving, there)
    yield
    matched = distance <= MAX_DISTANCE_MM
    areas = fixed.surface.areas()
    area = float(areas[fixed.covered].sum())
    unmatched = 100 * float(areas[fixed.covered & ~matched].sum()) / area if area > 0 else float("nan")
    wanted = matched & (fixed.covered | covered)
    part, kept = fixed.surface.part(wanted)
    return ThicknessChange(part, fixed.valuesMm[kept], movingMm[kept], unmatched)


def areaMean(values: Points, areas: Points) -> float:
    """The mean of ``values`` (n,) weighted with ``areas`` (n,); nan if they are empty."""
    total = float(areas.sum())
    return float(values @ areas) / total if total > 0 else float("nan")


# -- parts ----------------------------------------------------------------------------------------------


def _at(thickness: Thickness, points: Points) -> tuple[Points, Mask, Points]:
    """Thickness at the surface point nearest to each of ``points``, whether it is covered, and how far it is."""
    surface = thickness.surface
    if len(surface.points) == 0 or len(points) == 0:
        return np.zeros(len(points)), np.zeros(len(points), bool), np.full(len(points), np.inf)
    nearest = nearestPoints(points, surface.points)
    distance = np.linalg.norm(points - surface.points[nearest], axis=1)
    return thickness.valuesMm[nearest], thickness.covered[nearest], distance


def _around(mask: Mask, grid: Grid) -> tuple[tuple[slice, ...], Grid]:
    """The box of a mask and :data:`MARGIN_MM` around it, as slices (k, j, i) and as a grid."""
    box = []
    for axis, spacing in enumerate(grid.spacing_mm[::-1]):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        margin = int(np.ceil(MARGIN_MM / spacing))
        first, last = max(0, int(used[0]) - margin), min(mask.shape[axis], int(used[-1]) + 1 + margin)
        box.append(slice(first, max(last, first + 2)))
    start = [part.start for part in box[::-1]]
    return tuple(box), grid.cropped(start, [part.stop - part.start for part in box[::-1]])


def _onBone(cartilage: Mask, bone: Mask, grid: Grid) -> Generator[None, None, Thickness]:
    whole = yield from _closingSteps(bone | cartilage)
    outer = yield from surfaceSteps(whole, grid)
    inner = yield from surfaceSteps(whole & ~cartilage, grid, cartilage)
    covered = inner.near > _COVERED
    values = np.zeros(len(inner.points))
    wanted = np.flatnonzero(covered)

    def measure(part: slice) -> None:
        points = inner.points[wanted[part]]
        nearest = outer.points[nearestPoints(points, outer.points)]
        values[wanted[part]] = np.linalg.norm(points - nearest, axis=1)

    if len(outer.points):
        yield from inSteps(len(wanted), measure, least=20_000)
    return Thickness(inner, values, covered)


def _closingSteps(mask: Mask) -> Generator[None, None, Mask]:
    """Gaps of one voxel filled, slice by slice."""
    result = np.empty_like(mask)

    def close(part: slice) -> None:
        low, high = max(0, part.start - 2), min(len(mask), part.stop + 2)
        closed = _closed(mask[low:high])
        result[part] = closed[part.start - low : part.stop - low]

    yield from inSteps(len(mask), close, least=8)
    return result


def _closed(mask: Mask) -> Mask:
    closing = vtk.vtkImageOpenClose3D()
    closing.SetInputData(vtkImage(mask.astype(np.uint8)))
    closing.SetOpenValue(0)
    closing.SetCloseValue(1)
    closing.SetKernelSize(3, 3, 3)
    closing.Update()
    return np.asarray(numpyView(closing.GetOutput()) != 0)


def _bySpheres(cartilage: Mask, grid: Grid) -> Generator[None, None, Thickness]:
    surface = yield from surfaceSteps(cartilage, grid)
    radii = _ballRadii(surface.points, surface.inward) if len(surface.points) else np.zeros(0)
    return Thickness(surface, 2 * radii, np.ones(len(radii), bool))


def _ballRadii(points: Points, inward: Points) -> Points:
    """(n,) radius of the largest ball that touches the surface at a point from inside and holds no other point."""
    radii = np.full(len(points), _LARGEST_RADIUS_MM)
    active = np.arange(len(points))
    for _ in range(_BALL_STEPS):
        at, normal = points[active], inward[active]
        centers = at + radii[active, None] * normal
        contact = points[nearestPoints(centers, points)]
        chord = contact - at
        along = (chord * normal).sum(axis=1)
        squared = (chord**2).sum(axis=1)
        # A ball through both points with its centre on the normal; its contacts as seen from the centre.
        smaller = squared / np.maximum(2 * along, 1e-9)
        cosine = 1 - squared / np.maximum(2 * smaller**2, 1e-12)
        shrinks = (along > 0) & (smaller < radii[active] - 1e-3) & (cosine < _SMALLEST_ANGLE)
        active, smaller = active[shrinks], smaller[shrinks]
        radii[active] = smaller
        if len(active) == 0:
            break
    return radii
