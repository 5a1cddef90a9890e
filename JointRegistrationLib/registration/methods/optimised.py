"""The methods by optimisation: affine, then a deformation."""

from __future__ import annotations

from collections.abc import Callable

from ...core.config import AffineConfig, LddmmConfig, VsvfConfig
from ...core.geometry import FloatArray
from ...core.progress import Reporter
from ...ops.similarity.image_pair import ImagePair
from ..landmarks import LandmarkTerm
from ..local_map import Estimate, no_deformation
from .affine import affine_opt
from .momentum import deformation


def optimised(
    pair: ImagePair,
    affine: AffineConfig,
    deformable: VsvfConfig | LddmmConfig | None,
    start: FloatArray | None,
    reporter: Reporter,
    lap: Callable[[str], None],
    *,
    landmarks: LandmarkTerm | None = None,
) -> Estimate:
    """The affine transform and, unless its settings are None, a deformation; see :func:`.dispatch.estimate`."""
    affine_end = 1.0 if deformable is None else 0.25
    found = affine_opt(pair, affine, initial_ras=start, reporter=reporter.part(0, affine_end, "affine"))
    lap("affine")
    if deformable is None:
        return Estimate(found, no_deformation(pair))
    part = reporter.part(affine_end, 1, "deformable")
    local, notes = deformation(pair, found, deformable, part, landmarks=landmarks)
    lap("deformable")
    return Estimate(found, local, notes)
