"""The parameters of a procedural knee: a frozen, range-checked dataclass and a random draw of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.errors import ConfigError

SIDES = ("right", "left")

#: Where a cartilage lesion may lie, and the middle of that place in the mean knee's frame (mm).
LESION_SITES: dict[str, tuple[float, float, float]] = {
    "femoral-medial": (-22.0, 3.0, 2.0),
    "femoral-lateral": (21.0, 3.0, 3.0),
    "trochlear": (2.0, 33.0, 22.0),
    "tibial-medial": (-20.0, 0.0, 0.0),
    "tibial-lateral": (19.0, -2.0, 0.0),
    "patellar": (1.0, 41.0, 36.0),
}

#: Allowed range of every number in :class:`KneeShape`.
RANGES: dict[str, tuple[float, float]] = {
    "width_mm": (55.0, 110.0),
    "flexion_deg": (0.0, 35.0),
    "femoral_cartilage_mm": (0.3, 5.0),
    "tibial_cartilage_mm": (0.3, 5.0),
    "patellar_cartilage_mm": (0.3, 6.0),
    "depth_ratio": (0.8, 1.2),
    "length_ratio": (0.8, 1.2),
    "condyle_asymmetry": (-0.1, 0.1),
    "patella_ratio": (0.8, 1.2),
    "patella_height_mm": (-10.0, 10.0),
    "meniscus_ratio": (0.5, 1.3),
    "effusion_mm": (0.0, 6.0),
    "fat_mm": (2.0, 25.0),
    "muscle_ratio": (0.75, 1.25),
    "irregularity_mm": (0.0, 2.5),
}


@dataclass(frozen=True)
class CartilageLesion:
    """A round loss of cartilage.

    Args:
        site: one of :data:`LESION_SITES`.
        offset_mm: shift from the site's middle, (lateral, anterior, superior).
        radius_mm: 1 to 20.
        depth: lost fraction of the thickness in its middle, 0 to 1.

    Raises:
        ConfigError: for an unknown site or a value out of range.
    """

    site: str
    offset_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius_mm: float = 6.0
    depth: float = 0.8

    def __post_init__(self) -> None:
        if self.site not in LESION_SITES:
            raise ConfigError(
                f"CartilageLesion.site: {self.site!r} is unknown; choose one of {', '.join(LESION_SITES)}"
            )
        check_range("CartilageLesion", "radius_mm", self.radius_mm, 1.0, 20.0)
        check_range("CartilageLesion", "depth", self.depth, 0.0, 1.0)
        for value in self.offset_mm:
            check_range("CartilageLesion", "offset_mm", value, -30.0, 30.0)


@dataclass(frozen=True)
class KneeShape:
    """What one knee looks like; the defaults are the mean knee.

    Args:
        side: ``"right"`` or ``"left"`` (the mirror image).
        width_mm: greatest width of the femur across its condyles; the anatomy scales with it.
        flexion_deg: bend beyond the nearly extended mean position.
        femoral_cartilage_mm, tibial_cartilage_mm, patellar_cartilage_mm: full thickness, away from
            the borders, where it tapers off. Thicknesses in mm do not scale with the width.
        depth_ratio, length_ratio: front-to-back and head-to-foot size relative to the width's.
        condyle_asymmetry: positive widens the lateral and narrows the medial half of the joint.
        patella_ratio, patella_height_mm: size of the patella, and how much higher it rides.
        meniscus_ratio: width of the menisci.
        effusion_mm: thickness of the joint fluid in the recesses.
        fat_mm: subcutaneous fat, as thickness in front of the patella plus a girdle further up.
        muscle_ratio: girth of the muscles.
        irregularity_mm: root mean square of the smooth random warp that makes each knee individual.
        lesions: cartilage lesions.
        seed: of that warp and of the fine structure of the tissues.

    Raises:
        ConfigError: naming the field, the value found and the range allowed.
    """

    side: str = "right"
    width_mm: float = 77.0
    flexion_deg: float = 0.0
    femoral_cartilage_mm: float = 2.4
    tibial_cartilage_mm: float = 2.4
    patellar_cartilage_mm: float = 3.0
    depth_ratio: float = 1.0
    length_ratio: float = 1.0
    condyle_asymmetry: float = 0.0
    patella_ratio: float = 1.0
    patella_height_mm: float = 0.0
    meniscus_ratio: float = 1.0
    effusion_mm: float = 2.0
    fat_mm: float = 7.0
    muscle_ratio: float = 1.0
    irregularity_mm: float = 0.8
    lesions: tuple[CartilageLesion, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise ConfigError(f"KneeShape.side: {self.side!r} is unknown; choose one of {', '.join(SIDES)}")
        for name, (low, high) in RANGES.items():
            check_range("KneeShape", name, getattr(self, name), low, high)
        if not all(isinstance(lesion, CartilageLesion) for lesion in self.lesions):
            raise ConfigError("KneeShape.lesions: give a tuple of CartilageLesion")
        object.__setattr__(self, "lesions", tuple(self.lesions))
        check_seed("KneeShape", self.seed)


def random_shape(rng: np.random.Generator) -> KneeShape:
    """A plausible adult knee; spreads follow measured knees where they were to be had."""
    lesions = tuple(
        CartilageLesion(
            str(rng.choice(list(LESION_SITES))),
            (float(rng.uniform(-5, 5)), float(rng.uniform(-8, 8)), 0.0),
            float(rng.uniform(3, 9)),
            float(rng.uniform(0.3, 1.0)),
        )
        for _ in range(rng.poisson(0.7))
    )

    def normal(mean: float, deviation: float) -> float:
        return float(mean + deviation * np.clip(rng.standard_normal(), -2.2, 2.2))

    return KneeShape(
        side=str(rng.choice(SIDES)),
        width_mm=normal(79.0, 6.0),
        flexion_deg=float(rng.uniform(0, 15)),
        femoral_cartilage_mm=normal(2.4, 0.35),
        tibial_cartilage_mm=normal(2.5, 0.4),
        patellar_cartilage_mm=normal(3.0, 0.5),
        depth_ratio=normal(1.0, 0.035),
        length_ratio=normal(1.0, 0.035),
        condyle_asymmetry=normal(0.0, 0.025),
        patella_ratio=normal(1.0, 0.05),
        patella_height_mm=normal(0.0, 3.0),
        meniscus_ratio=normal(1.0, 0.1),
        effusion_mm=min(float(rng.gamma(2.0, 0.9)), 6.0),
        fat_mm=float(rng.uniform(4, 16)),
        muscle_ratio=normal(1.0, 0.08),
        irregularity_mm=float(rng.uniform(0.5, 1.2)),
        lesions=lesions,
        seed=int(rng.integers(2**31)),
    )


def check_range(owner: str, name: str, value: Any, low: float, high: float) -> None:
    """Raise :class:`.ConfigError` unless ``value`` is a finite number from ``low`` to ``high``."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not np.isfinite(value):
        raise ConfigError(f"{owner}.{name}: a finite number is needed, but {value!r} was given")
    if not low <= value <= high:
        raise ConfigError(f"{owner}.{name}: {value!r} is out of range; give a value from {low:g} to {high:g}")


def check_seed(owner: str, value: Any) -> None:
    """Raise :class:`.ConfigError` unless ``value`` is a non-negative integer below 2^32."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise ConfigError(f"{owner}.seed: {value!r} is not a seed; give an integer from 0 to 4294967295")
