"""Local correlation with an image that stays: what does not change is added up once.

The value and gradient of :func:`.losses.lncc_loss` for a fixed image and a fixed weight, at a third of the time:
of six sums over windows three stay, and the way back adds up two terms fewer. An optimiser that compares the
same image a hundred times has use for that.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .separable import AxisMatrices, apply_along_axes
from .windows import FLAT_ROUNDINGS, LEAST_WEIGHT, full_window, window_matrices


class FixedLncc:
    """The loss 1 - lncc(x, fixed) as a function of x.

    Args:
        fixed: (1, 1, D, H, W), the image that stays.
        weight: likewise; windows with less than a tenth of a full one's weight are dropped.
        window: side in voxels.
        noise: standard deviation; see :func:`.losses.lncc`.
    """

    def __init__(self, fixed: Tensor, weight: Tensor, window: int, noise: float) -> None:
        self._matrices = window_matrices(fixed, window)
        self._centre = (weight * fixed).sum() / weight.sum().clamp_min(torch.finfo(fixed.dtype).tiny)
        y = fixed - self._centre
        self._weight, self._weighted = weight, weight * y
        w, wy, wyy = apply_along_axes(torch.cat([weight, self._weighted, self._weighted * y], 1), self._matrices)[0]
        counted = w >= LEAST_WEIGHT * full_window(self._matrices)
        self._share = torch.where(counted, 1 / w.clamp_min(torch.finfo(w.dtype).tiny), 0)
        self._mean = wy * self._share
        variation = wyy - wy * self._mean
        self._flat = FLAT_ROUNDINGS * torch.finfo(w.dtype).eps
        self._usable = counted & (variation > self._flat * wyy)
        self._variation = torch.where(self._usable, variation, 0)
        variance = self._variation * self._share
        importance = variance / (variance + noise**2) if noise > 0 else counted.to(w.dtype)
        self._importance = importance / importance.sum().clamp_min(torch.finfo(w.dtype).tiny)

    def __call__(self, x: Tensor) -> Tensor:
        """Scalar loss of ``x`` (1, 1, D, H, W), differentiable."""
        sums = _WindowSums.apply(x - self._centre, self._weight, self._weighted, self._matrices)  # type: ignore[no-untyped-call]
        wx, wxx, wxy = sums[0]
        variation = wxx - wx * wx * self._share
        usable = self._usable & (variation > self._flat * wxx)
        product = torch.where(usable, variation * self._variation, 1)
        covariation = torch.where(usable, wxy - wx * self._mean, 0)
        return 1 - (self._importance * covariation * product.rsqrt()).sum()


class _WindowSums(torch.autograd.Function):
    """Sums over windows of w x, w x^2 and w y x, as channels; the gradient is that of x only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, weighted_y: Tensor, matrices: AxisMatrices) -> Tensor:
        ctx.save_for_backward(x, weight, weighted_y)
        ctx.matrices = matrices
        wx = weight * x
        return apply_along_axes(torch.cat([wx, wx * x, weighted_y * x], dim=1), matrices)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None, None]:
        x, weight, weighted_y = ctx.saved_tensors
        d, h, w = ctx.matrices
        back = apply_along_axes(gradients[0], (d.T, h.T, w.T))
        return (back[:, :1] + 2 * back[:, 1:2] * x) * weight + back[:, 2:] * weighted_y, None, None, None
