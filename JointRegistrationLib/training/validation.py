"""Dice on pairs that training never sees."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .. import maps
from ..geometry import Grid
from ..networks.model import AVSM
from .batches import Batch, stored_pair
from .config import TrainingConfig
from .labels import STRUCTURES
from .pool import Pool

CARTILAGES = ("femoral cartilage", "tibial cartilage")


def dice_of_distances(warped: Tensor, fixed: Tensor) -> dict[str, float]:
    """Dice of every structure from distance fields (1, 6, D, H, W), inside where negative."""
    a, b = warped[0] < 0, fixed[0] < 0
    common, total = (a & b).sum(dim=(1, 2, 3)), a.sum(dim=(1, 2, 3)) + b.sum(dim=(1, 2, 3))
    return {name: float(2 * c / max(1, int(t))) for name, c, t in zip(STRUCTURES, common, total, strict=True)}


def cartilage_dice(dice: dict[str, float]) -> float:
    """Mean of femoral and tibial cartilage, the paper's measure."""
    return float(np.mean([dice[name] for name in CARTILAGES]))


def choose_pairs(pool: Pool, count: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """All longitudinal pairs and ``count`` cross-subject pairs, the same at every call."""
    cross = pool.cross_subject_pairs()
    order = np.random.default_rng(0).permutation(len(cross))[:count]
    return pool.longitudinal_pairs(), [cross[n] for n in order]


@torch.no_grad()
def validate(model: AVSM, pool: Pool, config: TrainingConfig, affine_steps: int, vsvf_steps: int) -> dict[str, float]:
    """Mean cartilage Dice, longitudinal and cross-subject, folds in percent of voxels, and ``score``.

    Stage ``vsvf`` starts from the affine of the label maps, the others from the network's own.
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
    return {**means, "score": means["cross_dice"]}


def _pair_figures(
    model: AVSM, batch: Batch, grid: Grid, config: TrainingConfig, affine_steps: int, vsvf_steps: int
) -> dict[str, float]:
    if config.stage == "vsvf" and config.data.prealigned:
        affines = [batch.affine_ras]
    else:
        affines = model.predict_affine(batch.moving, batch.fixed, grid, affine_steps)
    output = model.deform(batch.moving, batch.fixed, grid, affines, 0 if config.stage == "affine" else vsvf_steps)
    warped = maps.sample(batch.moving_distances, grid, output.map_ras, outside=None)
    dice = dice_of_distances(warped, batch.fixed_distances)
    folded = (maps.jacobian_determinant(output.map_ras, grid) <= 0).float().mean()
    return {"dice": cartilage_dice(dice), "dice_all": float(np.mean(list(dice.values()))), "folds": 100 * float(folded)}
