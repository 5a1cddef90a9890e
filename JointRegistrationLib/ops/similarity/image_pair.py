"""The two images at one resolution, and how alike they are under a map."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...core.config import LOCAL_SIMILARITIES, SimilarityConfig
from ...core.geometry import Grid
from ...core.lattices.working_grid import shrunk_grid
from ..maps import apply_matrix, inside_unit, sample_unit, warp
from ..separable.filters import apply_with_channels_last, interpolation_matrix
from ..separable.resampling import resample, twice_as_fine
from .measures import FixedLocal, similarity_loss


@dataclass(frozen=True)
class ImagePair:
    """Normalised images in [0, 1] with optional masks, (1, 1, D, H, W), each on its own grid."""

    fixed: Tensor
    fixed_grid: Grid
    moving: Tensor
    moving_grid: Grid
    fixed_mask: Tensor | None = None
    moving_mask: Tensor | None = None

    def shrunk(self, factor: float) -> ImagePair:
        """Both images anti-aliased and thinned to the same absolute spacing, ``factor`` times the fixed one's."""
        if factor == 1:
            return self
        fixed_grid = shrunk_grid(self.fixed_grid, factor)
        ratio = min(self.fixed_grid.spacing_mm) * factor / min(self.moving_grid.spacing_mm)
        moving_grid = shrunk_grid(self.moving_grid, max(ratio, 1.0))
        return ImagePair(
            resample(self.fixed, self.fixed_grid, fixed_grid.size_ijk),
            fixed_grid,
            resample(self.moving, self.moving_grid, moving_grid.size_ijk),
            moving_grid,
            _optional(self.fixed_mask, self.fixed_grid, fixed_grid),
            _optional(self.moving_mask, self.moving_grid, moving_grid),
        )

    def part(self, slices: slice, grid: Grid) -> ImagePair:
        """The pair with some slices of the fixed image only, whose lattice is ``grid``."""
        mask = None if self.fixed_mask is None else self.fixed_mask[:, :, slices]
        return dataclasses.replace(self, fixed=self.fixed[:, :, slices], fixed_grid=grid, fixed_mask=mask)

    def weight(self, map_ras: Tensor) -> Tensor:
        """Return where the comparison counts, (1, 1, D, H, W) in [0, 1]: both masks, and the moving field of view."""
        return self.weight_at(apply_matrix(self.moving_grid.ras_to_unit, map_ras))

    def weight_at(self, unit: Tensor) -> Tensor:
        """:meth:`weight` of a map (1, 3, D, H, W) that gives points in the moving lattice's unit frame."""
        weight = inside_unit(self.moving_grid, unit).to(self.fixed.dtype)
        if self.fixed_mask is not None:
            weight = weight * self.fixed_mask
        if self.moving_mask is not None:
            weight = weight * sample_unit(self.moving_mask, self.moving_grid, unit)
        return weight

    def warped(self, map_ras: Tensor) -> Tensor:
        """The moving image on the fixed grid."""
        return warp(self.moving, self.moving_grid, map_ras)


class Dissimilarity:
    """A similarity loss of an :class:`ImagePair` as a function of the map, on the map's overlap.

    The overlap is not differentiated: a step must not be rewarded for pushing the images apart.
    """

    def __init__(self, pair: ImagePair, config: SimilarityConfig) -> None:
        self.pair = pair
        self._loss: Callable[[Tensor, Tensor, Tensor | None], Tensor] = similarity_loss(
            config.name, config.window_voxels, config.noise
        )

    def __call__(self, map_ras: Tensor) -> Tensor:
        """Scalar loss of ``map_ras`` (1, 3, D, H, W), fixed to moving, on the fixed grid."""
        with torch.no_grad():
            weight = self.pair.weight(map_ras)
        return self._loss(self.pair.warped(map_ras), self.pair.fixed, weight)


class LatticeDissimilarity:
    """:class:`Dissimilarity` as a function of a map on a coarser lattice with the fixed image's corners.

    Between the lattice's points the map is linear, as the fields of a result are. Without a moving mask the
    overlap stays that of the first map: where much the same points count in every evaluation, the fixed image's
    share of a local correlation is computed once.

    The moving image is sampled on a lattice twice as fine, by cubic splines: linear interpolation blurs it wherever it
    is sampled between its voxels, the fixed image never, and a map that may bend makes up for that (docs/method.md).
    """

    def __init__(self, pair: ImagePair, config: SimilarityConfig, lattice: Grid) -> None:
        self._pair, self._config = pair, config
        d, h, w = (
            torch.as_tensor(interpolation_matrix(size, finer)).to(pair.fixed)
            for size, finer in zip(lattice.shape, pair.fixed_grid.shape, strict=True)
        )
        self._finer = d, h, w
        self._loss = similarity_loss(config.name, config.window_voxels, config.noise)
        self._moving, self._moving_grid = twice_as_fine(pair.moving, pair.moving_grid)
        self._weight: Tensor | None = None
        self._to_fixed: FixedLocal | None = None

    def __call__(self, map_ras: Tensor) -> Tensor:
        """Scalar loss of ``map_ras`` (1, 3, d, h, w), fixed to moving, on the lattice."""
        unit = apply_matrix(self._pair.moving_grid.ras_to_unit, map_ras)
        unit = apply_with_channels_last(unit, self._finer)
        if self._weight is None or self._pair.moving_mask is not None:
            self._set_overlap(unit.detach())
        warped = sample_unit(self._moving, self._moving_grid, unit, outside=None)
        if self._to_fixed is not None:
            return self._to_fixed(warped)
        return self._loss(warped, self._pair.fixed, self._weight)

    def _set_overlap(self, unit: Tensor) -> None:
        with torch.no_grad():
            self._weight = self._pair.weight_at(unit)
            if self._config.name in LOCAL_SIMILARITIES and self._pair.moving_mask is None:
                self._to_fixed = FixedLocal(self._pair.fixed, self._weight, self._config)


def _optional(mask: Tensor | None, grid: Grid, target: Grid) -> Tensor | None:
    return None if mask is None else resample(mask, grid, target.size_ijk)
