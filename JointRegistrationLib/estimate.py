"""The methods: from two prepared images to an affine transform and a deformation around it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from .affine_opt import affine_opt
from .core.config import LddmmConfig, RegistrationConfig, VsvfConfig, network_refinement
from .core.errors import ConfigError
from .core.geometry import FloatArray
from .core.progress import Reporter
from .lddmm_opt import geodesic_map, lddmm_opt
from .ops.image_pair import ImagePair
from .registration.knee_side import knee_sides
from .registration.landmarks import LandmarkTerm
from .registration.local_map import Estimate, LocalMap, composed, no_deformation, on_lattice
from .vsvf_opt import local_map, vsvf_opt


def estimate(
    pair: ImagePair,
    config: RegistrationConfig,
    start: FloatArray | None,
    reporter: Reporter,
    lap: Callable[[str], None],
    *,
    landmarks: LandmarkTerm | None = None,
) -> Estimate:
    """Run the configured method.

    Args:
        pair: normalised images on their working grids.
        config: method and settings.
        start: a starting transform (4x4, RAS, fixed to moving), or None.
        reporter: spans all of the method's stages.
        lap: called with a stage's name when it is over, to take its time.
        landmarks: a term of the deformation's energy; None for none.

    Raises:
        RegistrationCancelled, InputError, CheckpointError: as the stages do; InputError also for a left knee
            on a right one, see :func:`~.knee_side.knee_sides`.
    """
    predicting = config.method in ("avsm", "avsm-affine")
    reporter.check()
    sides = knee_sides(pair, config, start) if predicting or config.check_side else ()
    reporter.check()
    if predicting:
        from .predicted import predicted  # noqa: PLC0415 the optimisers need no networks

        return predicted(pair, config, start, sides, reporter, lap, landmarks=landmarks)
    return optimised(pair, config, config.method, start, reporter, lap, landmarks=landmarks)


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
    """Method ``method``, one of those without networks; see :func:`estimate`."""
    affine_end = 1.0 if method == "affine-opt" else 0.25
    affine = affine_opt(pair, config.affine, initial_ras=start, reporter=reporter.part(0, affine_end, "affine"))
    lap("affine")
    if method == "affine-opt":
        return Estimate(affine, no_deformation(pair))
    settings = config.lddmm if method == "lddmm-opt" else config.vsvf
    local = deformation(pair, affine, settings, reporter.part(affine_end, 1, "deformable"), landmarks=landmarks)
    lap("deformable")
    return Estimate(affine, local)


def refined_further(
    pair: ImagePair,
    config: RegistrationConfig,
    found: Estimate,
    reporter: Reporter,
    lap: Callable[[str], None],
    *,
    landmarks: LandmarkTerm | None = None,
) -> Estimate:
    """Another deformation on the fixed side of one already found; the affine part is kept.

    Method avsm refines as after its networks, ``network.refine`` iterations at the two finest levels.
    The lattice is that of ``found``, which is to be as fine as the images ask for.

    Raises:
        ConfigError: for a method that does not deform.
        RegistrationCancelled: if asked to stop.
    """
    settings: VsvfConfig | LddmmConfig
    if config.method == "avsm":
        settings = network_refinement(config)
    elif config.method in ("vsvf-opt", "lddmm-opt"):
        settings = config.lddmm if config.method == "lddmm-opt" else config.vsvf
    else:
        raise ConfigError(
            f"registration.method: {config.method} does not deform, so it cannot refine a transform further; choose "
            "vsvf-opt, lddmm-opt or avsm"
        )
    after = deformation(
        pair, found.affine_ras, settings, reporter.part(0, 1, "refining"), before=found.local, landmarks=landmarks
    )
    with torch.no_grad():
        local = composed(found.local, on_lattice(after, found.local))
    lap("refining")
    return dataclasses.replace(found, local=local)


def deformation(
    pair: ImagePair,
    affine_ras: FloatArray,
    settings: VsvfConfig | LddmmConfig,
    reporter: Reporter,
    *,
    before: LocalMap | None = None,
    landmarks: LandmarkTerm | None = None,
) -> LocalMap:
    """The deformation that vSVF-opt or LDDMM-opt finds; see :func:`~.vsvf_opt.vsvf_opt`. Without ``before``."""
    if isinstance(settings, LddmmConfig):
        momentum, grid = lddmm_opt(pair, affine_ras, settings, before=before, landmarks=landmarks, reporter=reporter)
        with torch.no_grad():
            return geodesic_map(momentum, grid, settings)
    momentum, grid = vsvf_opt(pair, affine_ras, settings, before=before, landmarks=landmarks, reporter=reporter)
    with torch.no_grad():
        return local_map(momentum, grid, settings.velocity)
