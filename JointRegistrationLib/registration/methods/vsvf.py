"""vSVF: a velocity that stays as it is, v = K m, and acts on the fixed side of the affine A (spec, section 7).

m* = argmin lambda <m, K m> + Sim(S o A o Exp(-K m), T).
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ...core.config import VelocityConfig
from ...core.geometry import Grid
from ...ops.integrate import exponential
from ...ops.separable.smoothing import velocity
from ..local_map import LocalMap


class Flow(NamedTuple):
    """What a momentum gives: v = K m, and the displacement of psi, both (1, 3, d, h, w) RAS mm."""

    velocity_mm: Tensor
    forward_mm: Tensor


def velocity_flow(velocity_mm: Tensor, grid: Grid, config: VelocityConfig) -> Flow:
    """Exp(-v) of a velocity that stays as it is."""
    return Flow(velocity_mm, exponential(-velocity_mm, grid, method=config.integrator, steps=config.steps))


def local_map(momentum: Tensor, grid: Grid, config: VelocityConfig) -> LocalMap:
    """Both directions of the flow of a momentum."""
    v = velocity(momentum, grid, config)
    forward, backward = (exponential(sign * v, grid, method=config.integrator, steps=config.steps) for sign in (-1, 1))
    return LocalMap(forward, backward, grid)
