"""The pools that a run's configuration names, and what of them its losses can use."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import ConfigError
from .config import TrainingConfig
from .pool import Pool, load_pool


def configured_pool(config: TrainingConfig, split: str) -> Pool:
    """The configuration's ``train`` or ``validation`` pool on the training grid."""
    root, data = Path(config.data.pool), config.data
    pairs = root / f"pairs-{split}.csv" if data.listed_pairs else None
    return load_pool(root / split, data.shrink, data.last_images, pairs)


def usable_part(pool: Pool, config: TrainingConfig) -> Pool:
    """The scans that the losses can learn from: all, or those with label maps.

    Raises:
        ConfigError: if label maps are needed and no scan has one.
    """
    losses = config.losses
    aligned = config.stage == "vsvf" and config.data.prealigned
    if not aligned and losses.similarity > 0 and max(losses.points, losses.landmarks, losses.heat_maps) == 0:
        return pool
    part = pool.labelled_part()
    if not part.scans:
        raise ConfigError(
            f"{config.data.pool}: no scan of this pool has a label map, but the losses or data.prealigned of "
            f"{config.name!r} need them; train with a published-* preset, or prepare the scans with label maps"
        )
    return part
