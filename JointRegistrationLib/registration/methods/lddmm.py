"""LDDMM-opt: the non-parametric part by optimising the initial momentum of a geodesic (spec, section 7).

m0* = argmin lambda <m0, K m0> + Sim(S o A o psi, T), psi the end of the geodesic that starts with m0
(:mod:`.epdiff`). Its energy is the same at every time, so the first term is the energy of the whole path,
the factor 1/2 of LDDMM taken into lambda. vSVF-opt leaves out that the momentum changes on the way: all
else, grid and levels included, is as there.
"""

from __future__ import annotations

from torch import Tensor

from ...core.config import LddmmConfig
from ...core.geometry import FloatArray, Grid
from ...core.progress import Reporter
from ...ops.epdiff import shoot
from ...ops.similarity.image_pair import ImagePair
from ..landmarks import LandmarkTerm
from ..local_map import LocalMap
from .momentum import Flow, optimize_momentum, velocity


def geodesic_map(momentum: Tensor, grid: Grid, config: LddmmConfig) -> LocalMap:
    """Both directions of the geodesic that starts with a momentum (1, 3, D, H, W), RAS mm on ``grid``."""
    kernel = config.velocity
    shot = shoot(momentum, grid, kernel.sigmas_mm, kernel.weights, steps=config.steps, with_inverse=True)
    assert shot.inverse_mm is not None
    return LocalMap(shot.forward_mm, shot.inverse_mm, grid)


def lddmm_opt(
    pair: ImagePair,
    affine_ras: FloatArray,
    config: LddmmConfig,
    *,
    initial_momentum: Tensor | None = None,
    before: LocalMap | None = None,
    landmarks: LandmarkTerm | None = None,
    reporter: Reporter | None = None,
) -> tuple[Tensor, Grid]:
    """Initial momentum (1, 3, d, h, w), RAS mm, and its grid, that makes the images most alike.

    Arguments and errors are those of :func:`.vsvf.vsvf_opt`.
    """
    kernel = config.velocity

    def flow(momentum: Tensor, grid: Grid) -> Flow:
        shot = shoot(momentum, grid, kernel.sigmas_mm, kernel.weights, steps=config.steps)
        return Flow(velocity(momentum, grid, kernel), shot.forward_mm)

    return optimize_momentum(
        pair,
        affine_ras,
        config,
        flow,
        initial_momentum=initial_momentum,
        before=before,
        landmarks=landmarks,
        reporter=reporter,
    )
