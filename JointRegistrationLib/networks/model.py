"""AVSM: affine network, then vSVF steps, and what they give (spec, sections 2 to 4)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.config import VelocityConfig
from ..core.errors import ConfigError
from ..core.geometry import Grid
from ..core.lattices.working_grid import momentum_grid
from ..ops import integrate, maps
from ..ops.separable import smoothing
from .affine import LandmarkAffineNet, PublishedAffineNet, multi_step_affine
from .momentum import FastMomentumNet, LightMomentumNet, PublishedMomentumNet, momentum_ras

AFFINE_NETWORKS = ("landmarks", "published")
MOMENTUM_NETWORKS = ("fast", "published", "light")


#: Finer than the published kernel, see docs/method.md.
OUR_KERNEL = VelocityConfig(sigmas_mm=(3.0, 5.0, 10.0, 20.0, 35.0), weights=(0.15, 0.20, 0.25, 0.20, 0.20), steps=8)


@dataclass(frozen=True)
class ModelConfig:
    """Architecture: everything that must agree for weights to fit, and how they were meant to be run.

    ``lattice_ijk``: size of the canonical lattice that these weights were trained on, see ``predict``.
    ``affine_spacing_mm``: the affine network sees the working images averaged over whole blocks of
    voxels, an axis at a time, to about this spacing; 0 for the images as they are (published).
    ``momentum_scale_mm``: see :func:`~.momentum.momentum_ras`; 0 stands for the field of view.
    """

    lattice_ijk: tuple[int, ...] = (96, 96, 40)
    affine_network: str = "landmarks"
    affine_spacing_mm: float = 5.8
    affine_steps: int = 7
    momentum_network: str = "fast"
    momentum_channels: tuple[int, ...] = (24, 64, 96, 128)
    momentum_scale_mm: float = 10.0
    vsvf_steps: int = 3
    velocity: VelocityConfig = field(default_factory=lambda: OUR_KERNEL)

    def __post_init__(self) -> None:
        if self.affine_network not in AFFINE_NETWORKS:
            raise ConfigError(
                f"model.affine_network: {self.affine_network!r} is unknown; choose one of {', '.join(AFFINE_NETWORKS)}"
            )
        if self.momentum_network not in MOMENTUM_NETWORKS:
            raise ConfigError(
                f"model.momentum_network: {self.momentum_network!r} is unknown; "
                f"choose one of {', '.join(MOMENTUM_NETWORKS)}"
            )
        if len(self.lattice_ijk) != 3 or min(self.lattice_ijk) < 16:
            raise ConfigError(f"model.lattice_ijk: three sizes from 16 are needed, not {self.lattice_ijk}")
        if len(self.momentum_channels) != 4 or min(self.momentum_channels) < 8:
            raise ConfigError(f"model.momentum_channels: four numbers from 8 are needed, not {self.momentum_channels}")
        if self.affine_spacing_mm < 0 or self.momentum_scale_mm < 0:
            raise ConfigError("model: affine_spacing_mm and momentum_scale_mm are lengths, from 0")
        if self.affine_steps < 1 or self.vsvf_steps < 0:
            raise ConfigError("model: affine_steps start from 1, vsvf_steps from 0")


#: The published kernel in mm of a 140 mm field of view (spec, section 4), and its ten Runge-Kutta steps.
PUBLISHED_KERNEL = VelocityConfig(
    sigmas_mm=(7.0, 14.0, 21.0, 28.0, 35.0),
    weights=(1 / 15, 2 / 15, 3 / 15, 4 / 15, 5 / 15),
    integrator="rk4",
    steps=10,
)
#: The published system: its networks, its units, its kernel, its grid for both parts.
PUBLISHED = ModelConfig(
    lattice_ijk=(192, 192, 80),
    affine_network="published",
    affine_spacing_mm=0.0,
    momentum_network="published",
    momentum_scale_mm=0.0,
    velocity=PUBLISHED_KERNEL,
)


@dataclass(frozen=True)
class VsvfStep:
    """One vSVF step.

    Args:
        momentum_mm, velocity_mm: (N, 3, d, h, w) RAS on ``momentum_grid``.
        map_ras: (N, 3, D, H, W) fixed to moving on the working grid, all steps so far and the affine.
    """

    momentum_mm: Tensor
    velocity_mm: Tensor
    map_ras: Tensor


@dataclass(frozen=True)
class AVSMOutput:
    """What AVSM predicts for a batch of pairs on one working grid.

    Args:
        affines_ras: (N, 4, 4) after every affine step, fixed points to moving points.
        steps: the vSVF steps in order; empty for none.
        psi_displacement_mm: (N, 3, d, h, w) RAS on ``momentum_grid``: psi minus identity, where
            psi = psi_1 o psi_2 o ..., psi_k = Exp(-v_k); moving point = A(psi(x)).
        map_ras: (N, 3, D, H, W), A o psi on the working grid.
        warped: (N, 1, D, H, W), the original moving image resampled once through ``map_ras``.
        momentum_grid: lattice of momenta, velocities and psi.
    """

    affines_ras: list[Tensor]
    steps: list[VsvfStep]
    psi_displacement_mm: Tensor
    map_ras: Tensor
    warped: Tensor
    momentum_grid: Grid

    @property
    def affine_ras(self) -> Tensor:
        """The last affine, (N, 4, 4)."""
        return self.affines_ras[-1]

    @property
    def velocities_mm(self) -> list[Tensor]:
        """The velocity of every step."""
        return [step.velocity_mm for step in self.steps]


def compose_step(psi_mm: Tensor, velocity_mm: Tensor, grid: Grid, config: VelocityConfig) -> Tensor:
    """Displacement of psi o Exp(-v) from the displacement of psi, all (N, 3, d, h, w) on ``grid``."""
    step_mm = integrate.exponential(-velocity_mm, grid, method=config.integrator, steps=config.steps)
    points = maps.from_displacement(step_mm, grid)
    return step_mm + maps.sample(psi_mm, grid, points, outside=None)


def inverse_psi(velocities_mm: list[Tensor], grid: Grid, config: VelocityConfig) -> Tensor:
    """Displacement of psi^-1 = Exp(v_K) o ... o Exp(v_1) on ``grid``, (N, 3, d, h, w) mm."""
    result = torch.zeros_like(velocities_mm[0])
    for velocity_mm in velocities_mm:
        step_mm = integrate.exponential(velocity_mm, grid, method=config.integrator, steps=config.steps)
        result = result + maps.sample(step_mm, grid, maps.from_displacement(result, grid), outside=None)
    return result


class AVSM(nn.Module):
    """Both networks and the vSVF integration. Images (N, 1, D, H, W) in [0, 1] on one working grid.

    The moving image must have been brought onto the fixed image's working grid by a rigid guess (as a
    rule: centres of the fields of view together); the affine is relative to that.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.affine: LandmarkAffineNet | PublishedAffineNet = (
            LandmarkAffineNet() if config.affine_network == "landmarks" else PublishedAffineNet()
        )
        self.momentum = _momentum_network(config)

    def predict_affine(self, moving: Tensor, fixed: Tensor, grid: Grid, steps: int | None = None) -> list[Tensor]:
        """RAS matrices (N, 4, 4), fixed to moving, after every affine step; see :func:`.multi_step_affine`."""
        blocks = affine_blocks(grid, self.config.affine_spacing_mm)
        coarse = shrunk_grid(grid, blocks)
        small_moving, small_fixed = (shrunk(image, blocks) for image in (moving, fixed))
        return multi_step_affine(
            self.affine,
            small_moving,
            small_fixed,
            coarse,
            steps or self.config.affine_steps,
            fixed_side=isinstance(self.affine, LandmarkAffineNet),
        )

    def predict_momentum(self, warped: Tensor, fixed: Tensor, grid: Grid) -> Tensor:
        """One step's momentum (N, 3, d, h, w), RAS mm, on :func:`~.working_grid.momentum_grid` of ``grid``."""
        return momentum_ras(self.momentum(warped, fixed).float(), grid, self.config.momentum_scale_mm or None)

    def deform(self, moving: Tensor, fixed: Tensor, grid: Grid, affines_ras: list[Tensor], steps: int) -> AVSMOutput:
        """The vSVF steps from a given affine, each starting from the map before it."""
        low = momentum_grid(grid)
        points = maps.identity(grid, device=fixed.device).expand(len(fixed), -1, -1, -1, -1)
        psi_mm = torch.zeros(len(fixed), 3, *low.shape, device=fixed.device)
        map_ras = maps.apply_matrix(affines_ras[-1], points)
        warped = maps.warp(moving, grid, map_ras)
        done: list[VsvfStep] = []
        for _ in range(steps):
            momentum_mm = self.predict_momentum(warped, fixed, grid)
            velocity_mm = smoothing.velocity(momentum_mm, low, self.config.velocity)
            psi_mm = compose_step(psi_mm, velocity_mm, low, self.config.velocity)
            displaced = points + maps.upsampled(psi_mm, grid)
            map_ras = maps.apply_matrix(affines_ras[-1], displaced)
            warped = maps.warp(moving, grid, map_ras)
            done.append(VsvfStep(momentum_mm, velocity_mm, map_ras))
        return AVSMOutput(affines_ras, done, psi_mm, map_ras, warped, low)

    def forward(
        self, moving: Tensor, fixed: Tensor, grid: Grid, affine_steps: int | None = None, vsvf_steps: int | None = None
    ) -> AVSMOutput:
        """Register ``moving`` to ``fixed``; step counts default to the configuration's."""
        affines = self.predict_affine(moving, fixed, grid, affine_steps)
        return self.deform(moving, fixed, grid, affines, self.config.vsvf_steps if vsvf_steps is None else vsvf_steps)


