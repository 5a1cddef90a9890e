"""Fine structure inside tissues, bound to the anatomy: streaks, lobules, trabeculae.

It is evaluated in the knee frame, so that it moves with the tissue and is known at every point.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .contrast import TISSUE_INDEX
from .implicit import smoothstep


class LatticeNoise:
    """Smooth periodic noise of unit variance at any point: random values on a lattice, interpolated."""

    _SIZE = 40

    def __init__(self, seed: int, channels: int, device: torch.device | str) -> None:
        generator = torch.Generator().manual_seed(seed)
        values = torch.randn(1, channels, *(self._SIZE,) * 3, generator=generator)
        self._values = F.pad(values, (0, 1) * 3, mode="circular").to(device)

    def __call__(self, points: Tensor, cell_mm: tuple[float, float, float]) -> Tensor:
        """Noise (channels, M) at points (3, M); ``cell_mm`` is the lattice's spacing along x, y, z."""
        size = self._SIZE
        cells = points / points.new_tensor(cell_mm)[:, None]
        unit = torch.remainder(cells, size) / size
        # Smoothing the interpolation weights hides the lattice.
        coordinates = (2 * unit - 1).T[None, None, None]
        sampled = F.grid_sample(self._values, coordinates, mode="bilinear", padding_mode="border", align_corners=True)
        return 1.6 * sampled[0, :, 0, 0]


class TissueTexture:
    """Factors on each tissue's signal."""

    def __init__(self, seed: int, strength: float, device: torch.device | str) -> None:
        self._strength = strength
        self._coarse = LatticeNoise(seed, 3, device)
        self._fibres = LatticeNoise(seed + 1, 2, device)
        self._fine = LatticeNoise(seed + 2, 2, device)

    def apply(self, signal: Tensor, points: Tensor) -> Tensor:
        """Multiply signals (tissues, M) by the texture at knee-frame points (3, M)."""
        if self._strength == 0.0:
            return signal
        coarse = self._coarse(points, (9.0, 9.0, 14.0))
        fibres = self._fibres(_along_fibres(points), (4.5, 3.2, 26.0))
        fine = self._fine(points, (1.1, 0.9, 1.3))
        factors = {
            "muscle": _muscle(coarse, fibres, fine),
            "fat": _fat(coarse, fibres, fine),
            "hoffa": _fat(coarse[[1, 2, 0]], fine, fine),
            "marrow": 1 + 0.22 * fine[0] + 0.12 * coarse[1],
            "cartilage": 1 + 0.10 * coarse[2] + 0.05 * fine[0],
            "fluid": 1 + 0.08 * coarse[0],
            "ligament": 1 + 0.30 * fibres[0] + 0.15 * fine[1],
            "tendon": 1 + 0.35 * fibres[1] + 0.20 * fine[0],
            "vessel": 1 + 0.15 * coarse[1],
            "skin": 1 + 0.2 * fine[1],
            "meniscus": 1 + 0.15 * fine[0],
        }
        result = signal.clone()
        for name, factor in factors.items():
            result[TISSUE_INDEX[name]] *= (1 + self._strength * (factor - 1)).clamp(min=0.05)
        return result


def _along_fibres(points: Tensor) -> Tensor:
    """Shear, so that fibres lean backwards going down, as the muscles of thigh and calf do."""
    x, y, z = points
    return torch.stack([x + 0.10 * z, y + 0.22 * z, z])


def _ridge(noise: Tensor, width: float) -> Tensor:
    """1 on the sheets where the noise crosses zero, 0 elsewhere."""
    return 1 - smoothstep(noise.abs(), 0.3 * width, width)


def _muscle(coarse: Tensor, fibres: Tensor, fine: Tensor) -> Tensor:
    """Dark, broken sheets of fat and fascia between bundles."""
    streaks = _ridge(fibres[0], 0.16) * smoothstep(coarse[0], 0.0, 1.0)
    strands = _ridge(fibres[1], 0.10) * smoothstep(coarse[1], 0.3, 1.2)
    return 1 + 0.06 * coarse[2] + 0.035 * fine[0] - 0.6 * torch.maximum(streaks, strands)


def _fat(coarse: Tensor, fibres: Tensor, fine: Tensor) -> Tensor:
    """Lobules parted by brighter septa, with small bright vessels."""
    septa = _ridge(coarse[0] + 0.3 * fine[1], 0.25) + 0.6 * _ridge(fibres[0], 0.2)
    vessels = smoothstep(fibres[1] + 0.6 * coarse[1], 2.0, 2.5)
    return 0.85 + 0.18 * fine[0] + 0.35 * septa + 3.0 * vessels
