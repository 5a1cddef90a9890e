"""vSVF-opt: the non-parametric part by optimising the momentum (spec, section 7).

m* = argmin lambda <m, K m> + Sim(S o A o Exp(-K m), T): the velocity is stationary, v = K m, and acts
on the fixed side of the affine transform A. The momentum lives on a grid of half the resolution.
"""

from __future__ import annotations

from torch import Tensor

from ...core.config import VsvfConfig
from ...core.geometry import FloatArray, Grid
from ...core.progress import Reporter
from ...ops.similarity.image_pair import ImagePair
from ..landmarks import LandmarkTerm
from ..local_map import LocalMap
from .momentum import optimize_momentum, velocity, velocity_flow


def vsvf_opt(
    pair: ImagePair,
    affine_ras: FloatArray,
    config: VsvfConfig,
    *,
    initial_momentum: Tensor | None = None,
    before: LocalMap | None = None,
    landmarks: LandmarkTerm | None = None,
    reporter: Reporter | None = None,
) -> tuple[Tensor, Grid]:
    """Momentum (1, 3, d, h, w), RAS mm, and its grid, that makes the images most alike.

    Args:
        pair: normalised images.
        affine_ras: 4x4, fixed to moving, kept fixed.
        config: similarity, kernel, weights, levels, iterations, optimiser.
        initial_momentum: start on ``momentum_grid`` of the coarsest level; None for zero.
        before: a deformation already found, kept fixed; the new one acts on its fixed side, so that the
            fixed point x goes to A(before(Exp(-v)(x))). None for none.
        landmarks: a term of the energy beside the images; None for none.
        reporter: receives progress; its cancel check is asked at every evaluation.

    Raises:
        RegistrationCancelled: if asked to stop.
    """

    return optimize_momentum(
        pair,
        affine_ras,
        config,
        lambda momentum, grid: velocity_flow(velocity(momentum, grid, config.velocity), grid, config.velocity),
        initial_momentum=initial_momentum,
        before=before,
        landmarks=landmarks,
        reporter=reporter,
    )
