"""Co- and auto-variation of two images over windows: what local correlations are made of."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..separable.filters import AxisMatrices, apply_along_axes, window_matrix

#: A window counts if its voxels weigh at least this share of a full window.
LEAST_WEIGHT = 0.1
#: A window whose variation is below this many roundings of its sum of squares is flat.
FLAT_ROUNDINGS = 64


@dataclass(frozen=True)
class WindowVariation:
    """Window by window, each (N, D', H', W').

    Args:
        covariation: c = sum of (x - mean x)(y - mean y); 0 where not usable.
        product: a b, the same sums of squares of x and of y, multiplied; 0 where not usable.
        usable: the window counts and neither image is flat in it.
        counted: the window has enough weight to enter the mean.
        variance: of y, per unit of weight; 0 where not counted.
    """

    covariation: Tensor
    product: Tensor
    usable: Tensor
    counted: Tensor
    variance: Tensor

    def mean(self, values: Tensor, noise: float = 0.0) -> Tensor:
        """Mean over each image's counted windows, 0 where there is none, then over the batch.

        With ``noise`` (a standard deviation) a window counts by its share of structure in y,
        variance / (variance + noise^2), so that flat ones do not pull.
        """
        axes = (1, 2, 3)
        importance = self.counted.to(values.dtype)
        if noise > 0:
            importance = self.variance / (self.variance + noise**2)
        total = importance.sum(dim=axes)
        return ((importance * values).sum(dim=axes) / total.clamp_min(torch.finfo(values.dtype).tiny)).mean()


def moments(x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
    """Return what a window has to add up, as channels: w x, w y, w x^2, w y^2, w x y and, if given, w itself.

    Images and weight are (N, 1, D, H, W). Centre the images first: the variations are then
    differences of smaller numbers.
    """
    channels = [x, y, x * x, y * y, x * y]
    if weight is not None:
        channels = [*(weight * values for values in channels), weight]
    return torch.cat(channels, dim=1)


def window_variation(to_sum: Tensor, window: int, dilation: int = 1) -> WindowVariation:
    """Variations over cubic windows of side ``window``, every max((window + 1) // 4, 1) voxels, unpadded.

    Args:
        to_sum: (N, 5 or 6, D, H, W) from :func:`moments`.
        window: voxels taken along each axis; fewer along an axis too short for them.
        dilation: distance between neighbouring voxels of a window.
    """
    matrices = window_matrices(to_sum, window, dilation)
    x, y, xx, yy, xy, *weights = apply_along_axes(to_sum, matrices).unbind(dim=1)
    full = full_window(matrices)
    weight = weights[0] if weights else torch.full_like(x, full)
    counted = weight >= LEAST_WEIGHT * full
    share = 1 / torch.where(counted, weight, torch.ones_like(weight))
    a, b, c = xx - x * x * share, yy - y * y * share, xy - x * y * share
    flat = FLAT_ROUNDINGS * torch.finfo(x.dtype).eps
    usable = counted & (a > flat * xx) & (b > flat * yy)
    zero = torch.zeros_like(a)
    variance = torch.where(usable, b * share, zero)
    return WindowVariation(torch.where(usable, c, zero), torch.where(usable, a * b, zero), usable, counted, variance)


def window_matrices(values: Tensor, window: int, dilation: int = 1) -> AxisMatrices:
    """Return what adds up ``values`` (N, C, D, H, W) over windows of :func:`window_variation`, axis by axis."""
    shape = (values.shape[2], values.shape[3], values.shape[4])
    return _window_matrices(shape, (window, dilation), values.device, values.dtype)


def full_window(matrices: AxisMatrices) -> int:
    """The number of voxels of a window."""
    return math.prod(int(matrix[0].sum()) for matrix in matrices)


@functools.lru_cache(maxsize=32)
def _window_matrices(
    shape: tuple[int, int, int], window: tuple[int, int], device: torch.device, dtype: torch.dtype
) -> AxisMatrices:
    """Matrices of windows (side, dilation) with their stride, for axes D, H, W."""
    size, dilation = window
    stride = max((size + 1) // 4, 1)
    # A tensor made under inference mode could not be used for training later, and this one is kept.
    with torch.inference_mode(False):
        d, h, w = (torch.tensor(window_matrix(n, size, stride, dilation), dtype=dtype, device=device) for n in shape)
    return d, h, w
