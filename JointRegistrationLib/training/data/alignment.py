"""Affines between subjects, read off their label maps: what the affine network is first taught.

Every scan is aligned to one template (the mean of the aligned distance fields) by least squares on
the signed distances of all structures; the affine of a pair follows by composition, for all n^2
pairs from n fits.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...core.geometry import FloatArray, Grid
from ...files.output import atomic_file
from ...ops import maps
from .labels import DISTANCE_STEP_MM
from .pool import Pool

#: Distances beyond this say nothing about where a surface is.
CLIP_MM = 10.0


def distances_mm(stored: Tensor) -> Tensor:
    """Stored bytes (C, D, H, W) as clipped millimetres (1, C, D, H, W)."""
    return (stored.float() * DISTANCE_STEP_MM).clamp(-CLIP_MM, CLIP_MM)[None]


def fit_distances(fixed: Tensor, moving: Tensor, grid: Grid, start: FloatArray, iterations: int = 30) -> FloatArray:
    """Affine (4x4, RAS, fixed to moving points) that best superposes two sets of distance fields.

    Args:
        fixed, moving: (1, C, D, H, W) mm on ``grid``.
        grid: their lattice.
        start: first guess.
        iterations: of L-BFGS.
    """
    points = maps.identity(grid)
    centre, scale = points.mean(dim=(2, 3, 4), keepdim=True), 50.0
    near = (fixed.abs() < CLIP_MM - 0.1).any(dim=1, keepdim=True).float()
    base = maps.matrix_tensor(start, points)
    change = torch.zeros(1, 3, 4, requires_grad=True)
    optimizer = torch.optim.LBFGS([change], max_iter=iterations, history_size=10, line_search_fn="strong_wolfe")

    def moved() -> Tensor:
        offset = (points - centre) / scale
        shift = torch.einsum("rc,ncdhw->nrdhw", change[0, :, :3], offset) + change[:, :, 3].view(1, 3, 1, 1, 1)
        return maps.apply_matrix(base, points + 10 * shift)

    def closure() -> Tensor:
        optimizer.zero_grad()
        difference = maps.sample(moving, grid, moved(), outside=None) - fixed
        loss = (difference.square() * near).sum() / near.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        linear = np.eye(4)
        linear[:3, :3] += 10 / scale * change[0, :, :3].numpy()
        linear[:3, 3] = 10 * change[0, :, 3].numpy()
        middle = np.eye(4)
        middle[:3, 3] = centre.flatten().numpy()
    return np.asarray(start @ middle @ linear @ np.linalg.inv(middle), dtype=np.float64)


def align_pool(pool: Pool, rounds: int = 2) -> tuple[dict[str, FloatArray], Tensor]:
    """Template-to-scan affines by name, and the template's distance fields (1, C, D, H, W) in mm.

    The template has the scans' mean pose, size and distances: other knees can be aligned to it later
    and then belong to the same frame.
    """
    template = distances_mm(pool.scans[0].distances)
    matrices: dict[str, FloatArray] = {scan.name: np.eye(4) for scan in pool.scans}
    for _ in range(rounds):
        for scan in pool.scans:
            matrices[scan.name] = fit_distances(template, distances_mm(scan.distances), pool.grid, matrices[scan.name])
        matrices = _centered(matrices)
        template = _mean_distances(pool, matrices)
    return matrices, template


def _mean_distances(pool: Pool, matrices: dict[str, FloatArray]) -> Tensor:
    """Mean of all scans' distance fields, each brought into the template's frame."""
    total = torch.zeros(())
    for scan in pool.scans:
        own = distances_mm(scan.distances)
        points = maps.affine_map(matrices[scan.name], pool.grid, own)
        total = total + maps.sample(own, pool.grid, points, outside=CLIP_MM)
    return total / len(pool.scans)


def align_to(pool: Pool, template: Tensor) -> dict[str, FloatArray]:
    """Template-to-scan affines of other scans, for measuring only."""
    return {
        scan.name: fit_distances(template, distances_mm(scan.distances), pool.grid, np.eye(4)) for scan in pool.scans
    }


def _centered(matrices: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Matrices whose mean is the identity: the template gets the scans' mean pose and size."""
    mean = np.mean(list(matrices.values()), axis=0)
    return {name: np.asarray(matrix @ np.linalg.inv(mean), dtype=np.float64) for name, matrix in matrices.items()}


def save_affines(matrices: dict[str, FloatArray], folder: Path) -> None:
    """Write ``affines.json`` where :func:`~.pool.load_pool` looks for it."""
    text = json.dumps({name: matrix.tolist() for name, matrix in matrices.items()}, indent=1)
    with atomic_file(folder / "affines.json") as temporary:
        temporary.write_text(text)
