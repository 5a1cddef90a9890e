"""Results that no registration computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from JointRegistrationLib.core.config import RegistrationConfig
from JointRegistrationLib.core.geometry import Grid
from JointRegistrationLib.core.image import Image
from JointRegistrationLib.core.result import FoldCount, RegistrationResult
from JointRegistrationLib.core.structures import LABELS, Segmentation, SideGuess


def made_result(fixed: Grid, moving: Grid | None = None, **values: Any) -> RegistrationResult:
    """A result on two grids (one, if ``moving`` is None): the identity, or whatever its fields in ``values`` say."""
    moving = fixed if moving is None else moving
    identity: dict[str, Any] = {
        "affine_ras": np.eye(4),
        "displacement_field_mm": np.zeros((*fixed.shape, 3), np.float32),
        "inverse_displacement_field_mm": np.zeros((*moving.shape, 3), np.float32),
        "jacobian_determinant": np.ones(fixed.shape, np.float32),
        "warped": np.zeros(fixed.shape, np.float32),
        "folds": FoldCount(0, 0.0, 0),
        "similarity_before": 0.5,
        "similarity_after": 0.9,
        "inverse_error_mean_mm": 0.01,
        "inverse_error_max_mm": 0.1,
        "timings_s": {"total": 1.0},
        "config": RegistrationConfig(),
        "device": "cpu",
    }
    return RegistrationResult(fixed_grid=fixed, moving_grid=moving, **{**identity, **values})


def made_segmentation(image: Image) -> Segmentation:
    """The self-tests' stub's, see ``slabs`` there, without the panel: structures as slabs across the third axis."""
    slab = np.array([0, *LABELS.values(), 0], np.uint8)[np.arange(len(image.array)) * 9 // len(image.array)]
    labels = np.broadcast_to(slab[:, None, None], image.array.shape).copy()
    confidence = {**dict.fromkeys(LABELS, 0.9), "patellar cartilage": 0.5}
    return Segmentation(Image(labels, image.grid, "found"), confidence, SideGuess("right", 2.0))
