"""vSVF-opt: the non-parametric part by optimising the momentum (spec, section 7).

m* = argmin lambda <m, K m> + Sim(S o A o Exp(-K m), T): the velocity is stationary, v = K m, and acts
on the fixed side of the affine transform A. The momentum lives on a grid of half the resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .affine_opt import lbfgs
from .config import VelocityConfig, VsvfConfig
from .energy import Dissimilarity, ImagePair
from .geometry import FloatArray, Grid
from .integrate import exponential
from .losses import momentum_energy
from .maps import apply_matrix, from_displacement
from .preprocess import shrunk_grid
from .progress import Reporter
from .smoothing import smooth

_ADAM_STEP_MM = 0.5


@dataclass(frozen=True)
class LocalMap:
    """The non-parametric part of a registration, around the affine one.

    Args:
        forward_mm: u of psi(x) = x + u(x), (1, 3, D, H, W) RAS mm on ``grid``; the fixed point x goes
            to the moving point A(psi(x)).
        inverse_mm: w of psi^-1(x) = x + w(x), likewise.
        grid: a lattice over the fixed field of view.
    """

    forward_mm: Tensor
    inverse_mm: Tensor
    grid: Grid

    @classmethod
    def identity(cls, grid: Grid, like: Tensor) -> LocalMap:
        """No deformation."""
        zero = like.new_zeros(1, 3, *grid.shape)
        return cls(zero, zero, grid)


def momentum_grid(grid: Grid) -> Grid:
    """The lattice of the momentum: half the size, rounded up (spec, section 4, "Resolution")."""
    return grid.resized([max((n + 1) // 2, 2) for n in grid.size_ijk])


def upsample(field: Tensor, target: Grid) -> Tensor:
    """A field on a corner-aligned coarser lattice, linearly interpolated on ``target``."""
    return F.interpolate(field, size=target.shape, mode="trilinear", align_corners=True)


def velocity(momentum: Tensor, grid: Grid, config: VelocityConfig) -> Tensor:
    """v = K m (spec, section 4): (1, 3, D, H, W) RAS mm per unit time."""
    return smooth(momentum, grid, config.sigmas_mm, config.weights)


def local_map(momentum: Tensor, grid: Grid, config: VelocityConfig) -> LocalMap:
    """Both directions of the flow of a momentum."""
    v = velocity(momentum, grid, config)
    forward, backward = (exponential(sign * v, grid, method=config.integrator, steps=config.steps) for sign in (-1, 1))
    return LocalMap(forward, backward, grid)


def vsvf_opt(
    pair: ImagePair,
    affine_ras: FloatArray,
    config: VsvfConfig,
    *,
    initial_momentum: Tensor | None = None,
    reporter: Reporter | None = None,
) -> tuple[Tensor, Grid]:
    """Momentum (1, 3, d, h, w), RAS mm, and its grid, that makes the images most alike.

    Args:
        pair: normalised images.
        affine_ras: 4x4, fixed to moving, kept fixed.
        config: similarity, kernel, weights, levels, iterations, optimiser.
        initial_momentum: start on ``momentum_grid`` of the coarsest level; None for zero.
        reporter: receives progress; its cancel check is asked at every evaluation.

    Raises:
        RegistrationCancelled: if asked to stop.
    """
    reporter = reporter or Reporter()
    levels = [pair.shrunk(factor) for factor in config.levels]
    costs = [level.fixed.numel() for level in levels]
    momentum, done = initial_momentum, 0.0
    grid = momentum_grid(levels[0].fixed_grid)
    for level, cost in zip(levels, costs, strict=True):
        grid = momentum_grid(level.fixed_grid)
        start = pair.fixed.new_zeros(1, 3, *grid.shape) if momentum is None else upsample(momentum, grid)
        share = cost / sum(costs)
        momentum = _optimize(level, affine_ras, grid, config, start, reporter, done, share)
        done += share
    assert momentum is not None
    return momentum, grid


def _optimize(
    pair: ImagePair,
    affine_ras: FloatArray,
    grid: Grid,
    config: VsvfConfig,
    start: Tensor,
    reporter: Reporter,
    begin: float,
    share: float,
) -> Tensor:
    momentum = start.detach().clone().requires_grad_(True)
    dissimilarity = Dissimilarity(pair, config.similarity)
    optimizer: torch.optim.Optimizer = (
        lbfgs([momentum], history=5) if config.optimizer == "lbfgs" else torch.optim.Adam([momentum], lr=_ADAM_STEP_MM)
    )

    def closure() -> Tensor:
        reporter.update(begin + share * step / config.iterations)
        optimizer.zero_grad()
        v = velocity(momentum, grid, config.velocity)
        u = exponential(-v, grid, method=config.velocity.integrator, steps=config.velocity.steps)
        psi = from_displacement(upsample(u, pair.fixed_grid), pair.fixed_grid)
        energy = config.regularity * momentum_energy(momentum, v, grid)
        loss: Tensor = dissimilarity(apply_matrix(affine_ras, psi)) + energy
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    previous = float("inf")
    for step in range(config.iterations):
        if config.optimizer == "lbfgs" and step < 2:
            _set_first_step(optimizer, momentum, grid, config.velocity, closure if step == 0 else None)
        loss = float(optimizer.step(closure))
        reporter.update(begin + share * (step + 1) / config.iterations, loss)
        if previous - loss < config.tolerance * abs(previous) and step > 5:
            break
        previous = loss
    return momentum.detach()


def _set_first_step(
    optimizer: torch.optim.Optimizer,
    momentum: Tensor,
    grid: Grid,
    config: VelocityConfig,
    closure: Callable[[], Tensor] | None,
) -> None:
    """Let L-BFGS's first trial move the fastest point by half a voxel; 1 is right once it knows curvature.

    PyTorch divides the first step by the gradient's 1-norm where that is above 1; a momentum's
    gradient, spread over a million entries, would otherwise start with a step of next to nothing.
    """
    group = optimizer.param_groups[0]
    group["lr"] = 1.0
    if closure is None:
        return
    closure()
    assert momentum.grad is not None
    fastest = float(velocity(momentum.grad, grid, config).norm(dim=1).max())
    if fastest > 0:
        trial = 0.5 * min(grid.spacing_mm) / fastest
        group["lr"] = trial * max(1.0, float(momentum.grad.abs().sum()))
