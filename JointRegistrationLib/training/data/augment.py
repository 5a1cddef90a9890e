"""Random geometry: a draw depends on its generator only, and a generator on (seed, step) only.

So a training that stopped anywhere goes on with exactly the draws it would have made.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.errors import ConfigError
from ...core.geometry import Grid
from ...ops import integrate, maps
from ...ops.separable import smoothing


@dataclass(frozen=True)
class AugmentConfig:
    """Spread of the random geometry given to both images of a pair.

    Args:
        rotation_degrees: standard deviation about each axis.
        scale: ... of the logarithm of each axis's scale.
        shear: ... of each shear.
        translation_mm: ... along each axis.
        deformation_mm: root-mean-square displacement of a random diffeomorphism; 0 for none.
        deformation_sigma_mm: its smoothness.
    """

    rotation_degrees: float = 8.0
    scale: float = 0.06
    shear: float = 0.03
    translation_mm: float = 8.0
    deformation_mm: float = 0.0
    deformation_sigma_mm: float = 15.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 180:
                raise ConfigError(f"augment.{name}: a number from 0 to 180 is needed, but {value!r} was given")


def generator(seed: int, step: int, part: int = 0) -> torch.Generator:
    """The random source of one step, or of one of the parts whose gradients it averages."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step + part * 1_000_000_000_039) % 2**63)


def random_affine(config: AugmentConfig, grid: Grid, count: int, g: torch.Generator) -> Tensor:
    """Random affines about the grid's centre: (count, 4, 4), RAS."""
    z = torch.randn(count, 12, generator=g)
    skew = torch.zeros(count, 3, 3)
    angles = z[:, :3] * (config.rotation_degrees * torch.pi / 180)
    for n, (a, b) in enumerate(((1, 2), (0, 2), (0, 1))):
        skew[:, a, b], skew[:, b, a] = -angles[:, n], angles[:, n]
    shear = torch.eye(3).repeat(count, 1, 1)
    for n, (a, b) in enumerate(((0, 1), (0, 2), (1, 2))):
        shear[:, a, b] = config.shear * z[:, 6 + n]
    linear = torch.linalg.matrix_exp(skew) @ torch.diag_embed(torch.exp(config.scale * z[:, 3:6])) @ shear
    centre = torch.as_tensor(grid.center_ras, dtype=torch.float32)
    matrix = torch.eye(4).repeat(count, 1, 1)
    matrix[:, :3, :3] = linear
    matrix[:, :3, 3] = centre - linear @ centre + config.translation_mm * z[:, 9:]
    return matrix


def random_deformation(
    config: AugmentConfig, grid: Grid, count: int, g: torch.Generator, device: torch.device | str = "cpu"
) -> Tensor:
    """Displacement fields (count, 3, D, H, W), RAS mm, of random diffeomorphisms on ``grid``.

    Drawn on the CPU, so that every device gets the same ones.
    """
    coarse = grid.resized([max(4, n // 4) for n in grid.size_ijk])
    noise = torch.randn(count, 3, *coarse.shape, generator=g).to(device)
    velocity = smoothing.smooth(noise, coarse, (config.deformation_sigma_mm,), (1.0,))
    size = velocity.square().sum(dim=1, keepdim=True).mean(dim=(2, 3, 4), keepdim=True).sqrt()
    amplitude = 2 * config.deformation_mm * torch.rand(count, 1, 1, 1, 1, generator=g).to(device)
    displacement = integrate.exponential(velocity / size * amplitude, coarse)
    return torch.nn.functional.interpolate(displacement, size=grid.shape, mode="trilinear", align_corners=True)


def deformed_points(matrix_ras: Tensor, displacement_mm: Tensor | None, grid: Grid) -> Tensor:
    """Map x -> G(x) or G(x + u(x)) on ``grid``: (N, 3, D, H, W) RAS mm."""
    points = maps.identity(grid, device=matrix_ras.device).expand(len(matrix_ras), -1, -1, -1, -1)
    return maps.apply_matrix(matrix_ras, points if displacement_mm is None else points + displacement_mm)
