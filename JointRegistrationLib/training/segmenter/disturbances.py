"""What scanners do to an image, at random: uneven gain, thick slices, noise, ghosts, metal, a cut field of view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

#: A part of a lattice, along D, H, W.
View = tuple[slice, slice, slice]


@dataclass(frozen=True)
class DisturbanceConfig:
    """How strong and how frequent.

    Args:
        bias: greatest deviation of the gain's logarithm.
        noise: greatest deviation of the noise, as a share of the brightest tissue.
        slice_mm: thickest slices.
        thick: share of images with slices thicker than the lattice's.
        in_plane_mm: coarsest resolution within slices.
        cut: share of images with a cut field of view, and ``cut_most``: the greatest part of an axis cut at one end.
        ghost, metal, gamma: shares of images with ghosts, metal voids and another curve of grey values.
    """

    bias: float = 0.5
    noise: float = 0.10
    slice_mm: float = 4.2
    thick: float = 0.5
    in_plane_mm: float = 1.3
    cut: float = 0.4
    cut_most: float = 0.22
    ghost: float = 0.08
    metal: float = 0.04
    gamma: float = 0.5


def between(low: float, high: float, g: torch.Generator) -> float:
    """A number from ``low`` to ``high``."""
    return low + (high - low) * float(torch.rand(1, generator=g))


def smooth_noise(size: Sequence[int], cells: int, g: torch.Generator) -> Tensor:
    """Noise of about unit deviation on a lattice (D, H, W), with ``cells`` cells along its longest axis."""
    longest = max(size)
    coarse = [max(3, round(cells * n / longest)) for n in size]
    noise = torch.randn(1, 1, *coarse, generator=g)
    return F.interpolate(noise, size=tuple(size), mode="trilinear", align_corners=True)[0, 0] * 1.4


def disturbed(
    image: Tensor, spacing_kji_mm: Sequence[float], config: DisturbanceConfig, g: torch.Generator
) -> tuple[Tensor, View]:
    """An image (1, 1, D, H, W) as a scanner would give it, normalised to [0, 1]; and the part of it that was seen.

    Args:
        image: signals, the brightest about 1.
        spacing_kji_mm: of its lattice.
        config: see there.
        g: the random source.
    """
    size = image.shape[2:]
    image = image * torch.exp(smooth_noise(size, 4, g) * between(0.0, config.bias, g))
    if _chance(config.metal, g):
        image = _with_metal(image, g)
    if _chance(config.ghost, g):
        image = _with_ghost(image, g)
    image = F.interpolate(image, size=_acquired(size, spacing_kji_mm, config, g), mode="area")
    image = _noisy(image, config, g)
    image = F.interpolate(image, size=tuple(size), mode="trilinear", align_corners=False)
    image = _normalised(image)
    if _chance(config.gamma, g):
        image = image.pow(2.0 ** between(-0.8, 0.8, g))
    return _cut(image, config, g) if _chance(config.cut, g) else (image, (slice(None), slice(None), slice(None)))


def _chance(share: float, g: torch.Generator) -> bool:
    return bool(torch.rand(1, generator=g) < share)


def _acquired(
    size: Sequence[int], spacing: Sequence[float], config: DisturbanceConfig, g: torch.Generator
) -> tuple[int, ...]:
    """Voxels along each axis of the image that the scanner took."""
    across = (0, 0, 0, 1, 2)[int(torch.randint(5, (1,), generator=g))]
    in_plane = between(0.3, config.in_plane_mm, g)
    mm = [in_plane] * 3
    mm[across] = between(0.7, config.slice_mm, g) if _chance(config.thick, g) else 0.7
    return tuple(max(4, min(n, round(n * s / m))) for n, s, m in zip(size, spacing, mm, strict=True))


def _noisy(image: Tensor, config: DisturbanceConfig, g: torch.Generator) -> Tensor:
    """Rician noise; half of the images have little."""
    sigma = between(0.0, config.noise, g) * between(0.1, 1.0, g)
    first, second = (sigma * torch.randn(image.shape, generator=g) for _ in range(2))
    return ((image + first).square_() + second.square_()).sqrt_()


def _with_ghost(image: Tensor, g: torch.Generator) -> Tensor:
    axis = 3 + int(torch.randint(2, (1,), generator=g))
    shift = int(between(0.1, 0.5, g) * image.shape[axis])
    strength = between(0.05, 0.25, g)
    return image + strength * (image.roll(shift, axis) + image.roll(-shift, axis)) / 2


def _with_metal(image: Tensor, g: torch.Generator) -> Tensor:
    """A void with a bright rim somewhere in the middle of the image."""
    radius = between(0.04, 0.15, g)
    total = torch.zeros(())
    for axis, n in enumerate(image.shape[2:]):
        centre, squeeze = between(0.3, 0.7, g), between(0.5, 1.5, g)
        line = ((torch.arange(n) / n - centre) / (radius * squeeze)).square()
        total = total + line.view([-1 if a == axis else 1 for a in range(3)])
    total = total + 0.3 * smooth_noise(image.shape[2:], 16, g)
    rim = ((total > 1) & (total < 1.4)).float() * between(0.0, 0.6, g)
    return image * (total > 1) + rim


def _normalised(image: Tensor) -> Tensor:
    """As ``preprocess.normalize`` does, from every seventh voxel."""
    some = image.flatten()[::7]
    low = some.kthvalue(max(1, round(0.001 * len(some)))).values
    high = some.kthvalue(min(len(some), round(0.999 * len(some)))).values
    return ((image - low) / (high - low).clamp(min=1e-6)).clamp_(0, 1)


def _cut(image: Tensor, config: DisturbanceConfig, g: torch.Generator) -> tuple[Tensor, View]:
    """One constant beyond a smaller field of view."""
    value = 0.0 if _chance(0.7, g) else between(0.0, 1.0, g)
    result = torch.full_like(image, value)
    box: list[slice] = []
    for n in image.shape[2:]:
        start, end = (round(between(0.0, config.cut_most, g) * n) if _chance(0.4, g) else 0 for _ in range(2))
        box.append(slice(start, n - end))
    seen = box[0], box[1], box[2]
    result[(..., *seen)] = image[(..., *seen)]
    return result, seen
