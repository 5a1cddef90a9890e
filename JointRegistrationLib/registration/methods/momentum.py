"""Optimise a momentum, and integrate its velocity to a map."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from ...core.config import KernelConfig, LddmmConfig, SimilarityConfig, VelocityConfig, VsvfConfig
from ...core.geometry import FloatArray, Grid
from ...core.progress import Reporter
from ...ops.folds import unfolded
from ...ops.integrate import exponential
from ...ops.maps import apply_matrix, compose_displacement, from_displacement
from ...ops.regularity import momentum_energy, momentum_energy_unit
from ...ops.separable.smoothing import smooth
from ...ops.similarity.image_pair import ImagePair, LatticeDissimilarity
from ..landmarks import LandmarkTerm
from ..local_map import LocalMap
from .optimizers import minimize, minimize_in_kernel

#: How far the first trial step moves the fastest point, before any curvature is known.
_FIRST_STEP_VOXELS = 0.5


def momentum_grid(grid: Grid) -> Grid:
    """The lattice of the momentum: half the size, rounded up (spec, section 4, "Resolution")."""
    return grid.resized([max((n + 1) // 2, 2) for n in grid.size_ijk])


def upsample(field: Tensor, target: Grid) -> Tensor:
    """A field on a corner-aligned coarser lattice, linearly interpolated on ``target``."""
    return F.interpolate(field, size=target.shape, mode="trilinear", align_corners=True)


def velocity(momentum: Tensor, grid: Grid, config: KernelConfig) -> Tensor:
    """v = K m (spec, section 4): (1, 3, D, H, W) RAS mm per unit time."""
    return smooth(momentum, grid, config.sigmas_mm, config.weights)


def local_map(momentum: Tensor, grid: Grid, config: VelocityConfig) -> LocalMap:
    """Both directions of the flow of a momentum."""
    v = velocity(momentum, grid, config)
    forward, backward = (exponential(sign * v, grid, method=config.integrator, steps=config.steps) for sign in (-1, 1))
    return LocalMap(forward, backward, grid)


class Flow(NamedTuple):
    """What a momentum gives: v = K m, and the displacement of psi, both (1, 3, d, h, w) RAS mm."""

    velocity_mm: Tensor
    forward_mm: Tensor


def velocity_flow(velocity_mm: Tensor, grid: Grid, config: VelocityConfig) -> Flow:
    """Exp(-v) of a velocity that stays as it is."""
    return Flow(velocity_mm, exponential(-velocity_mm, grid, method=config.integrator, steps=config.steps))


def optimize_momentum(
    pair: ImagePair,
    affine_ras: FloatArray,
    config: VsvfConfig | LddmmConfig,
    flow: Callable[[Tensor, Grid], Flow],
    *,
    initial_momentum: Tensor | None = None,
    before: LocalMap | None = None,
    landmarks: LandmarkTerm | None = None,
    reporter: Reporter | None = None,
) -> tuple[Tensor, Grid]:
    """Coarse to fine, whatever a momentum's flow is: ``flow(momentum, grid)``. See :func:`.vsvf_opt`.

    Where the map folds in the end, the momentum is weakened until it does not (:func:`.unfolded`).
    """
    reporter = reporter or Reporter()
    levels = [pair.shrunk(factor) for factor in config.levels]
    total = sum(level.fixed.numel() for level in levels)
    grid = momentum_grid(levels[0].fixed_grid)
    momentum = pair.fixed.new_zeros(1, 3, *grid.shape) if initial_momentum is None else initial_momentum
    done = 0.0
    for level in levels:
        grid = momentum_grid(level.fixed_grid)
        share = level.fixed.numel() / total
        part = reporter.part(done, done + share)
        momentum = _optimize(level, affine_ras, grid, config, flow, upsample(momentum, grid), before, landmarks, part)
        done += share

    def whole(momentum: Tensor) -> Tensor:
        return _applied_to(before, from_displacement(flow(momentum, grid).forward_mm, grid))

    return unfolded(momentum, grid, whole), grid


def _applied_to(before: LocalMap | None, psi: Tensor) -> Tensor:
    """before o psi; ``psi`` (1, 3, ...) RAS mm."""
    return psi if before is None else compose_displacement(before.forward_mm, before.grid, psi)


def _optimize(
    pair: ImagePair,
    affine_ras: FloatArray,
    grid: Grid,
    config: VsvfConfig | LddmmConfig,
    flow: Callable[[Tensor, Grid], Flow],
    start: Tensor,
    before: LocalMap | None,
    landmarks: LandmarkTerm | None,
    reporter: Reporter,
) -> Tensor:
    """One level: the momentum on ``grid``, from ``start``."""
    mismatch = _Mismatch(pair, affine_ras, grid, config.similarity, before, landmarks)
    if isinstance(config, VsvfConfig) and config.optimizer == "kernel-lbfgs":
        kernel = config.velocity
        return minimize_in_kernel(
            start.detach(),
            lambda field: velocity(field, grid, kernel),
            lambda v: mismatch(velocity_flow(v, grid, kernel).forward_mm),
            weight=config.regularity * momentum_energy_unit(grid),
            first_step=_FIRST_STEP_VOXELS * min(grid.spacing_mm),
            iterations=config.iterations,
            tolerance=config.tolerance,
            reporter=reporter,
        )
    momentum = start.detach().clone().requires_grad_(True)

    def energy() -> Tensor:
        v, u = flow(momentum, grid)
        return mismatch(u) + config.regularity * momentum_energy(momentum, v, grid)

    def first_step(gradient: Tensor) -> float:
        fastest = float(velocity(gradient, grid, config.velocity).norm(dim=1).max())
        return _FIRST_STEP_VOXELS * min(grid.spacing_mm) / max(fastest, 1e-12)

    minimize(
        momentum,
        energy,
        optimizer=config.optimizer,
        iterations=config.iterations,
        tolerance=config.tolerance,
        reporter=reporter,
        first_step=first_step,
    )
    return momentum.detach()


class _Mismatch:
    """What a displacement of psi costs at one level: of the images under A o before o psi, and of the landmarks.

    The maps are composed on the momentum's lattice, an eighth of the image's points, as in the result.
    """

    def __init__(
        self,
        pair: ImagePair,
        affine_ras: FloatArray,
        grid: Grid,
        similarity: SimilarityConfig,
        before: LocalMap | None,
        landmarks: LandmarkTerm | None,
    ) -> None:
        self._affine_ras, self._grid, self._before, self._landmarks = affine_ras, grid, before, landmarks
        self._dissimilarity = LatticeDissimilarity(pair, similarity, grid)

    def __call__(self, forward_mm: Tensor) -> Tensor:
        """Scalar, differentiable; ``forward_mm`` (1, 3, d, h, w) RAS mm on the momentum's lattice."""
        total = self._dissimilarity(self._through(from_displacement(forward_mm, self._grid)))
        if self._landmarks is not None:
            total = total + self._landmarks(
                lambda points: self._through(compose_displacement(forward_mm, self._grid, points))
            )
        return total

    def _through(self, psi: Tensor) -> Tensor:
        return apply_matrix(self._affine_ras, _applied_to(self._before, psi))
