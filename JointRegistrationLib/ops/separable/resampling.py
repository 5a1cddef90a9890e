"""Resample an image to another lattice, anti-aliased."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...core.geometry import Grid
from ..maps import check_on_grid
from .filters import apply_along_axes


def resample(values: Tensor, grid: Grid, size_ijk: Sequence[int]) -> Tensor:
    """Values (N, C, D, H, W) on ``grid.resized(size_ijk)``: linear, anti-aliased where it thins.

    Each axis is multiplied by a banded matrix of hat functions, widened to the target spacing where
    that is coarser; corner voxels stay where they are. Rows sum to 1.
    """
    check_on_grid(values, grid, "values")
    for axis, new in zip((4, 3, 2), size_ijk, strict=True):
        old = values.shape[axis]
        if old != new:
            matrix = _hat_matrix(old, new).to(values)
            values = torch.tensordot(values, matrix, dims=([axis], [1])).movedim(-1, axis)
    return values.contiguous()


def _hat_matrix(old: int, new: int) -> Tensor:
    """(new, old) interpolation weights between corner-aligned samplings of one interval."""
    centres = torch.linspace(0, old - 1, new, dtype=torch.float64)
    width = max((old - 1) / (new - 1), 1.0)
    weights = (1 - (centres[:, None] - torch.arange(old)).abs() / width).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)


def twice_as_fine(values: Tensor, grid: Grid) -> tuple[Tensor, Grid]:
    """Values (1, 1, D, H, W) between its voxels as well, by cubic splines: (2 D - 1, ...), and that lattice.

    Every second sample is a voxel of ``values``, unchanged up to rounding.
    """
    finer = grid.resized([2 * n - 1 for n in grid.size_ijk])
    d, h, w = (_spline_matrix(n).to(values) for n in grid.shape)
    return apply_along_axes(values, (d, h, w)), finer


@functools.lru_cache(maxsize=32)
def _spline_matrix(size: int) -> Tensor:
    """(2 size - 1, size): the cubic spline through ``size`` samples, mirrored at its ends, at every half step."""
    places = np.arange(2 * size - 1) / 2
    distance = np.abs(places[:, None] - np.arange(-1, size + 1))  # to the samples, and one beyond either end
    cubic = np.where(distance < 1, 2 / 3 - distance**2 * (1 - distance / 2), np.clip(2 - distance, 0, None) ** 3 / 6)
    mirrored = cubic[:, 1:-1].copy()
    mirrored[:, min(1, size - 1)] += cubic[:, 0]
    mirrored[:, max(size - 2, 0)] += cubic[:, -1]
    return torch.from_numpy(np.linalg.solve(mirrored[::2].T, mirrored.T).T.copy())


def to_tensor(array: npt.NDArray[np.generic], device: torch.device | str = "cpu") -> Tensor:
    """A (k, j, i) array as a float32 tensor (1, 1, D, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None].to(device)
