"""Configuration of a training: plain values, JSON as saved form, presets for the paper's three stages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..core.errors import ConfigError
from ..networks.model import PUBLISHED, ModelConfig
from .data.augment import AugmentConfig
from .optimizer import OptimizerConfig

STAGES = ("affine", "vsvf", "joint")


@dataclass(frozen=True)
class DataConfig:
    """Where pairs come from.

    Args:
        pool: folder with the sub-folders ``train`` and ``validation`` (see ``pool``).
        shrink: voxels of the pool per voxel of training, along k, j, i.
        same_subject: share of pairs of one subject.
        last_images: use only this many images of each scan, the last ones (the DESS-like); 0 for all.
        augment: geometry given to both images.
        prealigned: for stage ``vsvf``: pairs are drawn as if registered by the affines of their label
            maps; otherwise the (frozen) affine network registers them.
        residual: for prealigned pairs: what the affine registration is taken to leave over.
        listed_pairs: draw only the pairs that ``joint-registration prepare`` listed, from the files
            ``pairs-train.csv`` and ``pairs-validation.csv`` of the pool (published); otherwise any two scans.
    """

    pool: str = "runs/pool"
    shrink: tuple[int, ...] = (2, 2, 2)
    same_subject: float = 0.15
    last_images: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    prealigned: bool = True
    residual: AugmentConfig = field(default_factory=lambda: AugmentConfig(1.5, 0.015, 0.01, 1.0))
    listed_pairs: bool = False


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; 0 leaves a term out.

    With label maps: ``points`` (mean distance in mm between predicted and label-derived affine),
    ``landmarks`` (the same for each landmark of the landmark
    network), ``heat_maps`` (cross entropy of its heat maps), ``distances`` (squared
    difference of clipped distance fields), ``overlap`` (1 - soft Dice of all structures).
    Without: ``similarity`` (NCC until ``local_from_epoch``, then mk-LNCC), ``affine_regularity``
    (epoch-dependent, spec section 2), ``affine_symmetry``, ``momentum``, ``map_symmetry``,
    ``gradient_symmetry`` (GradICON's term). Symmetric terms use both directions of each pair and
    begin at ``symmetric_from_epoch``.
    """

    points: float = 0.0
    landmarks: float = 0.0
    heat_maps: float = 0.0
    distances: float = 0.0
    overlap: float = 0.0
    overlap_softness_mm: float = 0.8
    similarity: float = 0.0
    local_from_epoch: int = 100
    affine_regularity: float = 0.0
    affine_regularity_scale: float = 10.0
    affine_regularity_hold: float = 10.0
    affine_symmetry: float = 0.0
    momentum: float = 0.0
    map_symmetry: float = 0.0
    gradient_symmetry: float = 0.0
    symmetric_from_epoch: int = 0


@dataclass(frozen=True)
class RunConfig:
    """What every run's configuration says. ``initial_weights`` are weights files to start from, later ones winning.

    ``device``: auto, cpu, cuda or mps. Random numbers come from the CPU, so that a seed means the same everywhere."""

    name: str = ""
    seed: int = 0
    model: Any = None
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    initial_weights: tuple[str, ...] = ()
    device: str = "auto"
    log_every: int = 20
    validate_every: int = 500
    save_every_seconds: float = 120.0


@dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """One training run of the registration network."""

    name: str = "affine"
    stage: str = "affine"
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    affine_steps: int = 1
    multi_step_from_step: int = 0
    vsvf_steps: int = 1
    mixed_precision: bool = False
    validation_pairs: int = 12

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise ConfigError(f"training.stage: {self.stage!r} is unknown; choose one of {', '.join(STAGES)}")
        if min(self.affine_steps, self.log_every, self.validate_every, *self.data.shrink) < 1:
            raise ConfigError("training: affine_steps, log_every, validate_every and data.shrink start from 1")
        if len(self.data.shrink) != 3:
            raise ConfigError(f"training.data.shrink: three numbers are needed, but {self.data.shrink} was given")


def _published(name: str, stage: str, losses: LossConfig, **changes: object) -> TrainingConfig:
    optimizer = OptimizerConfig(
        learning_rate=1e-4,
        schedule="published",
        warmup_steps=400,
        steps=500 * 200,
        steps_per_epoch=200,
        batch=1,
        accumulate=2,
        clip_norm=0.0,
    )
    data = DataConfig(shrink=(1, 1, 1), prealigned=False)
    base = TrainingConfig(name=name, stage=stage, model=PUBLISHED, data=data, losses=losses, optimizer=optimizer)
    return replace(base, **changes)  # type: ignore[arg-type]


_PUBLISHED_AFFINE = LossConfig(similarity=1.0, affine_regularity=1.0, affine_symmetry=1.0, symmetric_from_epoch=200)

_LABEL_LOSSES = LossConfig(distances=3.0, overlap=1.0, momentum=2.0)
_AFFINE_AUGMENT = AugmentConfig(6.0, 0.06, 0.03, 6.0, deformation_mm=2.0, deformation_sigma_mm=12.0)
_VSVF_AUGMENT = AugmentConfig(4.0, 0.05, 0.03, 4.0, deformation_mm=1.5, deformation_sigma_mm=12.0)

#: Named configurations. ``published-*`` are the paper's three stages (spec, sections 2 and 4).
PRESETS: dict[str, TrainingConfig] = {
    "affine": TrainingConfig(
        data=DataConfig(shrink=(4, 4, 4), augment=_AFFINE_AUGMENT),
        losses=LossConfig(points=0.5, landmarks=0.2, heat_maps=1.0),
        optimizer=OptimizerConfig(learning_rate=4e-3, batch=6, steps=5000),
        affine_steps=2,
    ),
    "affine-overlap": TrainingConfig(
        name="affine-overlap",
        data=DataConfig(augment=replace(_AFFINE_AUGMENT, deformation_mm=1.5)),
        losses=LossConfig(landmarks=0.05, heat_maps=0.3, distances=2.0, overlap=0.5),
        optimizer=OptimizerConfig(learning_rate=1e-3, batch=3, steps=800),
        affine_steps=2,
        initial_weights=("runs/affine/last.safetensors",),
    ),
    "vsvf": TrainingConfig(
        name="vsvf",
        stage="vsvf",
        data=DataConfig(augment=_VSVF_AUGMENT),
        losses=_LABEL_LOSSES,
        optimizer=OptimizerConfig(learning_rate=1.5e-3, steps=5000),
        mixed_precision=True,
    ),
    "joint": TrainingConfig(
        name="joint",
        stage="joint",
        data=DataConfig(augment=_VSVF_AUGMENT),
        losses=_LABEL_LOSSES,
        optimizer=OptimizerConfig(learning_rate=3e-4, steps=2000),
        affine_steps=3,
        vsvf_steps=2,
        mixed_precision=True,
        initial_weights=("runs/affine-overlap/last.safetensors", "runs/vsvf/last.safetensors"),
    ),
    "published-affine": _published("published-affine", "affine", _PUBLISHED_AFFINE),
    "published-multi-step": _published(
        "published-multi-step",
        "affine",
        replace(_PUBLISHED_AFFINE, affine_regularity_scale=0.1, affine_regularity_hold=1.0),
        affine_steps=3,
    ),
    "published-vsvf": _published(
        "published-vsvf",
        "vsvf",
        LossConfig(similarity=1.0, momentum=10.0, map_symmetry=500.0, symmetric_from_epoch=200),
        affine_steps=7,
        vsvf_steps=2,
    ),
}
