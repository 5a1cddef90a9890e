"""Momentum generation networks (spec, section 3): two images in, a vector momentum at half resolution out.

Images (N, 1, D, H, W) enter with values in [0, 1]. The networks' raw output has one channel per array
axis, in the order k, j, i (channel 0 along D, as published); :func:`momentum_ras` turns it into RAS
components in mm. The momentum's lattice has ceil(n / 2) voxels an axis over the same field of view.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..core.geometry import Grid
from ..ops import maps
from ..ops.separable.filters import without_autocast
from .blocks import LEAK, Conv, Up, convolve, fold


class _UNet(nn.Module):
    """What the networks do from half resolution down and up again."""

    at_quarter: nn.Module
    at_eighth: nn.Module
    at_sixteenth: nn.Module
    up_eighth: nn.Module
    eighth_out: nn.Module
    up_quarter: nn.Module
    quarter_out: nn.Module
    up_half: nn.Module
    half_out: nn.Module

    def _below(self, half: Tensor) -> Tensor:
        quarter = self.at_quarter(half)
        eighth = self.at_eighth(quarter)
        y = self.eighth_out(_join(self.up_eighth(self.at_sixteenth(eighth), eighth), eighth))
        y = self.quarter_out(_join(self.up_quarter(y, quarter), quarter))
        out: Tensor = self.half_out(_join(self.up_half(y, half), half))
        return out


class PublishedMomentumNet(_UNet):
    """The published residual U-Net without its full-resolution decoder level: 5,938,515 parameters."""

    def __init__(self, upsampling: str = "deconvolution") -> None:
        super().__init__()
        self.at_full = Conv(2, 16)
        self.at_half = Conv(16, 32, stride=2)
        self.half_blocks = nn.ModuleList([Conv(32, 32), Conv(32, 32)])
        self.at_quarter = _level(32, 64, 2)
        self.at_eighth = _level(64, 128, 2)
        self.at_sixteenth = _level(128, 256, 1)
        self.up_eighth = Up(256, 128, leak=LEAK, upsampling=upsampling)
        self.eighth_out = nn.Sequential(Conv(256, 128, leak=LEAK), Conv(128, 128, leak=LEAK, residual=True))
        self.up_quarter = Up(128, 64, leak=LEAK, upsampling=upsampling)
        self.quarter_out = nn.Sequential(Conv(128, 32, leak=LEAK), Conv(32, 32, leak=LEAK, residual=True))
        self.up_half = Up(32, 32, leak=LEAK, upsampling=upsampling)
        self.half_out = nn.Sequential(Conv(64, 16, leak=None), Conv(16, 3, leak=None))

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Raw momentum (N, 3, ceil(D/2), ceil(H/2), ceil(W/2)), channels along k, j, i."""
        x = self.at_full(2 * torch.cat([moving, fixed], dim=1) - 1)
        a = self.at_half(x)
        u = a + self.half_blocks[0](a)
        half = a + self.half_blocks[1](u)  # adds a, not u: as published
        return self._below(half)


class LightMomentumNet(_UNet):
    """The published light variant, no residuals: 781,523 parameters."""

    def __init__(self, upsampling: str = "deconvolution") -> None:
        super().__init__()
        self.at_full = Conv(2, 16)
        self.at_half = nn.Sequential(Conv(16, 32, stride=2), Conv(32, 32))
        self.at_quarter = nn.Sequential(Conv(32, 32, stride=2), Conv(32, 32))
        self.at_eighth = nn.Sequential(Conv(32, 64, stride=2), Conv(64, 64))
        self.at_sixteenth = Conv(64, 64, stride=2)
        self.up_eighth = Up(64, 64, leak=LEAK, upsampling=upsampling)
        self.eighth_out = Conv(128, 64, leak=LEAK)
        self.up_quarter = Up(64, 64, leak=LEAK, upsampling=upsampling)
        self.quarter_out = Conv(96, 32, leak=LEAK)
        self.up_half = Up(32, 32, leak=LEAK, upsampling=upsampling)
        self.half_out = nn.Sequential(Conv(64, 16, leak=None), Conv(16, 3, leak=None))

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """See :meth:`PublishedMomentumNet.forward`."""
        half = self.at_half(self.at_full(2 * torch.cat([moving, fixed], dim=1) - 1))
        return self._below(half)


class FastMomentumNet(_UNet):
    """Our own: normalised, cheap at full resolution, a last layer of zeros.

    The images are folded 2 x 2 x 2 voxels into channels, so that nothing is computed at full
    resolution; instance normalisation, trilinear upsampling. Zero output at the start means that an
    untrained network leaves the affine map as it is.

    Args:
        channels: at 1/2, 1/4, 1/8 and 1/16 of the input's resolution.
    """

    def __init__(self, channels: tuple[int, int, int, int] = (24, 64, 96, 128)) -> None:
        super().__init__()
        a, b, c, d = channels
        self.at_half = nn.Sequential(_conv(16, a), _conv(a, a, residual=True))
        self.at_quarter = nn.Sequential(_conv(a, b, stride=2), _conv(b, b, residual=True))
        self.at_eighth = nn.Sequential(_conv(b, c, stride=2), _conv(c, c, residual=True), _conv(c, c, residual=True))
        self.at_sixteenth = nn.Sequential(_conv(c, d, stride=2), _conv(d, d, residual=True))
        self.up_eighth = Up(d, c, leak=LEAK, upsampling="trilinear", norm="instance")
        self.eighth_out = nn.Sequential(_conv(2 * c, c), _conv(c, c, residual=True))
        self.up_quarter = Up(c, b, leak=LEAK, upsampling="trilinear", norm="instance")
        self.quarter_out = _conv(2 * b, b)
        self.up_half = Up(b, a, leak=LEAK, upsampling="trilinear", norm="instance")
        self.half_out = _conv(2 * a, a)
        self.output = nn.Conv3d(a, 3, 3, padding=1)
        nn.init.zeros_(self.output.weight)
        if self.output.bias is not None:
            nn.init.zeros_(self.output.bias)

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """See :meth:`PublishedMomentumNet.forward`."""
        half = self.at_half(fold(2 * torch.cat([moving, fixed], dim=1) - 1))
        return convolve(self.output, self._below(half))


def _conv(inputs: int, outputs: int, stride: int = 1, residual: bool = False) -> Conv:
    return Conv(inputs, outputs, stride=stride, leak=LEAK, norm="instance", residual=residual)


def _level(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    residuals = [Conv(outputs, outputs, residual=True) for _ in range(blocks)]
    return nn.Sequential(Conv(inputs, outputs, stride=2), *residuals)


def _join(x: Tensor, skip: Tensor) -> Tensor:
    return torch.cat([x, skip], dim=1)


def momentum_ras(raw: Tensor, grid: Grid, scale_mm: float | None) -> Tensor:
    """A network's output as RAS components in mm.

    Args:
        raw: (N, 3, d, h, w), channels along the array axes k, j, i.
        grid: lattice of the images or of the momentum: only axes and field of view matter.
        scale_mm: one unit of the output in mm; None: the field of view along each axis (published:
            the unit cube).
    """
    unit = np.full(3, scale_mm) if scale_mm is not None else grid.extent_mm
    matrix = np.asarray(grid.direction_ras) * unit  # columns i, j, k
    with without_autocast(raw.device.type):
        return torch.einsum("rc,ncdhw->nrdhw", maps.matrix_tensor(matrix, raw), raw.flip(1))
