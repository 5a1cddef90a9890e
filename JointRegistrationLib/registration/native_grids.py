"""From a solution on the working grid to everything a user gets, on the images' native grids.

Native grids are worked through in slabs along k, so that memory holds the results and little else, and the
slab in hand stays in the processor's cache. Vectors are the last axis here: (k, j, i, 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..core.geometry import FloatArray, Grid
from ..core.image import Image
from ..core.progress import Reporter
from ..core.result import FoldCount
from ..ops.maps import InverseMap, derivative, identity, inverse, length, sample, sample_unit
from ..ops.separable.aligned_grids import ParallelField, affine_vectors, parallel_axes, precise_device
from ..ops.separable.resampling import to_tensor
from .local_map import LocalMap

#: Voxels of a slab: few megabytes on a CPU, many threads' worth on a GPU.
_SLAB_VOXELS = 500_000
_SLAB_VOXELS_GPU = 8_000_000
#: Fixed-point steps of the inverse: of all points; and how often how many of those still off by more than this.
_STEPS_OF_ALL, _ROUNDS_OF_LATE, _STEPS_OF_LATE, _LATE_MM = 2, 5, 3, 0.01
#: The inverse is solved for at no more lattice points than this and interpolated to the others.
_INVERSE_VOXELS = 192 * 192 * 80
#: The round trip is measured at no more lattice points than about this.
_ROUND_TRIP_VOXELS = 3_000_000
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
    device = local.forward_mm.device
    with torch.no_grad():
        forward = forward_field(fixed_grid, affine_ras, local, reporter.part(0, 0.2))
        warped = warp_native(moving, fixed_grid, forward, device, reporter.part(0.2, 0.5))
        determinant, folds = jacobian(fixed_grid, forward, device, reporter.part(0.5, 0.7))
        backward = inverse_field(moving.grid, affine_ras, local)
        reporter.update(0.9)
        mean_mm, max_mm = round_trip_error(fixed_grid, forward, moving.grid, backward, device)
        reporter.update(1.0)
    return NativeFields(forward, backward, determinant, warped, folds, mean_mm, max_mm)


def slabs(grid: Grid, device: torch.device, margin: int = 0) -> Iterator[tuple[slice, slice, Grid]]:
    """Cut a grid along k: (slices to keep of the whole, of the slab, and the slab's own grid)."""
    i, j, num_slices = grid.size_ijk
    thickness = max(2, (_SLAB_VOXELS if device.type == "cpu" else _SLAB_VOXELS_GPU) // (i * j))
    starts = list(range(0, num_slices, thickness))
    if num_slices - starts[-1] < 2 and len(starts) > 1:
        starts.pop()  # a grid has at least two slices
    for start, end in zip(starts, [*starts[1:], num_slices], strict=True):
        low, high = max(start - margin, 0), min(end + margin, num_slices)
        part = grid.cropped((0, 0, low), (i, j, high - low))
        yield slice(start, end), slice(start - low, end - low), part


# -- fields ---------------------------------------------------------------------------------------------


def forward_field(
    fixed_grid: Grid, affine_ras: FloatArray, local: LocalMap, reporter: Reporter | None = None
) -> FloatVolume:
    """A(x + u(x)) - x on the fixed grid: (k, j, i, 3) RAS mm."""
    u = local.forward_mm
    linear = torch.as_tensor(affine_ras[:3, :3]).to(u)
    turned = torch.einsum("rc,ncdhw->nrdhw", linear, u)  # A(x + u) - x = (A x - x) + A' u, A' its linear part
    local_part = _reader(turned, local.grid, fixed_grid)
    without_u = (affine_ras - np.eye(4)) @ fixed_grid.ijk_to_ras
    result = np.empty((*fixed_grid.shape, 3), dtype=np.float32)
    for keep, _, part in slabs(fixed_grid, u.device):
        affine_part = affine_vectors(_from_slice(without_u, keep.start), part, u)
        result[keep] = (local_part(keep) + affine_part).cpu().numpy()
        _report(reporter, keep, fixed_grid)
    return result


def inverse_field(moving_grid: Grid, affine_ras: FloatArray, local: LocalMap) -> FloatVolume:
    """psi^-1(A^-1 y) - y on the moving grid: the flow backwards, polished against the forward field.

    Solved at ``_INVERSE_VOXELS`` points or fewer; between them linear interpolation is off by less than the
    forward field's own lattice is coarse.
    """
    grid = coarser(moving_grid, _INVERSE_VOXELS)
    solved = torch.empty((1, 3, *grid.shape), device=local.inverse_mm.device)
    back = np.linalg.inv(affine_ras)
    for keep, _, part in slabs(grid, solved.device):
        points = identity(part, device=solved.device)
        pulled = torch.einsum("rc,ncdhw->nrdhw", torch.as_tensor(back[:3, :3]).to(points), points)
        pulled = pulled + torch.as_tensor(back[:3, 3]).to(points).view(1, 3, 1, 1, 1)
        guess = pulled + sample(local.inverse_mm, local.grid, pulled, outside=None)
        found = inverse(
            local.forward_mm,
            local.grid,
            part,
            affine_ras=affine_ras,
            initial_map_ras=guess,
            iterations=_STEPS_OF_ALL,
            tolerance_mm=2e-3,
        )
        solved[:, :, keep] = _bring_home(found, pulled, local) - points
    return on_grid(solved, grid, moving_grid)


def _bring_home(found: InverseMap, pulled: Tensor, local: LocalMap) -> Tensor:
    """The inverse's map (1, 3, D, H, W) after further steps of those few points that all steps left late.

    Args:
        found: what all points have come to.
        pulled: A^-1 y, (1, 3, D, H, W) RAS mm.
        local: psi, of which the inverse is sought.
    """
    map_ras = found.map_ras.flatten(2).clone()
    start, error = pulled.flatten(2), found.error_mm.flatten()
    for _ in range(_ROUNDS_OF_LATE):
        late = (error > _LATE_MM).nonzero()[:, 0]
        if not len(late):
            break
        aim, x = (points[:, :, late, None, None] for points in (start, map_ras))
        best, least = x, torch.full_like(x[:, :1], torch.inf)
        for _ in range(_STEPS_OF_LATE + 1):
            following = aim - sample(local.forward_mm, local.grid, x, outside=None)
            off = length(following - x)
            best, least = torch.where(off < least, x, best), torch.minimum(off, least)
            x = following
        map_ras[:, :, late], error[late] = best[..., 0, 0], least[0, 0, :, 0, 0]
    return map_ras.view_as(pulled)


def coarser(grid: Grid, most_voxels: int) -> Grid:
    """The same field of view with at most about ``most_voxels`` lattice points, thinned evenly in mm."""
    if grid.num_voxels <= most_voxels:
        return grid
    spacing = np.asarray(grid.spacing_mm)
    target = spacing.copy()
    while np.prod(grid.extent_mm / target + 1) > most_voxels:  # widen the finest axes first
        target = np.maximum(target, target.min() * 1.05)
    return grid.resized([max(2, int(n)) for n in np.floor(grid.extent_mm / target + 1)])


def on_grid(field: Tensor, source: Grid, target: Grid) -> FloatVolume:
    """A displacement field (1, 3, d, h, w) on another grid, linear: (k, j, i, 3)."""
    if source == target:
        return np.ascontiguousarray(field[0].movedim(0, -1).cpu().numpy())
    read = _reader(field, source, target)
    result = np.empty((*target.shape, 3), dtype=np.float32)
    for keep, _, _ in slabs(target, field.device):
        result[keep] = read(keep).cpu().numpy()
    return result


def _reader(field: Tensor, source: Grid, target: Grid) -> Callable[[slice], Tensor]:
    """Reads ``field`` at slices of ``target``, (slices, j, i, 3): by matrix products where the axes allow."""
    if parallel_axes(source, target) is not None:
        return ParallelField(field, source, target).slab

    def read(keep: slice) -> Tensor:
        part = target.cropped((0, 0, keep.start), (*target.size_ijk[:2], keep.stop - keep.start))
        points = identity(part, device=field.device)
        return sample(field, source, points, outside=None)[0].movedim(0, -1)

    return read


def _from_slice(matrix: FloatArray, start: int) -> FloatArray:
    """A matrix from indices, for indices that count from slice ``start``."""
    moved = matrix.copy()
    moved[:, 3] += matrix[:, 2] * start
    return moved


# -- what is measured and warped with them -----------------------------------------------------------------


def warp_native(
    moving: Image,
    fixed_grid: Grid,
    displacement_mm: FloatVolume,
    device: torch.device | str = "cpu",
    reporter: Reporter | None = None,
) -> FloatVolume:
    """The moving image's own intensities on the fixed grid, linear, 0 outside: (k, j, i) float32."""
    values = to_tensor(moving.array, device)
    result = np.empty(fixed_grid.shape, dtype=np.float32)
    for keep, unit in _unit_positions(fixed_grid, displacement_mm, moving.grid, values):
        result[keep] = sample_unit(values, moving.grid, unit[None])[0, 0].cpu().numpy()
        _report(reporter, keep, fixed_grid)
    return result


def jacobian(
    grid: Grid, displacement_mm: FloatVolume, device: torch.device | str = "cpu", reporter: Reporter | None = None
) -> tuple[FloatVolume, FoldCount]:
    """det of the derivative of x -> x + u(x), by :func:`~.maps.jacobian_determinant`'s formula, and the folds."""
    result = np.empty(grid.shape, dtype=np.float32)
    diagonal = 0
    for keep, own, part in slabs(grid, torch.device(device), margin=1):
        whole = slice(keep.start - own.start, keep.start - own.start + part.shape[0])
        determinant, product = _determinants(torch.from_numpy(displacement_mm[whole]).to(device), grid, own)
        result[keep] = determinant.cpu().numpy()
        diagonal += int((product < 0).sum())
        _report(reporter, keep, grid)
    count = int((result <= 0).sum())
    return result, FoldCount(count, 100.0 * count / result.size, diagonal)


def _determinants(field: Tensor, grid: Grid, own: slice) -> tuple[Tensor, Tensor]:
    """Of x -> x + u(x), u (D, H, W, 3): the determinant and the product of its diagonal along the grid's axes.

    At the slices ``own``; those around them are needed for the derivative along k only.
    """
    direction = torch.as_tensor(grid.direction_ras, dtype=torch.float32, device=field.device)
    along = torch.einsum("ra,dhwr->adhw", direction, field)  # components along the grid's own axes
    inner = along[:, own]
    columns = [derivative(inner, 3), derivative(inner, 2), derivative(along, 1)[:, own]]
    for axis, (column, spacing) in enumerate(zip(columns, grid.spacing_mm, strict=True)):
        column.div_(spacing)
        column[axis] += 1.0
    (ii, ji, ki), (ij, jj, kj), (ik, jk, kk) = (column.unbind() for column in columns)
    determinant = ii * torch.addcmul(jj * kk, jk, kj, value=-1)
    determinant.addcmul_(ij, torch.addcmul(ji * kk, jk, ki, value=-1), value=-1)
    determinant.addcmul_(ik, torch.addcmul(ji * kj, jj, ki, value=-1))
    return determinant, ii * jj * kk


def round_trip_error(
    fixed_grid: Grid,
    forward_mm: FloatVolume,
    moving_grid: Grid,
    backward_mm: FloatVolume,
    device: torch.device | str = "cpu",
) -> tuple[float, float]:
    """Mean and largest ``|inverse(map(x)) - x|``, mm, over fixed points that land in the moving field of view.

    On large grids at every second or third point of each axis.
    """
    step = 1
    while fixed_grid.num_voxels / step**3 > _ROUND_TRIP_VOXELS:
        step += 1
    size = [max(2, -(-n // step)) for n in fixed_grid.size_ijk]
    matrix = fixed_grid.ijk_to_ras @ np.diag([step, step, step, 1.0])
    thinned = Grid.from_ijk_to_ras(size, matrix)
    forward_mm = np.ascontiguousarray(forward_mm[::step, ::step, ::step])
    total, count, largest = 0.0, 0, 0.0
    backward = torch.from_numpy(backward_mm).to(device).movedim(-1, 0)[None]
    for keep, unit in _unit_positions(thinned, forward_mm, moving_grid, backward):
        there_and = torch.from_numpy(forward_mm[keep]).to(device)
        and_back = sample_unit(backward, moving_grid, unit[None], outside=None)
        error = length(there_and.movedim(-1, 0)[None] + and_back)[0, 0][(unit - 0.5).abs().amax(dim=0) <= 0.5 + 1e-5]
        if error.numel():
            total, count = total + float(error.double().sum()), count + error.numel()
            largest = max(largest, float(error.max()))
    return total / max(count, 1), largest


def _unit_positions(
    grid: Grid, displacement_mm: FloatVolume, other: Grid, like: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Where x + u(x) lies in ``other``'s unit frame, slab by slab: (slices, (3, D, H, W))."""
    to_unit = other.ras_to_unit
    linear = torch.as_tensor(to_unit[:3, :3].copy()).to(like)
    from_index = torch.as_tensor(to_unit @ grid.ijk_to_ras).to(precise_device(like))
    k, j, i = (
        torch.arange(n, dtype=from_index.dtype, device=from_index.device) * from_index[:3, a, None]
        for a, n in zip((2, 1, 0), grid.shape, strict=True)
    )
    in_slice = (j[:, :, None] + i[:, None]).to(like)[:, None]
    of_slice = (k + from_index[:3, 3:]).to(like)[:, :, None, None]
    for keep, _, _ in slabs(grid, like.device):
        moved = torch.einsum("rc,dhwc->rdhw", linear, torch.from_numpy(displacement_mm[keep]).to(like.device))
        yield keep, moved.add_(in_slice).add_(of_slice[:, keep])


def _report(reporter: Reporter | None, keep: slice, grid: Grid) -> None:
    if reporter is not None:
        reporter.update(keep.stop / grid.shape[0])
