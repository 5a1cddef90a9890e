"""The methods by optimisation: affine, then a deformation."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...core.config import LddmmConfig, RegistrationConfig, VsvfConfig
from ...core.geometry import FloatArray
from ...core.progress import Reporter
from ...ops.similarity.image_pair import ImagePair
from ..landmarks import LandmarkTerm
from ..local_map import Estimate, LocalMap, no_deformation
from .affine import affine_opt
from .lddmm import geodesic_map, lddmm_opt
from .momentum import local_map
from .vsvf import vsvf_opt


def optimised(
    pair: ImagePair,
    config: RegistrationConfig,
    method: str,
    start: FloatArray | None,
    reporter: Reporter,
    lap: Callable[[str], None],
    *,
    landmarks: LandmarkTerm | None = None,
) -> Estimate:
    """Method ``method``, one of those without networks; see :func:`.dispatch.estimate`."""
    affine_end = 1.0 if method == "affine-opt" else 0.25
    affine = affine_opt(pair, config.affine, initial_ras=start, reporter=reporter.part(0, affine_end, "affine"))
    lap("affine")
    if method == "affine-opt":
        return Estimate(affine, no_deformation(pair))
    settings = config.lddmm if method == "lddmm-opt" else config.vsvf
    local = deformation(pair, affine, settings, reporter.part(affine_end, 1, "deformable"), landmarks=landmarks)
    lap("deformable")
    return Estimate(affine, local)


def deformation(
    pair: ImagePair,
    affine_ras: FloatArray,
    settings: VsvfConfig | LddmmConfig,
    reporter: Reporter,
    *,
    before: LocalMap | None = None,
    landmarks: LandmarkTerm | None = None,
) -> LocalMap:
    """The deformation that vSVF-opt or LDDMM-opt finds; see :func:`~.vsvf.vsvf_opt`. Without ``before``."""
    if isinstance(settings, LddmmConfig):
        momentum, grid = lddmm_opt(pair, affine_ras, settings, before=before, landmarks=landmarks, reporter=reporter)
        with torch.no_grad():
            return geodesic_map(momentum, grid, settings)
    momentum, grid = vsvf_opt(pair, affine_ras, settings, before=before, landmarks=landmarks, reporter=reporter)
    with torch.no_grad():
        return local_map(momentum, grid, settings.velocity)
