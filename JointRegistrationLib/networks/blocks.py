"""Convolution blocks shared by the networks. All tensors are (N, C, D, H, W)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.errors import ConfigError
from ..ops.separable.filters import without_autocast

NORMALIZATIONS = ("none", "instance", "group")
UPSAMPLINGS = ("deconvolution", "trilinear")
LEAK = 0.01

#: Lattices with an axis shorter than this are convolved in float32, also under autocast: where all planes touch a
#: border, the CPU's bfloat16 gradient of the weights reads memory that nobody wrote (PyTorch 2.13, oneDNN).
FEW_VOXELS = 4


def normalization(name: str, channels: int) -> nn.Module:
    """A normalisation layer: none as published, instance, or groups of 8 channels."""
    if name == "none":
        return nn.Identity()
    if name == "instance":
        return InstanceNorm(channels, channels)
    if name == "group":
        return nn.GroupNorm(max(1, channels // 8), channels)
    raise ConfigError(f"normalisation {name!r} is unknown; choose one of {', '.join(NORMALIZATIONS)}")


class InstanceNorm(nn.GroupNorm):
    """Groups of one channel, also where one voxel is left (PyTorch's own layers refuse that)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class Conv(nn.Module):
    """3x3x3 convolution with bias, normalisation, activation; optionally adds its input at the end.

    Args:
        inputs, outputs: channels.
        stride: 1 or 2, or one for each axis.
        leak: slope of the activation on negatives: 0 is a ReLU, None none at all.
        norm: see :func:`normalization`.
        residual: output + input, after the activation (spec, section 3).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        stride: int | tuple[int, int, int] = 1,
        leak: float | None = 0.0,
        norm: str = "none",
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm = normalization(norm, outputs)
        self.leak = leak
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(convolve(self.conv, x))
        if self.leak is not None:
            y = F.leaky_relu(y, self.leak)
        return y + x if self.residual else y


def convolve(conv: nn.Conv3d, x: Tensor) -> Tensor:
    """``conv(x)`` in autocast's precision, in float32 where the lattice is too small for that (``FEW_VOXELS``)."""
    device = x.device.type
    small = min(x.shape[2:]) < FEW_VOXELS
    if small and torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        with without_autocast(device):
            return F.conv3d(x.float(), conv.weight, conv.bias, conv.stride, conv.padding)
    y: Tensor = conv(x)
    return y


class Up(nn.Module):
    """Doubles the resolution, to exactly the size of the level above.

    ``deconvolution`` is the published 2x2x2, stride 2; ``trilinear`` interpolates and applies a
    1x1x1 convolution, which leaves no checkerboard and runs wherever interpolation does.
    """

    def __init__(self, inputs: int, outputs: int, *, leak: float | None, upsampling: str, norm: str = "none") -> None:
        super().__init__()
        if upsampling not in UPSAMPLINGS:
            raise ConfigError(f"upsampling {upsampling!r} is unknown; choose one of {', '.join(UPSAMPLINGS)}")
        deconvolution = upsampling == "deconvolution"
        self.conv: nn.Module = (
            nn.ConvTranspose3d(inputs, outputs, 2, stride=2) if deconvolution else nn.Conv3d(inputs, outputs, 1)
        )
        self.deconvolution = deconvolution
        self.norm = normalization(norm, outputs)
        self.leak = leak

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """``x`` at the spatial size of ``like``."""
        y: Tensor = self.norm(self.conv(x))
        if self.leak is not None:
            y = F.leaky_relu(y, self.leak)
        return match_size(y, like)


def match_size(x: Tensor, like: Tensor) -> Tensor:
    """``x`` at the spatial size of ``like``, trilinear, corner voxels kept; ``x`` itself if it has it."""
    size = like.shape[2:]
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size=tuple(size), mode="trilinear", align_corners=True)


def fold(x: Tensor) -> Tensor:
    """Blocks of 2 x 2 x 2 voxels as channels: (N, 8 C, ceil(D/2), ceil(H/2), ceil(W/2)).

    Odd sizes are extended by repeating the first slice.
    """
    n, channels, *size = x.shape
    if any(s % 2 for s in size):
        x = F.pad(x, [size[2] % 2, 0, size[1] % 2, 0, size[0] % 2, 0], mode="replicate")
    d, h, w = (s // 2 for s in x.shape[2:])
    x = x.reshape(n, channels, d, 2, h, 2, w, 2)
    return x.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, channels * 8, d, h, w)
