"""Displacement fields brought to a finer lattice whose axes are parallel to theirs, one axis at a time.

A momentum's lattice runs along its image's axes, so that the millions of native points need no search: three
interpolations between neighbouring columns, rows and slices give what linear interpolation gives, many times
faster. Vectors are the last axis here, (k, j, i, 3), as results leave the library and as ``grid_sample`` wants
its coordinates.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...core.geometry import FloatArray, Grid
from ..maps import check_on_grid

#: Two lattices count as parallel if no point of one is off by more than this many voxels of the other.
_TOLERANCE_VOXELS = 1e-3


class ParallelField:
    """A vector field on one lattice, to be read slab by slab on another, parallel one.

    Between lattice points it is linear; beyond the outermost the border value holds, as with
    :func:`~.maps.sample` and ``outside=None``.

    Args:
        field: (1, 3, d, h, w) on ``source``.
        source, target: lattices with :func:`parallel_axes`.
    """

    def __init__(self, field: Tensor, source: Grid, target: Grid) -> None:
        check_on_grid(field, source, "field")
        axes = parallel_axes(source, target)
        if axes is None:
            raise ValueError("the two lattices are not parallel")
        to_source = source.ras_to_ijk @ target.ijk_to_ras
        places = [_Places(np.zeros(0), 2)] * 3
        for own, other in enumerate(axes):
            positions = to_source[own, other] * np.arange(target.size_ijk[other]) + to_source[own, 3]
            places[other] = _Places(positions, source.size_ijk[own])
        order = [2 - axes.index(axis) for axis in (2, 1, 0)]  # tensor axes of the source in the target's order
        self._field = field[0].permute(0, *(1 + axis for axis in order))  # (3, k, j, i) along the target's axes
        self._to_i = places[0].weights(field).T
        self._along_j, self._along_k = places[1:]
        self._slices: dict[int, Tensor] = {}

    def slab(self, keep: slice) -> Tensor:
        """The field at the target's slices ``keep``: (slices, j, i, 3)."""
        slices = []
        for n in range(keep.start, keep.stop):
            below, share = self._along_k.place(n)
            rows = torch.lerp(self._source_slice(below), self._source_slice(below + 1), share)
            slices.append(self._along_j.between(rows))
        return torch.stack(slices)

    def _source_slice(self, number: int) -> Tensor:
        """Slice ``number`` of the source brought to the target's columns, (j, i, 3); kept while it is in use."""
        if number not in self._slices:
            self._slices = {n: rows for n, rows in self._slices.items() if abs(n - number) == 1}
            self._slices[number] = (self._field[:, number] @ self._to_i).movedim(0, -1).contiguous()
        return self._slices[number]


class _Places:
    """Positions (indices, border value outside) along an axis of ``size`` points: the point below, and how far on."""

    def __init__(self, positions: FloatArray, size: int) -> None:
        clipped = np.clip(positions, 0, size - 1)
        self._below = np.minimum(clipped.astype(int), size - 2)
        self._share = clipped - self._below
        self._size = size

    def place(self, number: int) -> tuple[int, float]:
        """The point below position ``number``, and how far the position is on the way to the next, 0..1."""
        return int(self._below[number]), float(self._share[number])

    def between(self, rows: Tensor) -> Tensor:
        """``rows`` (n, ...) at the positions, linear."""
        below = torch.from_numpy(self._below).to(rows.device)
        share = torch.from_numpy(self._share).to(rows).view(-1, *[1] * (rows.ndim - 1))
        return torch.lerp(rows.index_select(0, below), rows.index_select(0, below + 1), share)

    def weights(self, like: Tensor) -> Tensor:
        """The same as a matrix, (positions, size)."""
        return self.between(torch.eye(self._size, dtype=like.dtype, device=like.device))


def parallel_axes(source: Grid, target: Grid) -> tuple[int, int, int] | None:
    """For each of the source's axes i, j, k the target's axis (0, 1, 2) that runs along it, or None.

    None if the lattices are turned against each other.
    """
    linear = (source.ras_to_ijk @ target.ijk_to_ras)[:3, :3]
    axes = np.abs(linear).argmax(axis=1)
    if len(set(axes.tolist())) < 3:
        return None
    across = np.abs(linear) * np.asarray(target.size_ijk)
    across[range(3), axes] = 0
    return None if across.max() > _TOLERANCE_VOXELS else (int(axes[0]), int(axes[1]), int(axes[2]))


def affine_vectors(matrix: FloatArray, grid: Grid, like: Tensor) -> Tensor:
    """M x at the points x (indices) of a grid, (k, j, i, 3), for a 4x4 ``matrix`` from indices to anything."""
    m = torch.as_tensor(matrix[:3], dtype=torch.float64, device=precise_device(like))
    i, j, k = (
        torch.arange(n, dtype=torch.float64, device=m.device)[:, None] * m[:, a] for a, n in enumerate(grid.size_ijk)
    )
    in_slice = (j[:, None] + i[None]).to(like)
    return (k + m[:, 3]).to(like)[:, None, None] + in_slice


def precise_device(like: Tensor) -> torch.device:
    """Return a device where double precision is at hand: not Apple's GPU."""
    return torch.device("cpu") if like.device.type == "mps" else like.device
