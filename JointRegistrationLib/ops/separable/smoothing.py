"""The multi-Gaussian kernel K that turns a momentum into a velocity, v = K m.

K = sum_i w_i G_sigma_i with sigmas in mm, so that it is the same operator on every grid. The momentum
is taken as zero outside the lattice: nothing wraps around, and K stays symmetric and positive, i.e.
<a, K b> = <K a, b> and <m, K m> >= 0. Away from the borders (some sigmas) a constant is reproduced;
towards them the velocity fades.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...core.config import KernelConfig
from ...core.errors import ConfigError
from ...core.geometry import Grid
from ..maps import check_on_grid
from .filters import AxisMatrices, apply_along_axes, gaussian_matrix


def smooth(field: Tensor, grid: Grid, sigmas_mm: Sequence[float], weights: Sequence[float]) -> Tensor:
    """Convolve each channel with sum_i w_i G_sigma_i, zero outside the lattice.

    Args:
        field: (N, C, D, H, W) on ``grid``; half precision is computed in float32.
        grid: lattice of ``field``; its spacing turns mm into voxels, axis by axis.
        sigmas_mm: standard deviations in mm, positive.
        weights: one per sigma, not negative; their sum is the gain for a constant.

    Returns:
        (N, C, D, H, W), dtype of ``field``.

    Raises:
        GeometryError: if ``field`` does not lie on ``grid``.
        ConfigError: for a sigma that is not positive, a negative weight, or unequal counts.

    Source: AVSM (arXiv 1903.08811) with the kernel of its published settings; there it is periodic.
    """
    check_on_grid(field, grid, "field to smooth")
    _check_kernel(sigmas_mm, weights)
    values = field if field.dtype == torch.float64 else field.float()
    kernel = (tuple(map(float, sigmas_mm)), tuple(map(float, weights)))
    terms = _matrices(grid.shape, grid.spacing_mm, kernel, values.device, values.dtype)
    smoothed = apply_along_axes(values, terms[0])
    for term in terms[1:]:
        smoothed = smoothed + apply_along_axes(values, term)
    return smoothed.to(field.dtype)


def velocity(momentum_mm: Tensor, grid: Grid, kernel: KernelConfig) -> Tensor:
    """v = K m (spec, section 4): (N, 3, D, H, W) RAS mm per unit time, as the momentum is."""
    return smooth(momentum_mm, grid, kernel.sigmas_mm, kernel.weights)


def _check_kernel(sigmas_mm: Sequence[float], weights: Sequence[float]) -> None:
    if len(sigmas_mm) != len(weights) or not sigmas_mm:
        raise ConfigError(
            f"smoothing: one weight per sigma is needed, but there are {len(sigmas_mm)} sigmas "
            f"and {len(weights)} weights"
        )
    for sigma in sigmas_mm:
        if not (math.isfinite(sigma) and sigma > 0):
            raise ConfigError(f"smoothing: every sigma must be a positive number of mm, but one is {sigma!r}")
    for weight in weights:
        if not (math.isfinite(weight) and weight >= 0):
            raise ConfigError(f"smoothing: a weight must not be negative, but one is {weight!r}: K would lose its sign")


@functools.lru_cache(maxsize=32)
def _matrices(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    kernel: tuple[tuple[float, ...], tuple[float, ...]],
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[AxisMatrices, ...]:
    """The matrices of each Gaussian, its weight folded into the first axis's."""
    terms = []
    # A tensor made under inference mode could not be used for training later, and this one is kept.
    with torch.inference_mode(False):
        for sigma, weight in zip(*kernel, strict=True):
            d, h, w = (gaussian_matrix(n, sigma / step) for n, step in zip(shape, reversed(spacing_mm), strict=True))
            axes = [torch.tensor(m, dtype=dtype, device=device) for m in (weight * d, h, w)]
            terms.append((axes[0], axes[1], axes[2]))
    return tuple(terms)
