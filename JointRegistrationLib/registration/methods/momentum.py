"""The deformation that makes two images most alike: its momentum by optimisation, coarse to fine.

The momentum lives on a lattice of half the resolution; what map it leads to is vSVF's or LDDMM's, by the settings.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...core.config import LddmmConfig, SimilarityConfig, VsvfConfig
from ...core.geometry import FloatArray, Grid
from ...core.lattices.working_grid import momentum_grid
from ...core.progress import Reporter
from ...ops.folds import unfolded
from ...ops.maps import apply_matrix, compose_displacement, from_displacement, upsampled
from ...ops.regularity import momentum_energy, momentum_energy_unit
from ...ops.separable.smoothing import velocity
from ...ops.similarity.image_pair import ImagePair, LatticeDissimilarity
from ...ops.similarity.relation import better_relation, related
from ..landmarks import LandmarkTerm
from ..local_map import LocalMap, map_through
from .lddmm import geodesic_flow, geodesic_map
from .optimizers import minimize, minimize_in_kernel
from .vsvf import Flow, local_map, velocity_flow

#: How far the first trial step moves the fastest point, before any curvature is known.
_FIRST_STEP_VOXELS = 0.5


def deformation(
    pair: ImagePair,
    affine_ras: FloatArray,
    config: VsvfConfig | LddmmConfig,
    reporter: Reporter,
    *,
    before: LocalMap | None = None,
    landmarks: LandmarkTerm | None = None,
) -> tuple[LocalMap, tuple[str, ...]]:
    """The deformation of the momentum that :func:`optimize_momentum` finds, and notes; ``before`` is not in it.

    Where the settings ask for it and it explains the images much better, their grey values are first replaced by what
    they have in common under A o ``before``, see :mod:`...ops.similarity.relation`.
    """
    pair, notes = _with_common_grey_values(pair, affine_ras, before) if config.relate else (pair, ())
    momentum, grid = optimize_momentum(pair, affine_ras, config, reporter, before=before, landmarks=landmarks)
    with torch.no_grad():
        if isinstance(config, LddmmConfig):
            return geodesic_map(momentum, grid, config), notes
        return local_map(momentum, grid, config.velocity), notes


def optimize_momentum(
    pair: ImagePair,
    affine_ras: FloatArray,
    config: VsvfConfig | LddmmConfig,
    reporter: Reporter,
    *,
    before: LocalMap | None = None,
    landmarks: LandmarkTerm | None = None,
) -> tuple[Tensor, Grid]:
    """Momentum (1, 3, d, h, w), RAS mm, and its grid, that makes the images most alike.

    Where the map folds in the end, the momentum is weakened until it does not (:func:`.unfolded`).

    Args:
        pair: normalised images.
        affine_ras: 4x4, fixed to moving, kept fixed.
        config: similarity, kernel, weights, levels, iterations, optimiser.
        reporter: receives progress; its cancel check is asked at every evaluation.
        before: a deformation already found, kept fixed; the new one acts on its fixed side, so that the
            fixed point x goes to A(before(psi(x))). None for none.
        landmarks: a term of the energy beside the images; None for none.

    Raises:
        RegistrationCancelled: if asked to stop.
    """
    levels = [pair.shrunk(factor) for factor in config.levels]
    total = sum(level.fixed.numel() for level in levels)
    grid = momentum_grid(levels[0].fixed_grid)
    momentum = pair.fixed.new_zeros(1, 3, *grid.shape)
    done = 0.0
    for level in levels:
        grid = momentum_grid(level.fixed_grid)
        share = level.fixed.numel() / total
        mismatch = _Mismatch(level, affine_ras, grid, config.similarity, before, landmarks)
        start = upsampled(momentum, grid).detach()
        momentum = _optimize(mismatch, start, grid, config, reporter.part(done, done + share))
        done += share

    def whole(momentum: Tensor) -> Tensor:
        return _applied_to(before, from_displacement(_flow(momentum, grid, config).forward_mm, grid))

    return unfolded(momentum, grid, whole), grid


def _with_common_grey_values(
    pair: ImagePair, affine_ras: FloatArray, before: LocalMap | None
) -> tuple[ImagePair, tuple[str, ...]]:
    found = better_relation(pair, map_through(affine_ras, before, pair.fixed_grid, pair.fixed))
    if found is None:
        return pair, ()
    relation, plain = found
    return related(pair, relation), (
        "The images show the same tissues along another grey curve, so the deformation compared what their grey "
        f"values have in common (correlation {plain:.2f} as they are, {relation.correlation:.2f} so).",
    )


def _flow(momentum: Tensor, grid: Grid, config: VsvfConfig | LddmmConfig) -> Flow:
    if isinstance(config, LddmmConfig):
        return geodesic_flow(momentum, grid, config)
    return velocity_flow(velocity(momentum, grid, config.velocity), grid, config.velocity)


def _applied_to(before: LocalMap | None, psi: Tensor) -> Tensor:
    """before o psi; ``psi`` (1, 3, ...) RAS mm."""
    return psi if before is None else compose_displacement(before.forward_mm, before.grid, psi)


def _optimize(
    mismatch: _Mismatch, start: Tensor, grid: Grid, config: VsvfConfig | LddmmConfig, reporter: Reporter
) -> Tensor:
    """One level: the momentum on ``grid``, from ``start``."""
    if isinstance(config, VsvfConfig) and config.optimizer == "kernel-lbfgs":
        kernel = config.velocity
        return minimize_in_kernel(
            start,
            lambda field: velocity(field, grid, kernel),
            lambda v: mismatch(velocity_flow(v, grid, kernel).forward_mm),
            weight=config.regularity * momentum_energy_unit(grid),
            first_step=_FIRST_STEP_VOXELS * min(grid.spacing_mm),
            iterations=config.iterations,
            tolerance=config.tolerance,
            reporter=reporter,
        )
    momentum = start.clone().requires_grad_(True)

    def energy() -> Tensor:
        v, u = _flow(momentum, grid, config)
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
