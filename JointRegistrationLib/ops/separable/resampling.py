"""Resample an image to another lattice, anti-aliased."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...core.geometry import Grid
from ..maps import check_on_grid


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


def to_tensor(array: npt.NDArray[np.generic], device: torch.device | str = "cpu") -> Tensor:
    """A (k, j, i) array as a float32 tensor (1, 1, D, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None].to(device)
