"""What the tissues of a knee look like in a DESS image, and how the scanner disturbs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from ...core.errors import ConfigError
from ..shapes.knee_shape import check_range

#: Tissues by number in a full tissue map.
TISSUES = (
    "air", "skin", "fat", "deep fat", "muscle", "hoffa", "nerve", "vessel", "fluid", "tendon", "meniscus", "ligament",
    "cartilage", "cortical bone", "marrow",
)  # fmt: skip
TISSUE_INDEX = {name: number for number, name in enumerate(TISSUES)}

#: Signal relative to muscle. Measured in regions of a water-excitation DESS at 3 T (marrow, fat,
#: Hoffa's pad, muscle, cartilage, fluid; the air level subtracted), the dark tissues estimated beside them.
DESS_SIGNAL: Mapping[str, float] = MappingProxyType(
    {
        "air": 0.0,
        "skin": 0.5,
        "fat": 0.22,
        "deep fat": 0.31,
        "muscle": 1.0,
        "hoffa": 0.30,
        "nerve": 0.55,
        "vessel": 0.72,
        "fluid": 2.6,
        "tendon": 0.16,
        "meniscus": 0.24,
        "ligament": 0.5,
        "cartilage": 1.12,
        "cortical bone": 0.03,
        "marrow": 0.075,
    }
)


@dataclass(frozen=True)
class ContrastConfig:
    """Tissue signals and image disturbances.

    Args:
        signal: signal of each of :data:`TISSUES`, muscle about 1; missing ones keep their default.
        intensity: image value of signal 1.
        noise: standard deviation of the noise in one coil, in units of signal 1.
        coils: number of coils combined by root sum of squares: 1 gives Rician noise, more raise the
            noise floor.
        coil_gain: how much brighter tissue near the surface coil is than the middle of the limb.
        bias: standard deviation of the smooth random gain, natural logarithm.
        texture: strength of the fine structure inside tissues, 1 for natural, 0 for none.

    Raises:
        ConfigError: naming the field, the value found and the range allowed.
    """

    signal: Mapping[str, float] = field(default_factory=lambda: DESS_SIGNAL)
    intensity: float = 200.0
    noise: float = 0.038
    coils: int = 8
    coil_gain: float = 1.0
    bias: float = 0.08
    texture: float = 1.0

    def __post_init__(self) -> None:
        for name, value in self.signal.items():
            if name not in TISSUE_INDEX:
                raise ConfigError(f"ContrastConfig.signal: {name!r} is unknown; choose of {', '.join(TISSUES)}")
            check_range("ContrastConfig.signal", name, value, 0.0, 100.0)
        object.__setattr__(self, "signal", {**DESS_SIGNAL, **self.signal})  # a dict: worker processes pickle it
        check_range("ContrastConfig", "intensity", self.intensity, 1e-6, 1e6)
        check_range("ContrastConfig", "noise", self.noise, 0.0, 1.0)
        check_range("ContrastConfig", "coils", self.coils, 1, 128)
        check_range("ContrastConfig", "coil_gain", self.coil_gain, 0.0, 3.0)
        check_range("ContrastConfig", "bias", self.bias, 0.0, 1.0)
        check_range("ContrastConfig", "texture", self.texture, 0.0, 3.0)


def random_contrast(rng: np.random.Generator) -> ContrastConfig:
    """Contrast as it varies between scanners and sessions, for training."""
    signal = {name: float(value * np.exp(0.12 * rng.standard_normal())) for name, value in DESS_SIGNAL.items()}
    return ContrastConfig(
        signal=signal,
        noise=float(rng.uniform(0.01, 0.05)),
        coils=int(rng.choice([1, 4, 8, 16])),
        coil_gain=float(rng.uniform(0.1, 0.9)),
        bias=float(rng.uniform(0.02, 0.2)),
        texture=float(rng.uniform(0.5, 1.3)),
    )
