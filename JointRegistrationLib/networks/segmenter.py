"""The segmenter: a 3D U-Net that finds bones and cartilages whatever the contrast.

It works on a lattice of about 1.4 x 0.73 x 0.73 mm. A trunk, a U-Net on 2 x 2 x 2 blocks of the image at half that
resolution, knows the whole knee and gives logits at half resolution. A shallow fine level on blocks of the full
lattice adds to these, interpolated, what its eight times more voxels tell; it needs no more than a few voxels around,
so it may be run on a part of the field of view. The trunk can be trained first and alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.errors import ConfigError
from .blocks import LEAK, Conv, Up, fold

ARCHITECTURE = "knee-segmenter"

#: What the network tells apart, by channel.
CLASSES = (
    "background",
    "femur",
    "tibia",
    "patella",
    "femoral cartilage",
    "medial tibial cartilage",
    "lateral tibial cartilage",
    "patellar cartilage",
)

#: Sizes (D, H, W) of the working lattice must be multiples of these.
MULTIPLES = (16, 32, 32)

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class SegmenterConfig:
    """Sizes of the segmenter.

    Args:
        spacing_kji_mm: of the working lattice it is trained for.
        channels: of the trunk's four levels.
        fine_channels: of the fine level.
    """

    spacing_kji_mm: tuple[float, ...] = (1.4, 0.729, 0.729)
    channels: tuple[int, ...] = (16, 32, 64, 128)
    fine_channels: int = 16

    def __post_init__(self) -> None:
        if len(self.channels) != 4 or min(*self.channels, self.fine_channels) < 1:
            raise ConfigError(f"segmenter.channels: four positive numbers are needed, but {self.channels} was given")
        if len(self.spacing_kji_mm) != 3 or min(self.spacing_kji_mm) <= 0:
            raise ConfigError(f"segmenter.spacing_kji_mm: three positive numbers are needed: {self.spacing_kji_mm}")


class Trunk(nn.Module):
    """U-Net on blocks of the half lattice; cells of 5.6 x 2.9 x 2.9 mm, coarser ones below."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        c0, c1, c2, c3 = config.channels
        self.enter0 = nn.Sequential(_conv(8, c0), _conv(c0, c0, residual=True))
        self.enter1 = nn.Sequential(_conv(c0, c1, stride=(1, 2, 2)), _conv(c1, c1, residual=True))
        self.enter2 = nn.Sequential(_conv(c1, c2, stride=2), _conv(c2, c2, residual=True))
        self.enter3 = nn.Sequential(_conv(c2, c3, stride=2), _conv(c3, c3, residual=True), _conv(c3, c3, residual=True))
        self.up2, self.leave2 = _up(c3, c2), _conv(c2, c2, residual=True)
        self.up1, self.leave1 = _up(c2, c1), _conv(c1, c1, residual=True)
        self.up0 = _up(c1, c0)
        self.leave0 = nn.Sequential(_conv(c0, c0, residual=True), _conv(c0, c0, residual=True))
        self.head = nn.Conv3d(c0, 8 * len(CLASSES), 1)

    def forward(self, half: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, c0, D/4, H/4, W/4) and logits (N, classes, D/2, H/2, W/2) of the half lattice's image."""
        level0 = self.enter0(fold(half))
        level1 = self.enter1(level0)
        level2 = self.enter2(level1)
        level3 = self.enter3(level2)
        level2 = self.leave2(level2 + self.up2(level3, level2))
        level1 = self.leave1(level1 + self.up1(level2, level1))
        level0 = self.leave0(level0 + self.up0(level1, level0))
        return level0, unfold(self.head(level0))


class FineLevel(nn.Module):
    """What the full lattice adds to the trunk's logits; not normalised, so that a part sees what the whole sees."""

    def __init__(self, config: SegmenterConfig) -> None:
        super().__init__()
        channels = config.fine_channels
        self.image = Conv(8, channels, leak=LEAK)
        self.trunk = nn.Conv3d(config.channels[0] + len(CLASSES), channels, 1)
        self.layers = nn.Sequential(
            Conv(channels, channels, leak=LEAK, residual=True), Conv(channels, channels, leak=LEAK, residual=True)
        )
        self.head = nn.Conv3d(channels, 8 * len(CLASSES), 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor, features: Tensor, coarse: Tensor) -> Tensor:
        """Logits (N, classes, D, H, W) from the image there, features and logits of the trunk."""
        below = _interpolated(coarse, image.shape[2:])
        if not torch.is_grad_enabled() and not bool(self.head.weight.any()):
            return below  # not trained yet: it would add nothing
        size = coarse.shape[2:]
        from_trunk = torch.cat([_interpolated(features, size), coarse.softmax(dim=1)], dim=1)
        y = F.leaky_relu(self.image(fold(image)) + self.trunk(from_trunk), LEAK)
        return below + unfold(self.head(self.layers(y)))


class Segmenter(nn.Module):
    """Logits of :data:`CLASSES` from an image in [0, 1] along the canonical axes (right, superior, anterior).

    Left knees come as they are; medial and lateral are told by the anatomy, and with them the side.
    """

    def __init__(self, config: SegmenterConfig | None = None) -> None:
        super().__init__()
        self.config = config or SegmenterConfig()
        self.trunk = Trunk(self.config)
        self.fine = FineLevel(self.config)

    def coarse(self, half: Tensor) -> Tensor:
        """Logits (N, classes, d, h, w) at half resolution of its image (N, 1, d, h, w)."""
        logits: Tensor = self.trunk(standardised(half))[1]
        return logits

    def forward(self, image: Tensor, box: Box | None = None) -> tuple[Tensor, Tensor]:
        """Logits at half resolution (N, classes, D/2, H/2, W/2) and at full resolution.

        Args:
            image: (N, 1, D, H, W), sizes multiples of :data:`MULTIPLES`.
            box: the part, along D, H, W in steps of 4 voxels, to return full logits of; None for all.
        """
        image = standardised(image)
        features, coarse = self.trunk(F.avg_pool3d(image, 2))
        if box is None:
            return coarse, self.fine(image, features, coarse)
        part = self.fine(image[(..., *box)], features[(..., *_shrunk(box, 4))], coarse[(..., *_shrunk(box, 2))])
        return coarse, part


def standardised(image: Tensor) -> Tensor:
    """Images of mean 0 and deviation 1 each."""
    mean, deviation = image.mean(dim=(1, 2, 3, 4), keepdim=True), image.std(dim=(1, 2, 3, 4), keepdim=True)
    return (image - mean) / (deviation + 1e-3)


def unfold(x: Tensor) -> Tensor:
    """The inverse of :func:`~.blocks.fold`: (N, 8 C, D, H, W) to (N, C, 2 D, 2 H, 2 W)."""
    n, channels, d, h, w = x.shape
    x = x.reshape(n, channels // 8, 2, 2, 2, d, h, w).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.reshape(n, channels // 8, 2 * d, 2 * h, 2 * w)


def _conv(inputs: int, outputs: int, *, stride: int | tuple[int, int, int] = 1, residual: bool = False) -> Conv:
    return Conv(inputs, outputs, stride=stride, leak=LEAK, norm="instance", residual=residual)


def _up(inputs: int, outputs: int) -> Up:
    return Up(inputs, outputs, leak=LEAK, upsampling="trilinear", norm="instance")


def _interpolated(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Blocks' values at their parts' centres."""
    return F.interpolate(x, size=tuple(size), mode="trilinear", align_corners=False)


def _shrunk(box: Box, factor: int) -> Box:
    d, h, w = (slice(s.start // factor, s.stop // factor) for s in box)
    return d, h, w
