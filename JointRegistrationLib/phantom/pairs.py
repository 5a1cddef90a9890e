"""Pairs of procedural knees: with a known map between them, or at two flexion angles."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..core.geometry import Grid
from .anatomy import KneeAnatomy
from .deformation import Deformation, DeformationConfig, random_deformation
from .knee import Knee, make_knee, render_anatomy, working_grid
from .shapes.knee_shape import KneeShape, check_range, check_seed, random_shape
from .tissues.contrast import ContrastConfig


@dataclass(frozen=True)
class KneePair:
    """Two knees and the map between them.

    Args:
        fixed, moving: the knees, each on its grid; noise and bias differ.
        deformation: fixed RAS points to moving ones and back, at any point.
        displacement_field_mm: (k, j, i, 3) float32 on the fixed grid: moving point minus fixed
            point, RAS mm. Resamples the moving image onto the fixed grid.
    """

    fixed: Knee
    moving: Knee
    deformation: Deformation
    displacement_field_mm: npt.NDArray[np.float32]


def make_pair(
    seed: int,
    grid_fixed: Grid | None = None,
    grid_moving: Grid | None = None,
    deformation: DeformationConfig | Deformation | None = None,
    *,
    shape: KneeShape | None = None,
    contrast_fixed: ContrastConfig | None = None,
    contrast_moving: ContrastConfig | None = None,
    device: torch.device | str = "cpu",
) -> KneePair:
    """A knee and the same knee under a known diffeomorphism.

    The moving knee is the fixed knee's anatomy evaluated at the mapped points, T^-1(y): no image is
    resampled, so the map is exact for tissues and intensities but for noise, bias and partial volume.

    Args:
        seed: of everything random.
        grid_fixed: None for :func:`.knee.working_grid`.
        grid_moving: None for the fixed grid.
        deformation: how far apart, or the deformation itself.
        shape: the knee; None for a random one.
        contrast_fixed, contrast_moving: None for the default.

    Raises:
        ConfigError: if the seed is none.
    """
    check_seed("make_pair", seed)
    shape = shape or random_shape(np.random.default_rng(seed))
    grid_fixed = grid_fixed or working_grid()
    if not isinstance(deformation, Deformation):
        deformation = random_deformation(seed, deformation, device)
    fixed = make_knee(shape, grid_fixed, contrast=contrast_fixed, seed=2 * seed, device=device)
    moving = render_anatomy(
        KneeAnatomy(shape, device),
        grid_moving or grid_fixed,
        contrast_moving or ContrastConfig(),
        2 * seed + 1,
        shape.seed,
        device,
        deformation.inverse,
    )
    return KneePair(fixed, moving, deformation, deformation.displacement_field_mm(grid_fixed))


def make_flexion_pair(
    seed: int,
    flexion_deg: tuple[float, float] = (0.0, 20.0),
    grid_fixed: Grid | None = None,
    grid_moving: Grid | None = None,
    *,
    shape: KneeShape | None = None,
    contrast: ContrastConfig | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Knee, Knee]:
    """One knee at two flexion angles, fixed and moving: realistic, without a known map.

    Raises:
        ConfigError: if the seed is none or an angle is out of range.
    """
    check_seed("make_flexion_pair", seed)
    for angle in flexion_deg:
        check_range("make_flexion_pair", "flexion_deg", angle, 0.0, 35.0)
    shape = shape or random_shape(np.random.default_rng(seed))
    grid_fixed = grid_fixed or working_grid()
    grids = (grid_fixed, grid_moving or grid_fixed)
    fixed, moving = (
        make_knee(
            dataclasses.replace(shape, flexion_deg=angle), grid, contrast=contrast, seed=2 * seed + n, device=device
        )
        for n, (angle, grid) in enumerate(zip(flexion_deg, grids, strict=True))
    )
    return fixed, moving
