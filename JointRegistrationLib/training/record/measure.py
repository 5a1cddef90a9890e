"""Weights measured on a validation pool: Dice and folds after each number of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...core.errors import InputError
from ...core.geometry import Grid
from ...networks.model import AVSM, AVSMOutput, compose_step
from ...ops import maps
from ..data.batches import Batch, stored_pair
from ..data.pool import Pool
from ..validation import choose_pairs, folds_percent, overlap_figures


@dataclass(frozen=True)
class Measurement:
    """What one number of steps reaches on one group of pairs: means over the pairs.

    Args:
        stage: numbers of steps, e.g. ``"affine 7, vSVF 2"``.
        group: ``"longitudinal"`` or ``"cross-subject"``.
        dice: of the cartilage of femur and tibia.
        dice_all: of all structures.
        folds: percent of voxels.
        pairs: how many.
    """

    stage: str
    group: str
    dice: float
    dice_all: float
    folds: float
    pairs: int


@torch.no_grad()
def measure(
    model: AVSM,
    working: Pool,
    fine: Pool,
    affine_steps: Sequence[int],
    vsvf_steps: Sequence[int],
    count: int,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Measurement]:
    """Run the networks on ``working`` images and measure the maps on the ``fine`` label distances.

    Args:
        model: the networks.
        working, fine: the same scans, at the networks' resolution and at that of the measurement.
        affine_steps: numbers of affine steps.
        vsvf_steps: numbers of vSVF steps, each from the largest number of affine steps.
        count: cross-subject pairs; longitudinal ones are all taken.
        progress: receives the name of every pair.

    Raises:
        InputError: if the pool has no label maps.
    """
    working, fine = working.labelled_part(), fine.labelled_part()
    if not fine.scans:
        raise InputError("the pool has no label maps, so there is no overlap to measure; prepare it with labels")
    model.eval()
    results = []
    for group, pairs in zip(("longitudinal", "cross-subject"), choose_pairs(fine, count), strict=True):
        figures: dict[str, list[tuple[float, ...]]] = {}
        for fixed, moving in pairs:
            progress(f"{group}: {fine.scans[fixed].name}, {fine.scans[moving].name}")
            labels = stored_pair(fine, fixed, moving)
            images = stored_pair(working, fixed, moving)
            for stage, map_ras in _maps(model, images, working.grid, fine.grid, affine_steps, vsvf_steps).items():
                overlap = overlap_figures(labels, map_ras, fine.grid).values()
                figures.setdefault(stage, []).append((*overlap, folds_percent(map_ras, fine.grid)))
        for stage, values in figures.items():
            dice, dice_all, folds = np.mean(values, axis=0)
            results.append(Measurement(stage, group, float(dice), float(dice_all), float(folds), len(values)))
    return results


def _maps(
    model: AVSM, batch: Batch, grid: Grid, fine: Grid, affine_steps: Sequence[int], vsvf_steps: Sequence[int]
) -> dict[str, torch.Tensor]:
    """Maps on the ``fine`` lattice after each number of steps."""
    affines = model.predict_affine(batch.moving, batch.fixed, grid, max(affine_steps))
    points = maps.identity(fine, device=batch.fixed.device)
    found = {"none": points}
    found.update({f"affine {n}": maps.apply_matrix(affines[n - 1], points) for n in sorted(affine_steps)})
    output = model.deform(batch.moving, batch.fixed, grid, affines, max(vsvf_steps, default=0))
    for n, psi in enumerate(_psi(model, output), start=1):
        if n in vsvf_steps:
            displaced = points + maps.resample_displacement(psi, output.momentum_grid, fine)
            found[f"affine {max(affine_steps)}, vSVF {n}"] = maps.apply_matrix(affines[-1], displaced)
    return found


def _psi(model: AVSM, output: AVSMOutput) -> list[torch.Tensor]:
    """Displacement of psi after every vSVF step."""
    found = []
    psi = torch.zeros_like(output.psi_displacement_mm)
    for velocity in output.velocities_mm:
        psi = compose_step(psi, velocity, output.momentum_grid, model.config.velocity)
        found.append(psi)
    return found


def as_markdown(results: Sequence[Measurement]) -> str:
    """A table: a line a number of steps, cartilage Dice (all structures) by group, and the most folds."""
    lines = ["| Steps | Cross-subject (all) | Longitudinal (all) | Folds, % |", "|---|---|---|---|"]
    for stage in dict.fromkeys(result.stage for result in results):
        here = {result.group: result for result in results if result.stage == stage}
        cells = [
            f"{here[group].dice:.3f} ({here[group].dice_all:.3f})" if group in here else ""
            for group in ("cross-subject", "longitudinal")
        ]
        lines.append(f"| {stage} | {cells[0]} | {cells[1]} | {max(r.folds for r in here.values()):.4f} |")
    return "\n".join(lines)
