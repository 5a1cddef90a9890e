"""Separable linear filters as one dense matrix per axis.

At the sizes met here (tens to two hundred nodes an axis) three matrix products are faster than an
FFT or a cumulative sum, accurate in float32, differentiable, and the same on CPU, CUDA and MPS.
"""

from __future__ import annotations

import contextlib
import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

#: One matrix (out, in) for each of a tensor's axes D, H, W.
AxisMatrices = tuple[Tensor, Tensor, Tensor]


def apply_along_axes(values: Tensor, matrices: AxisMatrices) -> Tensor:
    """Multiply (N, C, D, H, W) along D, H and W: (N, C, D', H', W') for matrices (D', D), (H', H), (W', W).

    Never in half precision, not even under autocast, which would otherwise turn the products to it.
    On CUDA leave TF32 matrix products off (PyTorch's default): window sums need all of float32.
    """
    n, c, d, h, w = values.shape
    along_d, along_h, along_w = matrices
    (to_d, to_h, to_w) = (len(m) for m in matrices)
    with without_autocast(values.device.type):
        result = values.reshape(-1, w) @ along_w.T
        result = torch.bmm(along_h.expand(n * c * d, to_h, h), result.view(n * c * d, h, to_w))
        result = torch.bmm(along_d.expand(n * c, to_d, d), result.view(n * c, d, to_h * to_w))
    return result.view(n, c, to_d, to_h, to_w)


def apply_with_channels_last(values: Tensor, matrices: AxisMatrices) -> Tensor:
    """:func:`apply_along_axes` for one tensor (1, C, D, H, W) of few channels; in memory they come last in the result.

    So points are ready for ``grid_sample`` without a further pass.
    """
    _, c, d, h, w = values.shape
    along_d, along_h, along_w = matrices
    (to_d, to_h, to_w) = (len(m) for m in matrices)
    with without_autocast(values.device.type):
        rows = (values.reshape(-1, w) @ along_w.T).view(c, d, h, to_w).permute(1, 2, 3, 0)
        slices = torch.bmm(along_h.expand(d, to_h, h), rows.reshape(d, h, to_w * c))
        result = along_d @ slices.view(d, to_h * to_w * c)
    return result.view(1, to_d, to_h, to_w, c).movedim(-1, 1)


def interpolation_matrix(size: int, finer: int) -> npt.NDArray[np.float64]:
    """Linear interpolation of ``size`` nodes, 2 at least, at ``finer`` ones, first on first and last on last."""
    places = np.linspace(0, size - 1, finer)
    below = np.minimum(places.astype(int), size - 2)
    matrix = np.zeros((finer, size))
    matrix[np.arange(finer), below] = 1 - (places - below)
    matrix[np.arange(finer), below + 1] = places - below
    return matrix


def gaussian_matrix(size: int, sigma_voxels: float) -> npt.NDArray[np.float64]:
    """Convolution by a sampled Gaussian on ``size`` nodes with zeros around them: (size, size).

    Symmetric Toeplitz. It is positive definite because a sampled Gaussian's spectrum, a sum of
    shifted Gaussians, is positive. Normalised over the whole line, not over the lattice.
    """
    reach = max(size, math.ceil(9 * sigma_voxels) + 1)
    kernel = np.exp(-0.5 * (np.arange(reach) / sigma_voxels) ** 2)
    kernel /= kernel[0] + 2 * kernel[1:].sum()
    nodes = np.arange(size)
    return np.asarray(kernel[np.abs(nodes[:, None] - nodes[None, :])], dtype=np.float64)


def window_matrix(size: int, window: int, stride: int, dilation: int) -> npt.NDArray[np.float64]:
    """Sums over windows that fit into ``size`` nodes, without padding: (number of windows, size).

    Window j adds the nodes ``stride`` j + ``dilation`` t, t = 0 .. ``window`` - 1. A window longer than
    the axis is shortened to as many nodes as fit.
    """
    window = min(window, (size - 1) // dilation + 1)
    starts = np.arange(0, size - dilation * (window - 1), stride)
    matrix = np.zeros((len(starts), size))
    for tap in range(window):
        matrix[np.arange(len(starts)), starts + dilation * tap] = 1.0
    return matrix


def without_autocast(device_type: str) -> contextlib.AbstractContextManager[object]:
    """A context in which matrix products keep float32, whatever mixed precision surrounds it."""
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()
