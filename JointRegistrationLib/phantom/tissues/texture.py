"""Fine structure inside tissues, bound to the anatomy: streaks, lobules, trabeculae.

It is evaluated in the knee frame, so that it moves with the tissue and is known at every point.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..shapes.implicit import smoothstep
from .contrast import TISSUE_INDEX


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
    """Factors on each tissue's signal.

    Args:
        seed: of the structure.
        strength: 1 for natural, 0 for none.
        voxel_mm: sheets thinner than a voxel are drawn wider and fainter, as partial volume would.
    """

    def __init__(self, seed: int, strength: float, voxel_mm: float, device: torch.device | str) -> None:
        self._strength = strength
        self._voxel_mm = voxel_mm
        self._coarse = LatticeNoise(seed, 3, device)
        self._fibres = LatticeNoise(seed + 1, 3, device)
        self._fine = LatticeNoise(seed + 2, 2, device)
        self._sheets = LatticeNoise(seed + 3, 2, device)

    def apply(self, signal: Tensor, points: Tensor) -> Tensor:
        """Multiply signals (tissues, M) by the texture at knee-frame points (3, M)."""
        if self._strength == 0.0:
            return signal
        coarse = self._coarse(points, (10.0, 10.0, 16.0))
        fibres = self._fibres(_along_fibres(points), (6.0, 4.2, 34.0))
        sheets = self._sheets(_along_skin(points), (2.6, 1.0, 6.0))
        fine = self._fine(points, (1.1, 0.9, 1.4))
        factors = {
            "muscle": self._muscle(coarse, fibres, fine),
            "fat": _fat(coarse, fibres, sheets, fine),
            "deep fat": _fat(-coarse, fibres, 0.45 * sheets, fine),
            "hoffa": _fat(coarse, -fibres, 0.7 * sheets, fine),
            "marrow": _marrow(coarse, fine, points[2]),
            "cartilage": 1 + 0.08 * coarse[2] + 0.04 * fine[0],
            "fluid": 1 + 0.08 * coarse[0],
            "ligament": 1 + 0.30 * fibres[0] + 0.20 * fine[1],
            "tendon": 1 + 0.40 * fibres[1] + 0.25 * fine[0],
            "vessel": 1 + 0.15 * coarse[1],
            "skin": 1 + 0.2 * fine[1],
            "meniscus": 1 + 0.15 * fine[0],
        }
        result = signal.clone()
        for name, factor in factors.items():
            result[TISSUE_INDEX[name]] *= (1 + self._strength * (factor - 1)).clamp(min=0.05)
        return result

    def _ridge(self, noise: Tensor, cell_mm: float, width_mm: float) -> Tensor:
        """Near 1 on the sheets where the noise crosses zero, 0 elsewhere."""
        drawn_mm = max(width_mm, 1.2 * self._voxel_mm)
        half = 1.2 * drawn_mm / cell_mm  # the noise's typical slope is a little above 1 a cell
        return (1 - smoothstep(noise.abs(), 0.2 * half, half)) * (width_mm / drawn_mm)

    def _muscle(self, coarse: Tensor, fibres: Tensor, fine: Tensor) -> Tensor:
        """Dark, broken sheets of fat and fascia between bundles."""
        streaks = self._ridge(fibres[0], 5.0, 0.5) * smoothstep(coarse[0], -0.5, 0.6)
        strands = self._ridge(fibres[1], 5.0, 0.45) * smoothstep(coarse[1], -0.2, 0.9)
        return 1 + 0.05 * coarse[2] + 0.05 * fibres[2] + 0.05 * fine[0] - 0.75 * torch.maximum(streaks, strands)


def _fat(coarse: Tensor, fibres: Tensor, sheets: Tensor, fine: Tensor) -> Tensor:
    """Layers of lobules parted by brighter septa, with small bright vessels."""
    septa = smoothstep(sheets[0], 0.7, 1.9)
    vessels = smoothstep(fibres[1] + 0.5 * coarse[1], 2.7, 3.2)
    return 0.9 + 0.2 * fine[0] + 0.28 * sheets[1] + 0.2 * coarse[0] + 0.8 * septa + 3.0 * vessels


def _along_fibres(points: Tensor) -> Tensor:
    """Shear, so that fibres lean backwards going down, as the muscles of thigh and calf do."""
    x, y, z = points
    return torch.stack([x + 0.10 * z, y - 0.25 * z, z])


def _along_skin(points: Tensor) -> Tensor:
    """Shear, so that layers of fat follow the skin: the shin recedes downwards, the back hardly."""
    x, y, z = points
    front = smoothstep(y, -10.0, 25.0)
    return torch.stack([x, y - front * 0.42 * z.clamp(max=25.0) + (1 - front) * 0.08 * z, z])


def _marrow(coarse: Tensor, fine: Tensor, z: Tensor) -> Tensor:
    """Trabeculae; the shafts' marrow is brighter than the fatty marrow of the joint's ends."""
    shaft = smoothstep(z, 45.0, 85.0) + 0.5 * smoothstep(-z, 40.0, 75.0)
    return (1 + 0.65 * fine[0] + 0.15 * coarse[1]) * (1 + 2.0 * shaft)
