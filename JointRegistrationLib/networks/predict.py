"""From two images on any grids to what AVSM predicts for them, in the patient's millimetres.

The networks know one frame: a right knee on the canonical lattice, array axes (k, j, i) to the
right, superior and anterior. Each image gets such a lattice of its own, along its own axes and centred
on its own field of view, and is sampled there; the two arrays then go through the networks as if
they shared the fixed image's lattice. A left knee's lattice runs to the left instead, so that the
arrays look like a right knee and every result is in real coordinates without any un-mirroring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.errors import InputError
from ..core.geometry import FloatArray, Grid, affine_matrix
from ..ops import maps
from ..ops.separable.resampling import resample
from ..ops.similarity.image_pair import ImagePair
from .model import AVSM, AVSMOutput, inverse_psi

SIDES = ("right", "left")

#: Field of view of the canonical lattice along i, j, k in mm: that of an OAI knee.
FIELD_OF_VIEW_MM = (140.0, 140.0, 112.0)


@dataclass(frozen=True)
class Prediction:
    """One pair's result: the fixed point x goes to the moving point A(psi(x)).

    Args:
        affine_ras: 4x4.
        psi_mm, inverse_psi_mm: displacement fields of psi and of its inverse, (1, 3, d, h, w) RAS mm
            on ``grid``.
        grid: the momenta's lattice over the fixed knee.
    """

    affine_ras: FloatArray
    psi_mm: Tensor
    inverse_psi_mm: Tensor
    grid: Grid


def canonical_lattice(grid: Grid, size_ijk: Sequence[int], side: str = "right") -> Grid:
    """The canonical lattice of an image: along its axes nearest to A, S and R, centred on its field of view.

    Args:
        grid: the image's own lattice, of any orientation.
        size_ijk: voxels along i (anterior), j (superior) and k (right, or left for a left knee).
        side: which knee it is.

    Raises:
        InputError: for an unknown side.
    """
    if side not in SIDES:
        raise InputError(f"side {side!r} is unknown; choose one of {', '.join(SIDES)}")
    columns = np.asarray(grid.direction_ras)
    wanted = {1: 1.0, 2: 1.0, 0: 1.0 if side == "right" else -1.0}  # A, S, R in the order of i, j, k
    directions = []
    for axis, sign in wanted.items():
        column = columns[:, grid.ras_axes.index(axis)]
        directions.append(column * np.sign(column[axis]) * sign)
    spacing = np.asarray(FIELD_OF_VIEW_MM) / np.asarray(size_ijk)
    linear = np.stack(directions, axis=1) * spacing
    origin_ras = grid.center_ras - linear @ ((np.asarray(size_ijk) - 1) / 2)
    return Grid.from_ijk_to_ras(size_ijk, affine_matrix(linear, origin_ras))


def on_lattice(image: Tensor, grid: Grid, lattice: Grid, matrix_ras: FloatArray | None = None) -> Tensor:
    """An image (1, 1, D, H, W) sampled on another lattice, anti-aliased, 0 outside.

    ``matrix_ras``: 4x4 from points of the lattice to points of the image; None for the same ones.
    """
    finer = np.asarray(grid.spacing_mm)
    turn = np.eye(3) if matrix_ras is None else matrix_ras[:3, :3]
    along = np.abs(np.asarray(grid.direction_ras).T @ turn @ np.asarray(lattice.direction_ras))
    target = np.asarray(lattice.spacing_mm)[along.argmax(axis=1)]  # the lattice's spacing along each own axis
    size = [max(2, min(n, round(n * f / t))) for n, f, t in zip(grid.size_ijk, finer, target, strict=True)]
    thinned = resample(image, grid, size)
    points = maps.identity(lattice, device=image.device)
    if matrix_ras is not None:
        points = maps.apply_matrix(matrix_ras, points)
    return maps.sample(thinned, grid.resized(size), points)


@torch.no_grad()
def predict(
    model: AVSM,
    pair: ImagePair,
    *,
    side: str = "right",
    affine_steps: int | None = None,
    vsvf_steps: int | None = None,
    start_ras: FloatArray | None = None,
) -> Prediction:
    """Run the networks on a pair.

    Args:
        model: in evaluation mode, on the pair's device; its configuration says which lattice it works on.
        pair: normalised images in [0, 1], each on its own grid; masks are not used.
        side: of the knee, both images.
        affine_steps, vsvf_steps: the model's own if None.
        start_ras: 4x4, fixed to moving, from which the networks begin; None lays the centres of the fields of
            view, and the images' axes, onto each other.
    """
    size_ijk = model.config.lattice_ijk
    fixed_lattice = canonical_lattice(pair.fixed_grid, size_ijk, side)
    to_moving = start_ras
    if to_moving is None:  # same voxel, other lattice
        to_moving = canonical_lattice(pair.moving_grid, size_ijk, side).ijk_to_ras @ fixed_lattice.ras_to_ijk
    fixed = on_lattice(pair.fixed, pair.fixed_grid, fixed_lattice)
    moving = on_lattice(pair.moving, pair.moving_grid, fixed_lattice, to_moving)
    output = model(moving, fixed, fixed_lattice, affine_steps, vsvf_steps)
    affine_ras = np.asarray(to_moving @ output.affine_ras[0].double().cpu().numpy())
    return Prediction(affine_ras, output.psi_displacement_mm, _inverse(model, output), output.momentum_grid)


def _inverse(model: AVSM, output: AVSMOutput) -> Tensor:
    if not output.steps:
        return torch.zeros_like(output.psi_displacement_mm)
    return inverse_psi(output.velocities_mm, output.momentum_grid, model.config.velocity)