def _momentum_network(config: ModelConfig) -> nn.Module:
    if config.momentum_network == "published":
        return PublishedMomentumNet()
    if config.momentum_network == "light":
        return LightMomentumNet()
    a, b, c, d = config.momentum_channels
    return FastMomentumNet((a, b, c, d))


def affine_blocks(grid: Grid, spacing_mm: float) -> tuple[int, int, int]:
    """Voxels (k, j, i) to average so that the spacing is about ``spacing_mm``; 1 for those coarser already."""
    i, j, k = (max(1, round(spacing_mm / s)) for s in grid.spacing_mm)
    return k, j, i


def shrunk(image: Tensor, blocks: tuple[int, int, int]) -> Tensor:
    """Mean over ``blocks`` of voxels; a last incomplete block counts."""
    return F.avg_pool3d(image, blocks, ceil_mode=True, count_include_pad=False) if max(blocks) > 1 else image


def shrunk_grid(grid: Grid, blocks: tuple[int, int, int]) -> Grid:
    """The lattice of :func:`shrunk` images: block centres."""
    factors = np.asarray(blocks[::-1])
    size = [max(2, -(-n // f)) for n, f in zip(grid.size_ijk, factors, strict=True)]
    matrix = grid.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ ((factors - 1) / 2)
    matrix[:3, :3] *= factors
    return Grid.from_ijk_to_ras(size, matrix)
