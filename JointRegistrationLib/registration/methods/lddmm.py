"""LDDMM: the momentum is that with which a geodesic starts (spec, section 7).

m0* = argmin lambda <m0, K m0> + Sim(S o A o psi, T), psi the end of the geodesic that starts with m0
(:mod:`.epdiff`). Its energy is the same at every time, so the first term is the energy of the whole path,
the factor 1/2 of LDDMM taken into lambda. vSVF leaves out that the momentum changes on the way: all
else, grid and levels included, is as there.
"""

from __future__ import annotations

from torch import Tensor

from ...core.config import LddmmConfig
from ...core.geometry import Grid
from ...ops.epdiff import shoot
from ...ops.separable.smoothing import velocity
from ..local_map import LocalMap
from .vsvf import Flow


def geodesic_flow(momentum: Tensor, grid: Grid, config: LddmmConfig) -> Flow:
    """The end of the geodesic that starts with a momentum (1, 3, D, H, W), RAS mm on ``grid``."""
    kernel = config.velocity
    shot = shoot(momentum, grid, kernel.sigmas_mm, kernel.weights, steps=config.steps)
    return Flow(velocity(momentum, grid, kernel), shot.forward_mm)


def geodesic_map(momentum: Tensor, grid: Grid, config: LddmmConfig) -> LocalMap:
    """Both directions of that geodesic."""
    kernel = config.velocity
    shot = shoot(momentum, grid, kernel.sigmas_mm, kernel.weights, steps=config.steps, with_inverse=True)
    assert shot.inverse_mm is not None
    return LocalMap(shot.forward_mm, shot.inverse_mm, grid)
