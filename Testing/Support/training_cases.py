"""A pool of made-up knees, small enough for tests: nested ellipsoids in six structures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from JointRegistrationLib.training.config import (
    AugmentConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    TrainingConfig,
)
from JointRegistrationLib.training.data.labels import canonical_grid, quantized, signed_distance_mm
from JointRegistrationLib.training.data.pool import Pool, Scan

SPACING = (3.0, 3.0, 3.0)
SHAPE = (16, 16, 16)


def tiny_scan(subject: int, visit: int) -> Scan:
    """Six balls, displaced and scaled by subject and a little by visit."""
    rng = np.random.default_rng(subject)
    shift = rng.normal(0, 1.5, 3) + 0.3 * visit
    k, j, i = np.meshgrid(*(np.arange(n) * 3.0 for n in SHAPE), indexing="ij")
    centres = [(22, 32, 22), (22, 26, 22), (22, 12, 22), (22, 18, 22), (22, 30, 36), (22, 30, 32)]
    radii = [9, 7, 9, 7, 6, 5]
    distances = np.stack(
        [
            signed_distance_mm(
                sum((x - c - s) ** 2 for x, c, s in zip((k, j, i), centre, shift, strict=True)) < radius**2, SPACING
            )
            for centre, radius in zip(centres, radii, strict=True)
        ]
    )
    levels = np.array([0.3, 0.9, 0.4, 0.8, 0.5, 0.7])
    image = np.max((distances < 0) * levels[:, None, None, None], axis=0) + 0.02 * rng.random(SHAPE)
    images = torch.from_numpy((255 * np.stack([image, image**1.2])).astype(np.uint8))
    labels = torch.from_numpy(((distances < 0) * np.arange(1, 7)[:, None, None, None]).max(axis=0).astype(np.uint8))
    affine = np.eye(4)
    affine[:3, 3] = [shift[0], shift[2], shift[1]]  # k, i, j run along R, A, S
    return Scan(f"{subject}_{visit}", str(subject), images, torch.from_numpy(quantized(distances)), labels, affine)


def tiny_pool(subjects: int = 3) -> Pool:
    """Two visits of each subject."""
    scans = tuple(tiny_scan(s, v) for s in range(subjects) for v in range(2))
    return Pool(scans, canonical_grid(SHAPE, SPACING))


MODEL = ModelConfig(momentum_channels=(8, 8, 8, 8), affine_spacing_mm=0.0, affine_steps=2, vsvf_steps=2)


def tiny_config(stage: str = "joint", **changes: object) -> TrainingConfig:
    """A run of a few steps, every label loss on."""
    values = {
        "stage": stage,
        "model": MODEL,
        "affine_steps": 2,
        "vsvf_steps": 2,
        "data": DataConfig(augment=AugmentConfig(3.0, 0.03, 0.01, 1.5)),
        "losses": LossConfig(distances=1.0, overlap=1.0, momentum=1.0),
        "optimizer": OptimizerConfig(learning_rate=1e-3, steps=6, batch=2, warmup_steps=2, steps_per_epoch=2),
        "log_every": 2,
        "validate_every": 3,
        "validation_pairs": 2,
    }
    return TrainingConfig(**{**values, **changes})  # type: ignore[arg-type]


def knee_labels() -> np.ndarray:
    """A crude knee (D, H, W): blocks for femur, tibia, patella, cartilage between them."""
    labels = np.zeros((16, 32, 32), np.uint8)
    labels[3:13, 18:, 8:22] = 1
    labels[3:13, 16:18, 8:22] = 2
    labels[3:13, :13, 8:22] = 3
    labels[3:13, 13:15, 8:22] = 4
    labels[5:11, 19:28, 25:30] = 5
    labels[5:11, 19:28, 24:25] = 6
    return labels


def shared_config(accumulate: int = 2) -> TrainingConfig:
    config = tiny_config("vsvf", losses=LossConfig(distances=1.0, overlap=1.0, momentum=1.0))
    optimizer = replace(config.optimizer, steps=4, batch=1, accumulate=accumulate)
    return replace(config, optimizer=optimizer, device="cpu", validate_every=4, vsvf_steps=1)
