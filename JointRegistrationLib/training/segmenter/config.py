"""Configuration of a training of the segmenter, and its presets."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...core.errors import ConfigError
from ...networks.segmenter import SegmenterConfig
from ..config import RunConfig
from ..optimizer import OptimizerConfig
from .synthesis import SynthesisConfig

PARTS = ("trunk", "fine", "all")


@dataclass(frozen=True)
class SegmentDataConfig:
    """Where knees come from and what is drawn of them.

    Args:
        pool: folder with ``train`` and ``validation`` (see ``knee_codes``).
        synthesis: how images are drawn.
        shrink: voxels of the working lattice per voxel of training along each axis: 1 for all but the trunk.
        patch: size (D, H, W) of the part of the field of view on which the fine level learns, multiples of 4.
        real: folder of real images with bones to validate on (``lowfield_t2w.nii.gz``, ``lowfield_bones.nii.gz``);
            left out if they are not there.
    """

    pool: str = "runs/knees"
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    shrink: int = 1
    patch: tuple[int, ...] = (48, 96, 96)
    real: str = "../shared/data/real-knee"

    def __post_init__(self) -> None:
        if len(self.patch) != 3 or any(n < 4 or n % 4 for n in self.patch):
            raise ConfigError(f"training.data.patch: three multiples of 4 are needed, but {self.patch} was given")


@dataclass(frozen=True)
class SegmentLossConfig:
    """Weights of the terms.

    Args:
        dice: 1 - soft Dice, mean over all structures.
        cross_entropy: mean over voxels, each class by its weight.
        cartilage: weight of cartilage voxels in the cross entropy; background and bone have 1.
    """

    dice: float = 1.0
    cross_entropy: float = 1.0
    cartilage: float = 4.0


@dataclass(frozen=True)
class SegmentTrainingConfig(RunConfig):
    """One training run of the segmenter.

    ``part`` says what is trained: ``trunk`` alone, at half the resolution or less; the ``fine`` level on a
    trunk that stays; or ``all``.
    """

    name: str = "segment"
    part: str = "trunk"
    model: SegmenterConfig = field(default_factory=SegmenterConfig)
    data: SegmentDataConfig = field(default_factory=lambda: SegmentDataConfig(shrink=2))
    losses: SegmentLossConfig = field(default_factory=SegmentLossConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(batch=1))
    validate_every: int = 200

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ConfigError(f"training.part: {self.part!r} is unknown; choose one of {', '.join(PARTS)}")
        if self.data.shrink not in ((2, 4) if self.part == "trunk" else (1,)):
            raise ConfigError("training.data.shrink: 2 or 4 for the trunk alone, 1 for the other parts")
        if min(self.log_every, self.validate_every) < 1:
            raise ConfigError("training: log_every and validate_every start from 1")


#: In this order: the trunk at a quarter and at half of the resolution, then everything at full resolution.
SEGMENT_PRESETS = {
    "segment": SegmentTrainingConfig(
        data=SegmentDataConfig(shrink=4),
        optimizer=OptimizerConfig(batch=1, learning_rate=3e-3, steps=1000, warmup_steps=30),
    ),
    "segment-half": SegmentTrainingConfig(
        name="segment-half",
        data=SegmentDataConfig(shrink=2, synthesis=SynthesisConfig(samples=1)),
        optimizer=OptimizerConfig(batch=1, learning_rate=2e-3, steps=2000, warmup_steps=30),
        initial_weights=("runs/segment/last.safetensors",),
    ),
    "segment-full": SegmentTrainingConfig(
        name="segment-full",
        part="all",
        data=SegmentDataConfig(),
        optimizer=OptimizerConfig(batch=1, learning_rate=1e-3, steps=2000, warmup_steps=30),
        initial_weights=("runs/segment-half/last.safetensors",),
    ),
}
