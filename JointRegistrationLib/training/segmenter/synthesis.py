"""Training images for the segmenter, drawn at random from code maps: anatomy, contrast, disturbances.

After Billot et al., SynthSeg (Medical Image Analysis 2023): every tissue gets a signal of its own in every image, so
that the network cannot rely on any. Half of the images keep to what a DESS looks like.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...networks.segmenter import CLASSES
from ...phantom import TISSUES
from ..data.augment import AugmentConfig, random_deformation
from ..data.labels import canonical_grid
from .disturbances import DisturbanceConfig, View, between, disturbed, smooth_noise
from .knee_codes import CLASS_OF_CODE, CODES, OUTSIDE, Knee
from .tissue_signals import random_signals

_SKIN_OF_BODY = TISSUES.index("cartilage")  # tissues below this number lie around the joint


@dataclass(frozen=True)
class SynthesisConfig:
    """What training images are like.

    Args:
        dess_like: share of images with about the contrast of a DESS.
        shapes: share of images whose soft tissue is random shapes in place of anatomy.
        rotation_degrees: greatest rotation about each axis.
        scale: greatest logarithm of the scale, of the knee and, half as much, of each axis.
        shift_mm: greatest shift along each axis.
        deformation_mm, deformation_sigma_mm: a random diffeomorphism's strength (root mean square) and smoothness.
        mirrored: share of left knees.
        beyond_mm: how far up and down a scan is carried on past its border.
        samples: points a voxel along j and i, below full resolution: 2 blends tissues at borders, 1 is quicker.
        disturbances: what the scanner does.
    """

    dess_like: float = 0.5
    shapes: float = 0.15
    rotation_degrees: float = 20.0
    scale: float = 0.14
    shift_mm: float = 12.0
    deformation_mm: float = 2.0
    deformation_sigma_mm: float = 14.0
    mirrored: float = 0.5
    beyond_mm: float = 25.0
    samples: int = 2
    disturbances: DisturbanceConfig = field(default_factory=DisturbanceConfig)


@dataclass(frozen=True)
class Sample:
    """An image (1, 1, d, h, w) in [0, 1] and the shares of each class in its voxels (1, classes, d, h, w)."""

    image: Tensor
    target: Tensor


def draw_sample(knee: Knee, config: SynthesisConfig, shrink: int, g: torch.Generator) -> Sample:
    """A training image of ``knee``.

    Args:
        knee: its codes.
        config: see there.
        shrink: 1 for the working lattice, half the code map's resolution; 2 or 4 for less.
        g: the random source; the same one gives the same sample.
    """
    d, h, w = (n // 2 // shrink for n in knee.codes.shape)
    inner = min(config.samples, shrink)
    codes = moved_codes(knee, config, (d, h * inner, w * inner), g)
    image = _pooled(_painted(codes, config, g)[None, None], inner)
    image, seen = disturbed(image, [2 * shrink * s for s in knee.spacing_kji_mm], config.disturbances, g)
    return Sample(image, _within(_targets(codes, inner), seen))


def plain_sample(knee: Knee, config: SynthesisConfig, shrink: int, g: torch.Generator) -> Sample:
    """The knee as it lies, in random contrast; for validation."""
    still = replace(
        config, shapes=0.0, rotation_degrees=0.0, scale=0.0, shift_mm=0.0, deformation_mm=0.0, mirrored=0.0, samples=2
    )
    return draw_sample(knee, still, shrink, g)


def moved_codes(knee: Knee, config: SynthesisConfig, size: tuple[int, int, int], g: torch.Generator) -> Tensor:
    """Codes on a lattice of ``size`` voxels over the scan's field of view, the knee moved, warped, perhaps mirrored."""
    d, h, w = knee.codes.shape
    matrix, offset = _affine(knee, config, size, g)
    index = []
    warp = _warp(knee, config, size, g)
    for axis in range(3):
        line = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in size]
        place = (
            (line[0] * matrix[axis, 0])[:, None, None]
            + (line[1] * matrix[axis, 1])[None, :, None]
            + (line[2] * matrix[axis, 2])[None, None, :]
            + offset[axis]
        )
        if warp is not None:
            place += warp[axis]
        index.append(place.round_().to(torch.int32))
    beyond = round(config.beyond_mm / knee.spacing_kji_mm[1])
    inside = (index[0] >= 0) & (index[0] < d) & (index[2] >= 0) & (index[2] < w)
    inside &= (index[1] >= -beyond) & (index[1] < h + beyond)
    flat = (index[0].clamp_(0, d - 1) * h + index[1].clamp_(0, h - 1)) * w + index[2].clamp_(0, w - 1)
    codes = knee.codes.view(-1).index_select(0, flat.view(-1)).view(size)
    return codes.masked_fill_(~inside, OUTSIDE)


