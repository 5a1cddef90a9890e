"""A procedural knee on a grid: image, label map and tissue map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..core.geometry import Grid
from ..core.image import Image
from .anatomy import KneeAnatomy
from .rendering import disturb, tissue_signal
from .shapes.knee_shape import KneeShape, check_seed
from .tissues.contrast import TISSUE_INDEX, ContrastConfig
from .tissues.texture import TissueTexture

_CHUNK = 1 << 15

_SAGITTAL = ((0.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0))  # i to P, j to I, k to R


@dataclass(frozen=True)
class Knee:
    """One knee on one grid.

    Args:
        image: float32, DESS-like.
        labels: uint8, bones and cartilages, see :data:`.anatomy.LABEL_NAMES`.
        tissues: uint8, every tissue, see :data:`.contrast.TISSUES`.
    """

    image: Image
    labels: Image
    tissues: Image


def default_grid() -> Grid:
    """A sagittal DESS as in the Osteoarthritis Initiative: 384 x 384 x 160, 0.365 x 0.365 x 0.7 mm, axes PIR."""
    return _sagittal_grid((384, 384, 160), (0.365, 0.365, 0.7))


def working_grid() -> Grid:
    """The same field of view at half the resolution: 192 x 192 x 80."""
    return _sagittal_grid((192, 192, 80), (0.73, 0.73, 1.4))


def make_knee(
    shape: KneeShape | None = None,
    grid: Grid | None = None,
    *,
    contrast: ContrastConfig | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Knee:
    """Make a knee: anatomy from ``shape`` (its own seed included), bias and noise from ``seed``.

    The anatomy is a function of RAS position, the middle of the joint at (0, 0, 0), evaluated at each
    voxel's centre with partial volume; hence it does not depend on the grid.

    Args:
        shape: the anatomy; None for the mean knee.
        grid: any grid; None for :func:`working_grid`.
        contrast: tissue signals and disturbances; None for those of a 3 T DESS.
        seed: of bias and noise.
        device: where to compute. Same seed, same device, same result.

    Raises:
        ConfigError: if the seed is none.
    """
    check_seed("make_knee", seed)
    shape = shape or KneeShape()
    anatomy = KneeAnatomy(shape, device)
    return render_anatomy(anatomy, grid or working_grid(), contrast or ContrastConfig(), seed, shape.seed, device)


def render_anatomy(
    anatomy: KneeAnatomy,
    grid: Grid,
    contrast: ContrastConfig,
    seed: int,
    texture_seed: int,
    device: torch.device | str = "cpu",
    point_map: Callable[[Tensor], Tensor] | None = None,
) -> Knee:
    """Sample an anatomy on a grid, piece by piece.

    Args:
        point_map: where each RAS point (3, M) of the grid lies in the anatomy; None for right there.
    """
    voxel_mm = grid.voxel_volume_mm3 ** (1 / 3)
    texture = TissueTexture(texture_seed, contrast.texture, 0.8 * max(grid.spacing_mm), device)
    count = grid.num_voxels
    signal = torch.empty(count, device=device)
    air = torch.empty(count, device=device)
    labels = torch.empty(count, dtype=torch.uint8, device=device)
    tissues = torch.empty(count, dtype=torch.uint8, device=device)
    for start in range(0, count, _CHUNK):
        part = slice(start, min(start + _CHUNK, count))
        points = lattice_points(grid, part.start, part.stop, device)
        sample = anatomy.sample(point_map(points) if point_map else points, voxel_mm)
        signal[part] = tissue_signal(sample.fractions, sample.texture_points, contrast, texture)
        air[part] = sample.fractions[TISSUE_INDEX["air"]]
        labels[part] = sample.labels
        tissues[part] = sample.tissues
    image = disturb(signal.view(grid.shape), 1 - air.view(grid.shape), grid, contrast, seed)
    return Knee(
        Image(image, grid, "knee phantom"),
        Image(labels.view(grid.shape).cpu().numpy(), grid, "knee phantom labels"),
        Image(tissues.view(grid.shape).cpu().numpy(), grid, "knee phantom tissues"),
    )


def lattice_points(grid: Grid, start: int, stop: int, device: torch.device | str = "cpu") -> Tensor:
    """RAS positions (3, stop - start), float32, of the voxels with those flat (k, j, i) indices."""
    flat = torch.arange(start, stop, device=device)
    ni, nj, _ = grid.size_ijk
    ijk = torch.stack([flat % ni, flat // ni % nj, flat // (ni * nj)]).float()
    matrix = torch.as_tensor(grid.ijk_to_ras.astype(np.float32), device=device)
    return torch.addmm(matrix[:3, 3:], matrix[:3, :3], ijk)


def _sagittal_grid(size: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    center = np.array([0.0, 4.0, 12.0])
    direction = np.asarray(_SAGITTAL)
    origin = center - direction @ (np.asarray(spacing) * (np.asarray(size) - 1) / 2)
    return Grid(size, spacing, (float(origin[0]), float(origin[1]), float(origin[2])), _SAGITTAL)
