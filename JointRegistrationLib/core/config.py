"""Configuration: one frozen dataclass per concern, checked when built; ``config_json`` is its saved form.

Out-of-range values are errors that say what is allowed. This module imports no PyTorch, so that a panel can show
and check settings before PyTorch is installed.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from .errors import ConfigError

#: What each method does, in words for a user.
METHOD_DESCRIPTIONS = {
    "vsvf-opt": "affine, then a smooth deformation, both by optimisation",
    "lddmm-opt": "affine, then a geodesic of deformations (LDDMM), both by optimisation",
    "affine-opt": "affine only, by optimisation",
    "avsm": "affine and deformation predicted by the networks, then refined as asked",
    "avsm-affine": "affine only, predicted by the network",
}
METHODS = tuple(METHOD_DESCRIPTIONS)
SIDES = ("auto", "right", "left")
DEVICES = ("auto", "cpu", "cuda", "mps")
#: Agreement in small windows, whatever brightness and contrast are there.
LOCAL_SIMILARITIES = ("likelihood", "lncc")
SIMILARITIES = (*LOCAL_SIMILARITIES, "ncc", "mk-lncc")
AFFINE_MODELS = ("rigid", "similarity", "affine")
INITIALIZATIONS = ("auto", "identity", "center", "moments")
INTEGRATORS = ("scaling-squaring", "rk4")
OPTIMIZERS = ("lbfgs", "adam")
VSVF_OPTIMIZERS = ("kernel-lbfgs", *OPTIMIZERS)


def _choice(owner: str, name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{owner}.{name}: {value!r} is unknown; choose one of {', '.join(allowed)}")


def _range(owner: str, name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{owner}.{name}: a finite number is needed, but {value!r} was given")
    if not low <= value <= high:
        raise ConfigError(f"{owner}.{name}: {value!r} is out of range; give a value from {low:g} to {high:g}")


@dataclass(frozen=True)
class PreprocessConfig:
    """How images become what is compared (spec, section 1, "Intensity").

    ``max_working_voxels`` bounds the working grid; 192 x 192 x 80 is the published size.
    """

    lower_percentile: float = 0.1
    upper_percentile: float = 99.9
    max_working_voxels: int = 192 * 192 * 80

    def __post_init__(self) -> None:
        _range("preprocess", "lower_percentile", self.lower_percentile, 0, 49)
        _range("preprocess", "upper_percentile", self.upper_percentile, 51, 100)
        _range("preprocess", "max_working_voxels", self.max_working_voxels, 1000, 1e9)


@dataclass(frozen=True)
class SimilarityConfig:
    """Which image similarity drives a stage.

    "likelihood": how well a linear relation in each window explains the images, the noise estimated there; "lncc":
    signed local correlation. ``window_voxels`` (the window's side) and ``noise`` (standard deviation, in normalised
    intensity, that keeps windows without structure from pulling) are for these two; mk-lncc is as published.
    """

    name: str = "likelihood"
    window_voxels: int = 9
    noise: float = 0.03

    def __post_init__(self) -> None:
        _choice("similarity", "name", self.name, SIMILARITIES)
        _range("similarity", "window_voxels", self.window_voxels, 3, 65)
        _range("similarity", "noise", self.noise, 0, 1)


@dataclass(frozen=True)
class AffineConfig:
    """Multi-resolution affine optimisation. ``levels`` are shrink factors of the working grid.

    ``relate``: as in :class:`VsvfConfig`.
    """

    model: str = "affine"
    initialization: str = "auto"
    similarity: SimilarityConfig = field(default_factory=SimilarityConfig)
    levels: tuple[int, ...] = (8, 4, 2)
    iterations: int = 40
    tolerance: float = 1e-5
    relate: bool = True

    def __post_init__(self) -> None:
        _choice("affine", "model", self.model, AFFINE_MODELS)
        _choice("affine", "initialization", self.initialization, INITIALIZATIONS)
        _range("affine", "iterations", self.iterations, 0, 10000)
        _range("affine", "tolerance", self.tolerance, 0, 1)
        _levels("affine", self.levels)


@dataclass(frozen=True)
class KernelConfig:
    """Momentum to velocity: kernel sigmas in mm and their weights.

    The published kernel, 0.05 to 0.25 of the unit cube with weights proportional to sigma (spec,
    section 4), is 7 to 35 mm on a 140 mm field of view; ours begins finer.
    """

    sigmas_mm: tuple[float, ...] = (4.0, 8.0, 16.0, 32.0)
    weights: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4)

    def __post_init__(self) -> None:
        if not self.sigmas_mm or len(self.sigmas_mm) != len(self.weights):
            raise ConfigError(
                f"velocity.weights: one weight per sigma is needed, but there are {len(self.sigmas_mm)} sigmas "
                f"and {len(self.weights)} weights"
            )
        for sigma in self.sigmas_mm:
            _range("velocity", "sigmas_mm", sigma, 0.1, 500)
        for weight in self.weights:
            _range("velocity", "weights", weight, 0, 1)
        if abs(sum(self.weights) - 1) > 1e-6:
            raise ConfigError(f"velocity.weights: must sum to 1, but sum to {sum(self.weights):g}")


@dataclass(frozen=True)
class VelocityConfig(KernelConfig):
    """Momentum to a velocity that stays as it is, and the integrator that makes it a map.

    Finer than other kernels, since cartilage is 2 to 3 mm thick; small weights make fine detail dear, large ones
    broad motion cheap (docs/method.md).
    """

    sigmas_mm: tuple[float, ...] = (2.0, 4.0, 8.0, 16.0, 32.0)
    weights: tuple[float, ...] = (0.02, 0.04, 0.10, 0.25, 0.59)
    integrator: str = "scaling-squaring"
    steps: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        _choice("velocity", "integrator", self.integrator, INTEGRATORS)
        _range("velocity", "steps", self.steps, 1, 200)


#: How much detail a deformation takes on, by the kernel's weights: less of the fine scales follows less noise, and
#: less of what differs between two people (docs/method.md, "How a momentum is optimised").
DETAIL_WEIGHTS: dict[str, tuple[float, ...]] = {
    "fine": VelocityConfig.weights,
    "smooth": (0.01, 0.03, 0.10, 0.26, 0.60),
}


def with_detail(velocity: VelocityConfig, detail: str) -> VelocityConfig:
    """``velocity`` with the named kernel of :data:`DETAIL_WEIGHTS`.

    Raises:
        ConfigError: if there is no such name.
    """
    _choice("velocity", "detail", detail, tuple(DETAIL_WEIGHTS))
    return dataclasses.replace(velocity, sigmas_mm=VelocityConfig.sigmas_mm, weights=DETAIL_WEIGHTS[detail])


def detail_of(velocity: VelocityConfig) -> str:
    """Return which of :data:`DETAIL_WEIGHTS` the kernel is; "fine" for one of its own."""
    return next((name for name in DETAIL_WEIGHTS if with_detail(velocity, name) == velocity), "fine")


@dataclass(frozen=True)
class VsvfConfig:
    """vSVF optimisation: momentum as the unknown (spec, section 7).

    ``relate``: first replace grey values by what they have in common, where that explains the images much better
    (other contrast).
    ``optimizer``: "kernel-lbfgs" is L-BFGS in the kernel's metric, "lbfgs" and "adam" take the momentum's plain
    gradient.
    """

    similarity: SimilarityConfig = field(default_factory=SimilarityConfig)
    velocity: VelocityConfig = field(default_factory=VelocityConfig)
    regularity: float = 5.0
    levels: tuple[int, ...] = (4, 2, 1)
    iterations: int = 30
    optimizer: str = "kernel-lbfgs"
    tolerance: float = 1e-5
    relate: bool = True

    def __post_init__(self) -> None:
        _optimized("vsvf", self, VSVF_OPTIMIZERS)


@dataclass(frozen=True)
class LddmmConfig:
    """LDDMM optimisation: the initial momentum of a geodesic as the unknown (spec, section 7).

    As :class:`VsvfConfig`, but the momentum changes along the way; ``steps`` are those of EPDiff, at least.
    """

    similarity: SimilarityConfig = field(default_factory=SimilarityConfig)
    velocity: KernelConfig = field(default_factory=KernelConfig)
    steps: int = 5
    regularity: float = 10.0
    levels: tuple[int, ...] = (4, 2, 1)
    iterations: int = 30
    optimizer: str = "lbfgs"
    tolerance: float = 1e-5
    relate: bool = True

    def __post_init__(self) -> None:
        _range("lddmm", "steps", self.steps, 1, 200)
        _optimized("lddmm", self, OPTIMIZERS)


@dataclass(frozen=True)
class LandmarkConfig:
    """What given landmark pairs do: ``start`` the registration, and pull at the deformation.

    ``weight``: of the pairs' mean squared distance (mm^2) in the energy of the deformable part; 0 for none.
    ``tolerance_mm``: how exactly pairs are placed; only what a pair is farther apart than this counts.
    ``robust_mm``: a pair yet farther apart than this pulls no harder (docs/method.md).
    """

    weight: float = 0.03
    tolerance_mm: float = 1.5
    robust_mm: float = 3.0
    start: bool = True

    def __post_init__(self) -> None:
        _range("landmarks", "weight", self.weight, 0, 1000)
        _range("landmarks", "tolerance_mm", self.tolerance_mm, 0, 100)
        _range("landmarks", "robust_mm", self.robust_mm, 0.1, 1000)


@dataclass(frozen=True)
class NetworkConfig:
    """The networks: which knee, how many steps, and how many iterations of instance optimisation follow.

    ``side`` "auto" finds out whether the knees are right or left ones.
    ``refine_affine``: refine the affine too, before the deformation; it lowers the energy, but takes
    cartilage apart (docs/method.md).
    ``fallback``: where the networks' weights are missing, the optimisers do their work, and the result's
    notes say so; off, that is an error.
    """

    side: str = "auto"
    affine_steps: int = 7
    vsvf_steps: int = 2
    refine: int = 20
    refine_affine: bool = False
    fallback: bool = True

    def __post_init__(self) -> None:
        _choice("network", "side", self.side, SIDES)
        _range("network", "affine_steps", self.affine_steps, 1, 20)
        _range("network", "vsvf_steps", self.vsvf_steps, 1, 10)
        _range("network", "refine", self.refine, 0, 10000)


@dataclass(frozen=True)
class RegistrationConfig:
    """One registration: method, device, and a block per stage.

    ``check_side``: refuse, whatever the method, a left knee on a right one where both are certain; only
    while ``network.side`` is "auto".
    """

    method: str = "avsm"
    device: str = "auto"
    check_side: bool = True
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    affine: AffineConfig = field(default_factory=AffineConfig)
    vsvf: VsvfConfig = field(default_factory=VsvfConfig)
    lddmm: LddmmConfig = field(default_factory=LddmmConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    landmarks: LandmarkConfig = field(default_factory=LandmarkConfig)

    def __post_init__(self) -> None:
        _choice("registration", "method", self.method, METHODS)
        _choice("registration", "device", self.device, DEVICES)

    @property
    def refinement(self) -> VsvfConfig:
        """What follows the networks of avsm."""
        return dataclasses.replace(self.vsvf, iterations=self.network.refine, levels=self.vsvf.levels[-2:])

    @property
    def deformation(self) -> VsvfConfig | LddmmConfig | None:
        """What optimises the method's deformation; None for a method that is affine."""
        if self.method == "lddmm-opt":
            return self.lddmm
        return {"vsvf-opt": self.vsvf, "avsm": self.refinement}.get(self.method)


def _optimized(owner: str, config: VsvfConfig | LddmmConfig, optimizers: tuple[str, ...]) -> None:
    """What the optimisers of a momentum have in common."""
    _range(owner, "regularity", config.regularity, 0, 1e9)
    _range(owner, "iterations", config.iterations, 0, 10000)
    _range(owner, "tolerance", config.tolerance, 0, 1)
    _choice(owner, "optimizer", config.optimizer, optimizers)
    _levels(owner, config.levels)


def _levels(owner: str, levels: tuple[int, ...]) -> None:
    if not levels:
        raise ConfigError(f"{owner}.levels: at least one shrink factor is needed")
    for level in levels:
        _range(owner, "levels", level, 1, 64)
    if list(levels) != sorted(levels, reverse=True):
        raise ConfigError(f"{owner}.levels: must go from coarse to fine, but are {levels}")
