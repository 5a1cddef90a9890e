"""Which cartilage lies on which bone, and what is measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .depth_profile import DepthProfile
from .thickness import ThicknessChange

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
