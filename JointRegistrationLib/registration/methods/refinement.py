"""A starting map as what the deformable stage goes on from: A, and psi = A^-1 o map on the working lattice."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from ...core.config import LddmmConfig, VsvfConfig
from ...core.lattices.working_grid import momentum_grid
from ...core.progress import Reporter
from ...core.result import StartingMap
from ...ops.maps import apply_matrix, displacement, from_displacement, inverse, resample_displacement
from ...ops.similarity.image_pair import ImagePair
from ..landmarks import LandmarkTerm
from ..local_map import Estimate, LocalMap, composed, on_lattice
from .momentum import deformation

#: The inverse is solved for until it moves no further than this, or so many steps are done.
_TOLERANCE_MM, _ITERATIONS = 1e-3, 100


def resumed(pair: ImagePair, start: StartingMap) -> Estimate:
    """The estimate whose map is ``start``, on the lattice of the finest momentum.

    psi's inverse is found by fixed-point iteration, see :func:`~.maps.inverse`.

    Raises:
        InputError: if the map has no affine part that can be inverted.
    """
    affine = start.affine_part()
    grid = momentum_grid(pair.fixed_grid)
    with torch.no_grad():
        field = torch.from_numpy(np.asarray(start.displacement_field_mm, dtype=np.float32)).to(pair.fixed.device)
        on_grid = resample_displacement(field.movedim(-1, 0)[None], start.grid, grid)
        psi = apply_matrix(np.linalg.inv(affine), from_displacement(on_grid, grid))
        forward = displacement(psi, grid)
        back = inverse(forward, grid, grid, iterations=_ITERATIONS, tolerance_mm=_TOLERANCE_MM)
        return Estimate(affine, LocalMap(forward, displacement(back.map_ras, grid), grid))


def refined_further(
    pair: ImagePair,
    config: VsvfConfig | LddmmConfig,
    found: Estimate,
    reporter: Reporter,
    lap: Callable[[str], None],
    *,
    landmarks: LandmarkTerm | None = None,
) -> Estimate:
    """Another deformation on the fixed side of one already found; the affine part is kept.

    The lattice is that of ``found``, which is to be as fine as the images ask for.

    Raises:
        RegistrationCancelled: if asked to stop.
    """
    part = reporter.part(0, 1, "refining")
    after, notes = deformation(pair, found.affine_ras, config, part, before=found.local, landmarks=landmarks)
    with torch.no_grad():
        local = composed(found.local, on_lattice(after, found.local))
    lap("refining")
    return dataclasses.replace(found, local=local, notes=(*found.notes, *notes))