def _affine(
    knee: Knee, config: SynthesisConfig, size: tuple[int, int, int], g: torch.Generator
) -> tuple[Tensor, Tensor]:
    """From voxels of the lattice, counted from its middle, to voxels of the code map (matrix and offset)."""
    spacing = torch.tensor(knee.spacing_kji_mm)
    skew = torch.zeros(3, 3)
    for a, b in ((1, 2), (0, 2), (0, 1)):
        angle = between(-1, 1, g) * config.rotation_degrees * torch.pi / 180
        skew[a, b], skew[b, a] = -angle, angle
    sizes = config.scale * between(-1, 1, g) + 0.5 * config.scale * (2 * torch.rand(3, generator=g) - 1)
    linear = torch.linalg.matrix_exp(skew) @ torch.diag(torch.exp(sizes))
    if torch.rand(1, generator=g) < config.mirrored:
        linear[0] *= -1
    shift = config.shift_mm * (2 * torch.rand(3, generator=g) - 1)
    shape = torch.tensor(knee.codes.shape)
    steps = spacing * shape / torch.tensor(size)
    matrix = linear * steps[None, :] / spacing[:, None]
    middle = (shape - 1) / 2
    return matrix, middle + shift / spacing


def _warp(knee: Knee, config: SynthesisConfig, size: tuple[int, int, int], g: torch.Generator) -> Tensor | None:
    """Displacement (3, D, H, W) in voxels of the code map along k, j, i."""
    if config.deformation_mm == 0:
        return None
    lengths = [n * s for n, s in zip(knee.codes.shape, knee.spacing_kji_mm, strict=True)]
    few = [max(4, round(length / 3.0)) for length in lengths]
    grid = canonical_grid(few, [length / n for length, n in zip(lengths, few, strict=True)])
    augment = AugmentConfig(deformation_mm=config.deformation_mm, deformation_sigma_mm=config.deformation_sigma_mm)
    displacement = random_deformation(augment, grid, 1, g)[:, [0, 2, 1]]  # R, A, S to k, j, i
    displacement = displacement / torch.tensor(knee.spacing_kji_mm).view(1, 3, 1, 1, 1)
    return F.interpolate(displacement, size=size, mode="trilinear", align_corners=True)[0]


def _painted(codes: Tensor, config: SynthesisConfig, g: torch.Generator) -> Tensor:
    """Signal (D, H, W) of every voxel: of its tissue, in one of two shades, with texture."""
    dess = bool(torch.rand(1, generator=g) < config.dess_like)
    first, second, texture = random_signals(dess, g)
    count = len(CODES)
    shade = smooth_noise(codes.shape, int(torch.randint(4, 14, (1,), generator=g)), g)
    index = codes.to(torch.int32) + count * (shade > between(0.0, 1.2, g)).to(torch.int32)
    table = torch.cat([first, second])
    if torch.rand(1, generator=g) < config.shapes:
        bins = (shade * between(1.0, 2.5, g) + 4).clamp_(0, 7).to(torch.int32)
        around = (codes < _SKIN_OF_BODY) & ((codes != 0) | bool(torch.rand(1, generator=g) < 0.3))
        index = torch.where(around, bins + 2 * count, index)
        table = torch.cat([table, torch.rand(8, generator=g) * first.max()])
        texture = torch.cat([texture, texture, texture[:8]])
    else:
        texture = torch.cat([texture, texture])
    flat = index.view(-1)
    grain = torch.randn(codes.shape, generator=g)
    coarse = smooth_noise(codes.shape, int(torch.randint(24, 48, (1,), generator=g)), g)
    mix = between(0.2, 0.8, g)
    factor = (grain.mul_(mix) + coarse * (1 - mix)).view(-1) * texture.index_select(0, flat)
    return (table.index_select(0, flat) * factor.add_(1).clamp_(min=0.05)).view(codes.shape)


def _targets(codes: Tensor, shrink: int) -> Tensor:
    classes = CLASS_OF_CODE.index_select(0, codes.view(-1).to(torch.int32)).view(codes.shape)
    return torch.cat([_pooled((classes == n)[None, None].float(), shrink) for n in range(len(CLASSES))], dim=1)


def _within(target: Tensor, seen: View) -> Tensor:
    """Background where nothing was seen."""
    result = torch.zeros_like(target)
    result[:, 0] = 1
    result[(..., *seen)] = target[(..., *seen)]
    return result


def _pooled(values: Tensor, shrink: int) -> Tensor:
    return values if shrink == 1 else F.avg_pool3d(values, (1, shrink, shrink))
