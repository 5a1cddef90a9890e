"""Batches: pairs of knees out of a pool, each with its own random geometry, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...core.errors import ConfigError
from ...ops import maps
from ..config import TrainingConfig
from .alignment import CLIP_MM
from .augment import AugmentConfig, deformed_points, random_affine, random_deformation
from .labels import DISTANCE_STEP_MM, STRUCTURES
from .pool import Pool, Scan, load_pool


@dataclass(frozen=True)
class Batch:
    """N pairs on the pool's grid.

    Args:
        moving, fixed: (N, 1, D, H, W) in [0, 1].
        moving_distances, fixed_distances: (N, 6, D, H, W) mm, clipped. Of a pair without both label
            maps all are at the limit: such a pair adds nothing to the losses on labels.
        affine_ras: (N, 4, 4), fixed to moving points, from the label maps.
        fixed_to_template, moving_to_template: (N, 4, 4), each image's points to the template's.
    """

    moving: Tensor
    fixed: Tensor
    moving_distances: Tensor
    fixed_distances: Tensor
    affine_ras: Tensor
    fixed_to_template: Tensor
    moving_to_template: Tensor

    def swapped(self) -> Batch:
        """The same pairs the other way round."""
        return Batch(
            self.fixed,
            self.moving,
            self.fixed_distances,
            self.moving_distances,
            torch.linalg.inv(self.affine_ras),
            self.moving_to_template,
            self.fixed_to_template,
        )


@dataclass(frozen=True)
class Side:
    """One image of each pair, geometry applied."""

    image: Tensor
    distances: Tensor
    to_template: Tensor


def draw_batch(
    pool: Pool,
    config: AugmentConfig,
    count: int,
    g: torch.Generator,
    *,
    same_subject: float = 0.15,
    align: AugmentConfig | None = None,
    distances: bool = True,
) -> Batch:
    """``count`` random pairs.

    Args:
        pool: where from.
        config: geometry of each image.
        count: pairs.
        g: random source.
        same_subject: share of pairs of one subject (its other visit, or the same scan rendered anew).
        align: if given, the moving side is drawn as if an affine registration had been done before,
            with this much left over, so that the identity is nearly right.
        distances: False leaves the distance fields out (they then have no channel).
    """
    drawn = [_draw_pair(pool, same_subject, g) for _ in range(count)]
    fixed_scans, moving_scans = [fixed for fixed, _ in drawn], [moving for _, moving in drawn]
    fixed_geometry = random_affine(config, pool.grid, count, g)
    if align is None:
        moving_geometry = random_affine(config, pool.grid, count, g)
    else:
        pair = template_affines(moving_scans) @ torch.linalg.inv(template_affines(fixed_scans))
        moving_geometry = pair @ fixed_geometry @ random_affine(align, pool.grid, count, g)
    fixed_side = _side(pool, fixed_scans, fixed_geometry, config, g, distances)
    moving_side = _side(pool, moving_scans, moving_geometry, config, g, distances)
    affine = torch.linalg.inv(moving_side.to_template) @ fixed_side.to_template
    known = torch.tensor([fixed.labelled and moving.labelled for fixed, moving in drawn], device=pool.device)
    known, limit = known.view(-1, 1, 1, 1, 1), moving_side.distances.new_tensor(CLIP_MM)
    return Batch(
        moving_side.image,
        fixed_side.image,
        torch.where(known, moving_side.distances, limit),
        torch.where(known, fixed_side.distances, limit),
        affine,
        fixed_side.to_template,
        moving_side.to_template,
    )


def _draw_pair(pool: Pool, same_subject: float, g: torch.Generator) -> tuple[Scan, Scan]:
    """Fixed and moving scan: of the pool's list, if it has one, otherwise any two."""
    if pool.pairs is not None:
        own = float(torch.rand((), generator=g)) < same_subject
        listed = (pool.longitudinal_pairs() if own else pool.cross_subject_pairs()) or list(pool.pairs)
        fixed_number, moving_number = listed[_integer(len(listed), g)]
        return pool.scans[fixed_number], pool.scans[moving_number]
    fixed = pool.scans[_integer(len(pool.scans), g)]
    own = float(torch.rand((), generator=g)) < same_subject
    others = [s for s in pool.scans if (s.subject == fixed.subject) == own] or list(pool.scans)
    return fixed, others[_integer(len(others), g)]


def stored_pair(pool: Pool, fixed: int, moving: int) -> Batch:
    """One pair as it lies in the pool, with the last two renderings (one, if there is no other)."""
    f, m = pool.scans[fixed], pool.scans[moving]
    to_template = [torch.linalg.inv(template_affines([scan])).to(pool.device) for scan in (f, m)]
    return Batch(
        (m.images[-1].float() / 255)[None, None],
        (f.images[-2:][0].float() / 255)[None, None],
        _clipped(m.distances)[None],
        _clipped(f.distances)[None],
        torch.linalg.inv(to_template[1]) @ to_template[0],
        to_template[0],
        to_template[1],
    )


def template_affines(scans: list[Scan]) -> Tensor:
    """(N, 4, 4), template points to each scan's."""
    return torch.as_tensor(np.stack([scan.affine_ras for scan in scans]), dtype=torch.float32)


def _side(
    pool: Pool, scans: list[Scan], geometry: Tensor, config: AugmentConfig, g: torch.Generator, with_distances: bool
) -> Side:
    device = pool.device
    displacement = None
    if config.deformation_mm > 0:
        displacement = random_deformation(config, pool.grid, len(scans), g, device)
    points = deformed_points(geometry.to(device), displacement, pool.grid)
    images = torch.stack([s.images[_integer(len(s.images), g)] for s in scans])[:, None].float() / 255
    distances = torch.stack([_distances(s) if with_distances else _clipped(s.distances[:0]) for s in scans])
    # One interpolation for all channels; outside, an image is black and no structure is near.
    both = maps.sample(torch.cat([images, distances], dim=1), pool.grid, points, outside=None)
    inside = maps.inside(pool.grid, points)
    image = torch.where(inside, both[:, :1], both.new_zeros(()))
    return Side(
        _random_gamma(image, g),
        torch.where(inside, both[:, 1:], both.new_tensor(CLIP_MM)),
        (torch.linalg.inv(template_affines(scans)) @ geometry).to(device),
    )


def _random_gamma(image: Tensor, g: torch.Generator) -> Tensor:
    exponent = torch.exp(0.2 * torch.randn(len(image), 1, 1, 1, 1, generator=g)).to(image)
    return image.clamp_min(1e-4).pow(exponent)


def _clipped(stored: Tensor) -> Tensor:
    return (stored.float() * DISTANCE_STEP_MM).clamp(-CLIP_MM, CLIP_MM)


def _distances(scan: Scan) -> Tensor:
    if scan.labelled:
        return _clipped(scan.distances)
    return torch.full((len(STRUCTURES), *scan.images.shape[1:]), CLIP_MM, device=scan.images.device)


def _integer(n: int, g: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=g))


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
