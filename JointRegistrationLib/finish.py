"""From a solution on the working grid to everything a user gets, on the images' native grids.

Native grids are worked through in slabs along k, so that memory holds the results and little else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .geometry import FloatArray, Grid
from .image import Image
from .maps import apply_matrix, diagonal_product, identity, inside, inverse, jacobian_determinant, sample
from .preprocess import to_tensor
from .progress import Reporter
from .result import FoldCount
from .vsvf_opt import LocalMap

_SLAB_VOXELS = 2_000_000
FloatVolume = npt.NDArray[np.float32]


@dataclass(frozen=True)
class NativeFields:
    """Fields on native grids; see :class:`~.result.RegistrationResult` for each."""

    displacement_mm: FloatVolume
    inverse_displacement_mm: FloatVolume
    jacobian_determinant: FloatVolume
    warped: FloatVolume
    folds: FoldCount
    inverse_error_mean_mm: float
    inverse_error_max_mm: float


def finish(
    fixed_grid: Grid, moving: Image, affine_ras: FloatArray, local: LocalMap, reporter: Reporter
) -> NativeFields:
    """Evaluate A o psi and its inverse on the native grids, warp, and measure."""
    with torch.no_grad():
        forward = _forward(fixed_grid, affine_ras, local)
        reporter.update(0.25)
        warped = warp_native(moving, fixed_grid, forward, local.forward_mm.device)
        reporter.update(0.4)
        determinant, folds = _jacobian(fixed_grid, forward)
        reporter.update(0.6)
        backward = _inverse(moving.grid, affine_ras, local)
        reporter.update(0.85)
        mean_mm, max_mm = round_trip_error(fixed_grid, forward, moving.grid, backward)
        reporter.update(1.0)
    return NativeFields(forward, backward, determinant, warped, folds, mean_mm, max_mm)


def slabs(grid: Grid, margin: int = 0) -> Iterator[tuple[slice, slice, Grid]]:
    """Cut a grid along k: (slices to keep of the whole, of the slab, and the slab's own grid)."""
    i, j, num_slices = grid.size_ijk
    thickness = max(2, _SLAB_VOXELS // (i * j))
    starts = list(range(0, num_slices, thickness))
    if num_slices - starts[-1] < 2 and len(starts) > 1:
        starts.pop()  # a grid has at least two slices
    for start, end in zip(starts, [*starts[1:], num_slices], strict=True):
        low, high = max(start - margin, 0), min(end + margin, num_slices)
        part = grid.cropped((0, 0, low), (i, j, high - low))
        yield slice(start, end), slice(start - low, end - low), part


def to_vectors(field: Tensor) -> FloatVolume:
    """(1, 3, D, H, W) as a (k, j, i, 3) array."""
    return np.ascontiguousarray(field[0].movedim(0, -1).cpu().numpy(), dtype=np.float32)


def from_vectors(field: FloatVolume, device: torch.device | str = "cpu") -> Tensor:
    """(k, j, i, 3) as a (1, 3, D, H, W) tensor."""
    return torch.from_numpy(np.ascontiguousarray(field)).movedim(-1, 0)[None].to(device)


def warp_native(
    moving: Image, fixed_grid: Grid, displacement_mm: FloatVolume, device: torch.device | str = "cpu"
) -> FloatVolume:
    """The moving image's own intensities on the fixed grid, linear, 0 outside: (k, j, i) float32."""
    result = np.empty(fixed_grid.shape, dtype=np.float32)
    values = to_tensor(moving.array, device)
    for keep, _, part in slabs(fixed_grid):
        points = identity(part, device=device) + from_vectors(displacement_mm[keep], device)
        result[keep] = sample(values, moving.grid, points)[0, 0].cpu().numpy()
    return result


def _forward(fixed_grid: Grid, affine_ras: FloatArray, local: LocalMap) -> FloatVolume:
    result = np.empty((*fixed_grid.shape, 3), dtype=np.float32)
    for keep, _, part in slabs(fixed_grid):
        points = identity(part, device=local.forward_mm.device)
        moved = apply_matrix(affine_ras, points + sample(local.forward_mm, local.grid, points, outside=None))
        result[keep] = to_vectors(moved - points)
    return result


def _inverse(moving_grid: Grid, affine_ras: FloatArray, local: LocalMap) -> FloatVolume:
    """psi^-1(A^-1 y) - y on the moving grid: the flow backwards, polished against the forward field."""
    result = np.empty((*moving_grid.shape, 3), dtype=np.float32)
    back = np.linalg.inv(affine_ras)
    for keep, _, part in slabs(moving_grid):
        points = identity(part, device=local.inverse_mm.device)
        pulled = apply_matrix(back, points)
        guess = pulled + sample(local.inverse_mm, local.grid, pulled, outside=None)
        solved = inverse(
            local.forward_mm,
            local.grid,
            part,
            affine_ras=affine_ras,
            initial_map_ras=guess,
            iterations=3,
            tolerance_mm=1e-3,
        )
        result[keep] = to_vectors(solved.map_ras - points)
    return result


def _jacobian(grid: Grid, displacement_mm: FloatVolume) -> tuple[FloatVolume, FoldCount]:
    result = np.empty(grid.shape, dtype=np.float32)
    diagonal = 0
    for keep, own, part in slabs(grid, margin=1):
        whole = slice(keep.start - own.start, keep.start - own.start + part.shape[0])
        map_ras = identity(part) + from_vectors(displacement_mm[whole])
        result[keep] = jacobian_determinant(map_ras, part)[0, 0, own].numpy()
        diagonal += int((diagonal_product(map_ras, part)[0, 0, own] < 0).sum())
    count = int((result <= 0).sum())
    return result, FoldCount(count, 100.0 * count / result.size, diagonal)


def round_trip_error(
    fixed_grid: Grid, forward_mm: FloatVolume, moving_grid: Grid, backward_mm: FloatVolume
) -> tuple[float, float]:
    """Mean and largest |inverse(map(x)) - x|, mm, over fixed points that land in the moving field of view."""
    total, count, largest = 0.0, 0, 0.0
    backward = from_vectors(backward_mm)
    for keep, _, part in slabs(fixed_grid):
        step = from_vectors(forward_mm[keep])
        there = identity(part) + step
        error = (step + sample(backward, moving_grid, there, outside=None)).norm(dim=1, keepdim=True)
        error = error[inside(moving_grid, there, margin_voxels=0.0)]
        if error.numel():
            total, count = total + float(error.double().sum()), count + error.numel()
            largest = max(largest, float(error.max()))
    return total / max(count, 1), largest
