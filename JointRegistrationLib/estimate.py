"""The methods: from two prepared images to an affine transform and a deformation around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .affine_opt import affine_opt
from .config import RegistrationConfig
from .energy import ImagePair
from .geometry import FloatArray
from .knee_side import knee_sides
from .lddmm_opt import geodesic_map, lddmm_opt
from .progress import Reporter
from .vsvf_opt import LocalMap, local_map, vsvf_opt


@dataclass(frozen=True)
class Estimate:
    """The fixed point x goes to the moving point A(psi(x)); ``notes`` are sentences for the user."""

    affine_ras: FloatArray
    local: LocalMap
    notes: tuple[str, ...] = ()


def estimate(
    pair: ImagePair,
    config: RegistrationConfig,
    start: FloatArray | None,
    reporter: Reporter,
    lap: Callable[[str], None],
) -> Estimate:
    """Run the configured method.

    Args:
        pair: normalised images on their working grids.
        config: method and settings.
        start: a starting transform (4x4, RAS, fixed to moving), or None.
        reporter: spans all of the method's stages.
        lap: called with a stage's name when it is over, to take its time.

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

        return predicted(pair, config, start, sides, reporter, lap)
    return optimised(pair, config, config.method, start, reporter, lap)


def optimised(
    pair: ImagePair,
    config: RegistrationConfig,
    method: str,
    start: FloatArray | None,
    reporter: Reporter,
    lap: Callable[[str], None],
) -> Estimate:
    """Method ``method``, one of those without networks; see :func:`estimate`."""
    affine_end = 1.0 if method == "affine-opt" else 0.25
    affine = affine_opt(pair, config.affine, initial_ras=start, reporter=reporter.part(0, affine_end, "affine"))
    lap("affine")
    local = no_deformation(pair)
    deformable = reporter.part(affine_end, 1, "deformable")
    if method == "vsvf-opt":
        momentum, grid = vsvf_opt(pair, affine, config.vsvf, reporter=deformable)
        with torch.no_grad():
            local = local_map(momentum, grid, config.vsvf.velocity)
        lap("deformable")
    elif method == "lddmm-opt":
        momentum, grid = lddmm_opt(pair, affine, config.lddmm, reporter=deformable)
        with torch.no_grad():
            local = geodesic_map(momentum, grid, config.lddmm)
        lap("deformable")
    return Estimate(affine, local)


def no_deformation(pair: ImagePair) -> LocalMap:
    """psi = identity, on the coarsest lattice there is."""
    return LocalMap.identity(pair.fixed_grid.resized((2, 2, 2)), pair.fixed)
