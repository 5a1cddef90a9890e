"""Dice, or without label maps the likeness of the images, on pairs that training never sees."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..core.figures.metrics import dice_coefficient
from ..core.geometry import Grid
from ..networks.model import AVSM, AVSMOutput
from ..ops import maps
from ..ops.similarity import measures
from .config import TrainingConfig
from .data.batches import Batch, stored_pair
from .data.labels import STRUCTURES
from .data.pool import Pool

CARTILAGES = ("femoral cartilage", "tibial cartilage")
#: Enough of them to tell two networks apart.
MOST_LONGITUDINAL = 50


def dice_of_distances(warped: Tensor, fixed: Tensor) -> dict[str, float]:
    """Dice of every structure from distance fields (1, 6, D, H, W), inside where negative."""
    a, b = warped[0] < 0, fixed[0] < 0
    common, total = (a & b).sum(dim=(1, 2, 3)), a.sum(dim=(1, 2, 3)) + b.sum(dim=(1, 2, 3))
    counts = zip(STRUCTURES, common.tolist(), total.tolist(), strict=True)
    return {name: dice_coefficient(both, max(1, size)) for name, both, size in counts}


def cartilage_dice(dice: dict[str, float]) -> float:
    """Mean of femoral and tibial cartilage, the paper's measure."""
    return float(np.mean([dice[name] for name in CARTILAGES]))


def choose_pairs(pool: Pool, count: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Longitudinal pairs, all or :data:`MOST_LONGITUDINAL`, and ``count`` cross-subject pairs, the same at every call.

    Pairs with label maps if there are any, because their overlap says more than the images' likeness.
    """
    longitudinal, cross = (_labelled(pool, p) for p in (pool.longitudinal_pairs(), pool.cross_subject_pairs()))
    if len(longitudinal) > MOST_LONGITUDINAL:
        order = np.random.default_rng(0).permutation(len(longitudinal))[:MOST_LONGITUDINAL]
        longitudinal = [longitudinal[n] for n in order]
    order = np.random.default_rng(0).permutation(len(cross))[:count]
    return longitudinal, [cross[n] for n in order]


def _labelled(pool: Pool, pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [(a, b) for a, b in pairs if pool.scans[a].labelled and pool.scans[b].labelled] or pairs


@torch.no_grad()
def validate(model: AVSM, pool: Pool, config: TrainingConfig, affine_steps: int, vsvf_steps: int) -> dict[str, float]:
    """Mean cartilage Dice, longitudinal and cross-subject, folds in percent of voxels, and ``score``.

    Without label maps the correlation of the images takes the place of Dice. The score is the
    cross-subject figure, or the longitudinal one where there is a single subject. Stage ``vsvf`` with
    prealigned pairs starts from the affine of the label maps, the others from the network's own.
    """
    model.eval()
    figures: dict[str, list[float]] = {}
    for kind, pairs in zip(("longitudinal", "cross"), choose_pairs(pool, config.validation_pairs), strict=True):
        for fixed, moving in pairs:
            batch = stored_pair(pool, fixed, moving)
            for name, value in _pair_figures(model, batch, pool.grid, config, affine_steps, vsvf_steps).items():
                figures.setdefault(f"{kind}_{name}", []).append(value)
    model.train()
    means = {name: float(np.mean(values)) for name, values in figures.items()}
    names = [f"{kind}_{what}" for kind in ("cross", "longitudinal") for what in ("dice", "similarity")]
    return {**means, "score": next((means[name] for name in names if name in means), 0.0)}


def _pair_figures(
    model: AVSM, batch: Batch, grid: Grid, config: TrainingConfig, affine_steps: int, vsvf_steps: int
) -> dict[str, float]:
    output = predicted(model, batch, grid, config, affine_steps, vsvf_steps)
    if min(batch.moving_distances.shape[1], batch.fixed_distances.shape[1]) == 0:
        found = {"similarity": float(measures.ncc(batch.fixed, output.warped))}
    else:
        found = overlap_figures(batch, output.map_ras, grid)
    return {**found, "folds": folds_percent(output.map_ras, grid)}


def predicted(
    model: AVSM, batch: Batch, grid: Grid, config: TrainingConfig, affine_steps: int, vsvf_steps: int
) -> AVSMOutput:
    """Predict a pair as :func:`validate` measures it."""
    if config.stage == "vsvf" and config.data.prealigned:
        affines = [batch.affine_ras]
    else:
        affines = model.predict_affine(batch.moving, batch.fixed, grid, affine_steps)
    return model.deform(batch.moving, batch.fixed, grid, affines, 0 if config.stage == "affine" else vsvf_steps)


def overlap_figures(batch: Batch, map_ras: Tensor, grid: Grid) -> dict[str, float]:
    """Dice of the cartilages, and of all structures, through a map on ``grid``."""
    warped = maps.sample(batch.moving_distances, grid, map_ras, outside=None)
    dice = dice_of_distances(warped, batch.fixed_distances)
    return {"dice": cartilage_dice(dice), "dice_all": float(np.mean(list(dice.values())))}


def folds_percent(map_ras: Tensor, grid: Grid) -> float:
    """The share of the voxels in which a map folds."""
    return 100 * float((maps.jacobian_determinant(map_ras, grid) <= 0).float().mean())
